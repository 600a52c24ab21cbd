"""`txguard bench`: what TxGuard costs, beside the same work done without it, in one run on one machine.

Nouns: a *contender* is one way to do a piece of work (straight to a server, through HAProxy, through the proxy); a
*contest* lets its contenders take turns, so that what else the machine does falls on all alike; a *ratio* compares
the medians of two contenders. The run ends by writing `bench.json`.
"""

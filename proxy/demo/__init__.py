"""The demo: money moves between accounts on three servers while things are killed, and nothing is ever lost.

The nouns: the *bank* is a thousand accounts and a table of transfers; a *client* is a process whose workers
transfer or read; its *journal* is what it was told of each of its transfers; *progress* is what it reports
while it runs; a *fault* is a kill and the return; the *tally* adds up; the *audit* at the end compares the
bank with the journals.
"""

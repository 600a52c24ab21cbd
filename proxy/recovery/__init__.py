"""Deciding by hand what a lost shard keeps in doubt: what `txguard recover` does, on connections of its own.

- *Doubt*: a transaction that a shard which answers does not know to be decided, and that is not decided by the records.
- *Survey*: all of them, and the shards that do not answer.
- *Verdict*: the operator's decision, written to every shard that answers; a proxy then carries it out.
"""

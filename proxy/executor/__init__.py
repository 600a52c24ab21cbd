"""Runs a plan on the shards: which connection, in which transaction, and how many answers become one.

- *client error* (`client_errors.py`): what any exception means to the client.
- *single shard* (`single.py`): one statement, one shard, its reply passed on as it came.
- *scatter gather*: one statement on several shards; `merge*`, `aggregate*`, `collate*` make one result of the rows.
- *writes* (`writes.py`): inside the engine's transaction; the figures of several shards become one OK packet.
- *warnings* (`warnings.py`): fetched from the shard while its connection is still the statement's own.
"""

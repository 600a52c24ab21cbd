"""The transaction engine: transactions with snapshot isolation over shards that speak SQL (docs/protocol.md).

- *Engine* (`engine.py`): the shards, the oracle and the workers that all transactions share.
- *Transaction* (`transaction.py`) and its *branches* (`branch.py`), a local transaction on each shard it uses. What
  it sees is in `snapshot.py` and `read_committed.py`, what it writes in `writing.py`, its end in `commit.py`.
- *Resolver* (`resolve.py`): decides what was left undecided; the *janitor* finds it, `undo.py` takes it back.
- *Managed table* (`managed.py`): a table with writer column, *history* and *triggers*; `patch.py` reads old versions.
- *Fence* (`fence.py`): shuts out the coordinators of older epochs. The *cleaner* forgets what nobody needs.
- *Shard*, *connection* (`shard.py`): the Protocols by which all of this reaches a server.
- *Failpoint* (`failpoints.py`): where a test crashes or delays it, or leaves a rule out.
"""

"""A client's session: what one connection has set, opened and prepared, and how a statement travels through it.

The nouns:

- *state* (`state.py`): everything a client can set or be told about afterwards: database, variables, last insert
  id, warnings, prepared statements. Plain data, no I/O.
- *phase* (`phases.py`): where the session's transaction stands, as a table of transitions.
- *variable* (`variables.py`): one system variable: who holds it, what it may be set to.
- *query engine* (`query_engine.py`): the pipeline of one statement: intercept, plan, execute, reply.
- *fast path* (`fast_path.py`): the same for the one-shard autocommit read, without an await.
- *session* (`session.py`): one connection's state and commands; what the front connection's handler calls. Those that
  bring a statement are its base's (`entry.py`).
- *registry* (`registry.py`): all sessions of the process, for KILL and SHOW PROCESSLIST.
"""

"""The proxy: a MySQL server to its clients, in front of the shards. It composes everything and owns the command line.

- *Wire* and *auth*: the protocol and the login, sans-IO. *Server*: clients' sockets, and the life of the process.
- *Session*: what one client has set and opened; a statement's way is in `session/query_engine.py`.
- *Plan* (`sql`): what a statement means; *route* (`routing`): which shards have its rows, by the *catalog*.
- *Executor*: runs a plan on the shards and makes one answer of theirs. *Backend*: the connections to them.
- *DDL*: data definition on all shards at once. *Admin*: SHOW TXGUARD.
- *Playground*, *doctor*, *demo*, *bench*: what the command line (`cli`) has beside the proxy itself.

docs/ARCHITECTURE.md has the life of a query and of a commit.
"""

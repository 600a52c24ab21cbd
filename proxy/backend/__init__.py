"""Connections to the shards: how the proxy sends statements to a server and gets its answers back.

- *Pool* (`pool`): the connections to one shard, the engine's `Shard`. Its *circuit* (`circuit`) answers at once while
  the shard is down; *idle connections* (`idle`) wait by profile.
- *Profile* (`profile`): what a session has set. A connection that has another switches with its next packet.
- *Connection* (`connection`): one socket after its *login* (`login`, opened by `connect`). It runs one *exchange* at a
  time (`exchange`, `prepared_exchange`): sans-IO, bytes to write and what the answer's bytes mean.
- *Leading statements*: the profile's switch and the engine's control statements, in front of the client's and decoded
  (`control`); a client's own *statement* (`statements`) is relayed.
- *Reply* (`reply`): the answer to a relayed statement, as packets that are ready for the client; decoded only for a
  merge. A large one is a *stream* (`stream`), drawn in chunks while the shard is held back.
- *Statement cache* (`statement_cache`): which prepared statements the server knows under which ids.
"""

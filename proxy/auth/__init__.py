"""Who may log in, and how it is proven: `mysql_native_password` and `caching_sha2_password`, both sides. Sans-IO.

- *Account* (`accounts`): a user's stored hashes. A name that does not exist has a *decoy*, which nothing tells apart
  from an account whose password was wrong.
- *Stage 2*, *scramble*, *nonce* (`scrambles`): what is stored, what is sent, and the 20 random bytes between them.
- *ServerAuth* (`server`): a client's login at the proxy, as a state machine.
- *ClientAuth* (`client`): the proxy's login at a shard.
- *Key pair* (`rsa`): carries a password over a channel that is not encrypted, where *full authentication* needs it.
"""

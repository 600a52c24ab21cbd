"""The MySQL client/server protocol as bytes and values. Sans-IO: nothing here touches a socket, a clock or asyncio.

Nouns, with the manual's names:

- *Packet* (`packets`): a header of four bytes and a *payload*; what is larger than 16 MiB comes in several. A
  `PacketReader` cuts a stream into payloads; `frame` is the other way.
- *Greeting*, *response*, *auth switch* (`handshake`): the packets of the connection phase. *Capability* and *status*
  flags stand in `capabilities`, *commands* and *field types* in files of their names.
- *OK*, *ERR*, *EOF* (`responses`), *column definition* (`columns`) and *result set* (`resultsets`): answers. TxGuard
  frames result sets by EOF towards clients and shards alike, so that a shard's rows can be passed on as they are.
- *Text row* and *binary row* (`text_rows`, `binary_rows`): a row of COM_QUERY and of COM_STMT_EXECUTE. `temporal` holds
  dates and times, `binary_values` single values, `convert` the ways between the two forms.
- *Execute* (`statements`): COM_STMT_EXECUTE and its bound parameters, and the answer to COM_STMT_PREPARE.
- *Scanner* (`response_scanner`): finds the end of an answer by its packet headers, without looking into rows.
- *TLS channel* (`tls`): TLS over bytes.

The rule: whatever bytes come, only MalformedPacket, PacketTooLarge and HandshakeError are raised.
"""

"""The rest of an answer that is too large to be held: chunk by chunk, as its reader awaits them.

Apart from `reply.py` for the same reason as `awaited.py` is apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.wire.response_scanner import patch_status

if TYPE_CHECKING:
    from proxy.backend.reply import RelayReply


async def next_chunk(reply: RelayReply) -> bytes | bytearray | None:
    if reply.source is None:
        return None
    chunk = await reply.source.next_chunk()
    if chunk is None:
        reply.source = None
        return None
    if reply.client_status is None:
        return chunk.packets
    packets = bytearray(chunk.packets)
    patch_status(packets, chunk.marks, reply.client_status)
    return packets


async def drain(reply: RelayReply) -> None:
    while await next_chunk(reply) is not None:
        pass

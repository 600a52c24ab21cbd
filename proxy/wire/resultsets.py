"""Whole result sets as a server sends them, framed by EOF packets.

TxGuard offers no DEPRECATE_EOF to its clients and asks for none from shards, so a shard's rows can be passed
on as they are; what it makes itself has the same frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from proxy.wire.capabilities import Status
from proxy.wire.columns import ColumnDefinition, make_column_definition
from proxy.wire.lenenc import lenenc_int
from proxy.wire.packets import frame_all
from proxy.wire.responses import EofPacket, make_eof


def make_resultset(
    columns: Sequence[ColumnDefinition],
    rows: Iterable[bytes],
    *,
    status: int = int(Status.AUTOCOMMIT),
    warnings: int = 0,
    sequence: int = 1,
) -> tuple[bytes, int]:
    """Framed packets and the next sequence id. `rows` are payloads, of text or binary rows alike."""
    head, sequence = make_resultset_head(columns, status=status, warnings=warnings, sequence=sequence)
    body, sequence = frame_all((*rows, make_eof(EofPacket(status, warnings))), sequence)
    return head + body, sequence


def make_resultset_head(
    columns: Sequence[ColumnDefinition], *, status: int, warnings: int = 0, sequence: int = 1
) -> tuple[bytes, int]:
    """The column count, the columns and their EOF: what comes before the rows."""
    payloads = [lenenc_int(len(columns)), *map(make_column_definition, columns)]
    payloads.append(make_eof(EofPacket(status & ~int(Status.MORE_RESULTS_EXISTS), warnings)))
    return frame_all(payloads, sequence)

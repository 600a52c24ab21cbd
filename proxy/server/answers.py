"""Making the packets of an answer: OK, ERR and result sets, numbered on from where the answer stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from proxy.server.client_socket import ClientSocket
from proxy.server.handler import AUTOCOMMIT
from proxy.wire.capabilities import Status
from proxy.wire.columns import ColumnDefinition
from proxy.wire.lenenc import lenenc_bytes
from proxy.wire.packets import frame
from proxy.wire.responses import ErrPacket, OkPacket, make_err, make_ok
from proxy.wire.resultsets import make_resultset

MORE_RESULTS = int(Status.MORE_RESULTS_EXISTS)
STATE_CHANGED = int(Status.SESSION_STATE_CHANGED)


class Answers(ClientSocket):
    """The `send_…` part of `handler.Client`, over `write` and `finish`."""

    __slots__ = ("sequence", "session_state")

    sequence: int
    session_state: Callable[[], bytes] | None

    def write(self, packets: bytes | bytearray) -> None:
        raise NotImplementedError

    def finish(self, packets: bytes | bytearray = b"") -> None:
        raise NotImplementedError

    def send_ok(
        self,
        *,
        affected_rows: int = 0,
        last_insert_id: int = 0,
        status: int = AUTOCOMMIT,
        warnings: int = 0,
        info: bytes = b"",
        more: bool = False,
    ) -> None:
        if more:
            status |= MORE_RESULTS
        if self.session_state is not None and (state := self.session_state()):
            status, info = status | STATE_CHANGED, (info or b"\0") + lenenc_bytes(state)
        if affected_rows or last_insert_id or warnings or info:
            payload = make_ok(OkPacket(affected_rows, last_insert_id, status, warnings, info))
            packet = frame(payload, self.sequence)
        else:
            packet = _plain_ok(status, self.sequence)
        self._send(packet, self.sequence + 1, more)

    def send_error(self, errno: int, sqlstate: str, message: str) -> None:
        packet = frame(make_err(ErrPacket(errno, sqlstate, message)), self.sequence)
        self._send(packet, self.sequence + 1, False)

    def send_resultset(
        self,
        columns: Sequence[ColumnDefinition],
        rows: Iterable[bytes],
        *,
        status: int = AUTOCOMMIT,
        warnings: int = 0,
        more: bool = False,
    ) -> None:
        if more:
            status |= MORE_RESULTS
        packets, sequence = make_resultset(
            columns, rows, status=status, warnings=warnings, sequence=self.sequence
        )
        self._send(packets, sequence, more)

    def _send(self, packets: bytes, sequence: int, more: bool) -> None:
        self.sequence = sequence & 0xFF
        if more:
            self.write(packets)
        else:
            self.finish(packets)


@lru_cache(maxsize=1024)
def _plain_ok(status: int, sequence: int) -> bytes:
    """The answer to BEGIN, COMMIT, SET and their like."""
    return frame(make_ok(OkPacket(status=status)), sequence)

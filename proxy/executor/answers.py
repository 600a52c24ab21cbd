"""Answering a client: a shard's reply passed on, rows that were merged, an OK packet.

Owns `Answer`, one for each statement. The rules: the last packet goes out by `finish`, when everything else about
the statement is done, because the client's next command may begin with it; the status flags are taken then, after
whatever the statement did to the transaction. An error after the first rows have gone out ends the result set with an
ERR packet, which the protocol allows in place of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from proxy.backend.reply import RelayReply
from proxy.executor.client import Client
from proxy.executor.figures import Figures
from proxy.wire.capabilities import Status
from proxy.wire.columns import ColumnDefinition
from proxy.wire.convert import binary_row_from_text
from proxy.wire.lenenc import PayloadReader, lenenc_bytes
from proxy.wire.responses import parse_ok
from proxy.wire.text_rows import make_text_row

MORE_RESULTS = int(Status.MORE_RESULTS_EXISTS)

Row = Sequence[bytes | None]


class Answer:
    """`binary`: the client wants binary rows. `more`: another statement's result follows this one."""

    __slots__ = ("_client", "_final", "_status", "binary", "figures", "more", "rows_sent")

    def __init__(
        self, client: Client, status: Callable[[], int], *, binary: bool = False, more: bool = False
    ) -> None:
        self._client = client
        self._status = status
        self._final: Callable[[], None] = _nothing_to_say
        self.binary = binary
        self.more = more
        self.figures: Figures | None = None
        """Set once the answer is an OK packet."""
        self.rows_sent: int | None = None
        """How many rows a result had; None: it is no result, or its rows were not counted (SQL_CALC_FOUND_ROWS)."""

    def finish(self) -> None:
        """Send the last packets: the command is over, unless `more`."""
        self._final()

    def ok(self, figures: Figures) -> None:
        self.figures = figures
        self._final = partial(self._send_ok, figures)

    def rows(self, columns: Sequence[ColumnDefinition], rows: Iterable[Row], *, warnings: int = 0) -> None:
        """`rows` as the text protocol writes their values."""
        if self.binary:
            payloads = [binary_row_from_text(columns, row) for row in rows]
        else:
            payloads = [make_text_row(row) for row in rows]
        self.payloads(columns, payloads, warnings=warnings)

    def payloads(
        self, columns: Sequence[ColumnDefinition], payloads: Sequence[bytes], *, warnings: int = 0
    ) -> None:
        """Rows in the form that the client wants."""
        self.rows_sent = len(payloads)
        self._final = partial(self._send_rows, columns, payloads, warnings)

    async def relay(self, reply: RelayReply, *, native: bool = True) -> None:
        """A shard's reply that holds rows; `native`: its rows have the form that the client wants.

        One that is not must be complete: it was asked for with `stream=False`.
        """
        if not native:
            self.rows(reply.columns(), reply.rows(), warnings=reply.warnings)
        elif reply.complete:
            self.rows_sent = reply.row_count
            self._final = partial(self._send_reply, reply)
        else:
            client = self._client
            client.write(bytes(reply.to_client(self._flags(), client.sequence)))
            while (chunk := await reply.next_chunk()) is not None:
                client.write(bytes(chunk))
                await client.drain()
            self.rows_sent = reply.row_count
            self._final = partial(self._end_stream, reply)

    # ------------------------------------------------------------ the last packets

    def _flags(self) -> int:
        return self._status() | (MORE_RESULTS if self.more else 0)

    def _send_ok(self, figures: Figures) -> None:
        self._client.send_ok(
            affected_rows=figures.affected_rows,
            last_insert_id=figures.last_insert_id,
            warnings=figures.warnings,
            info=lenenc_bytes(figures.info) if figures.info else b"",
            status=self._status(),
            more=self.more,
        )

    def _send_rows(
        self, columns: Sequence[ColumnDefinition], payloads: Sequence[bytes], warnings: int
    ) -> None:
        self._client.send_resultset(
            columns, payloads, status=self._status(), warnings=warnings, more=self.more
        )

    def _send_reply(self, reply: RelayReply) -> None:
        client = self._client
        packets = bytes(reply.to_client(self._flags(), client.sequence))
        client.sequence = reply.next_sequence
        if self.more:
            client.write(packets)
        else:
            client.finish(packets)

    def _end_stream(self, reply: RelayReply) -> None:
        self._client.sequence = reply.next_sequence
        if not self.more:
            self._client.finish()


def _nothing_to_say() -> None:
    raise AssertionError("the statement has no answer")


def figures_of(reply: RelayReply) -> Figures:
    """Of a reply that is an OK packet.

    Servers send the info with its length in front, although the manual has it as the rest of the packet.
    """
    ok = parse_ok(bytes(reply.packets[4:]))
    info = PayloadReader(ok.info).lenenc_bytes() if ok.info else b""
    return Figures(ok.affected_rows, ok.last_insert_id, ok.warnings, info)

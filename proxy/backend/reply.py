"""A shard's answer to a client's statement: passed on as it came, decoded only where it must be merged.

Owns `RelayReply`. Its packets are framed for a client and numbered from 1. The status words in them are those
of the shard's connection; `to_client` puts the session's in where they differ.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from typing import Any, NamedTuple, Protocol

from proxy.backend.large_reply import drain, next_chunk
from proxy.wire.binary_rows import parse_binary_row
from proxy.wire.binary_values import BinaryValue
from proxy.wire.columns import ColumnDefinition, parse_column_definition
from proxy.wire.convert import to_text
from proxy.wire.field_types import FieldType
from proxy.wire.packets import renumber, split_packets
from proxy.wire.response_scanner import SESSION_BITS, PrepareScanner, ResponseScanner, patch_status
from proxy.wire.responses import is_err
from proxy.wire.text_rows import parse_text_row
from txguard.engine.shard import ShardError


class Chunk(NamedTuple):
    packets: bytes | bytearray
    marks: tuple[int, ...]
    """Positions of status words in `packets`."""


class ChunkSource(Protocol):
    """The connection that a large answer still comes from."""

    def next_chunk(self) -> Coroutine[Any, Any, Chunk | None]:
        """None: the answer is complete. Raises ConnectionLost."""
        ...


class RelayReply:
    """One statement's answer. While `complete` is False the rest is still at the shard: drain `chunks`.

    The attributes about the end (`error`, `status`, `warnings`) hold for what has come so far.
    """

    __slots__ = ("_base", "_binary", "_marks", "_scanner", "_shift", "client_status", "packets", "source")

    def __init__(
        self,
        scanner: ResponseScanner,
        packets: bytes | bytearray,
        base: int = 0,
        binary: bool = False,
        source: ChunkSource | None = None,
    ) -> None:
        """`base`: where `packets` began in the buffer that `scanner` saw. `source`: None when complete."""
        self._scanner = scanner
        self._marks = scanner.marks
        self.packets = packets
        """As they are framed for a client, with the shard's status words. Not to be changed."""
        self._base = base
        self._binary = binary
        self.source = source
        self.client_status: int | None = None
        self._shift = 0

    @property
    def complete(self) -> bool:
        return self.source is None

    @property
    def error(self) -> ShardError | None:
        error = self._scanner.error
        return None if error is None else ShardError(error.errno, error.sqlstate, error.message)

    @property
    def affected_rows(self) -> int:
        return self._scanner.affected_rows

    @property
    def last_insert_id(self) -> int:
        return self._scanner.last_insert_id

    @property
    def warnings(self) -> int:
        return self._scanner.warnings

    @property
    def status(self) -> int:
        """The shard's status word, of the last OK or EOF that has come."""
        return self._scanner.status

    @property
    def column_count(self) -> int:
        """0: the last result is an OK or an ERR."""
        return self._scanner.column_count

    @property
    def has_rows(self) -> bool:
        return self._scanner.column_count > 0

    @property
    def row_count(self) -> int:
        """Of a complete reply's last result."""
        return self._scanner.rows

    @property
    def next_sequence(self) -> int:
        """The sequence id that follows the answer as `to_client` gave it; known once it is complete."""
        return self._scanner.sequence + self._shift & 0xFF

    def to_client(self, status: int, sequence: int = 1) -> bytes | bytearray:
        """The packets with the session's `status` (its bits of SESSION_BITS, and MORE_RESULTS_EXISTS).

        Costs nothing where the shard's bits are the same. The chunks that follow get the same treatment.
        """
        scanner = self._scanner
        if (
            sequence == 1
            and not scanner.mixed_status
            and (scanner.status & SESSION_BITS == status or not self._marks)
            and self.source is None
        ):
            return self.packets
        self.client_status = status
        packets = bytearray(self.packets)
        patch_status(packets, (mark - self._base for mark in self._marks), status)
        if sequence != 1:
            renumber(packets, sequence)
            if self.source is None:
                self._shift = sequence - 1
            else:
                scanner.renumber_on(scanner.sequence + sequence - 1)
        return packets

    def next_chunk(self) -> Coroutine[Any, Any, bytes | bytearray | None]:
        """More of a large answer, ready to be sent; None: that was all. Until then the connection is busy."""
        return next_chunk(self)

    def drain(self) -> Coroutine[Any, Any, None]:
        """Drop the rest of the answer, so that the connection can be used again."""
        return drain(self)

    def columns(self) -> list[ColumnDefinition]:
        """Of the first result; none for an OK or ERR."""
        return [parse_column_definition(payload) for payload in self._definitions()]

    def raw_rows(self) -> Iterator[bytes]:
        """The payloads of the first result's rows. Needs a complete reply."""
        payloads = split_packets(self.packets)
        count = self._first_count()
        if not count:
            return
        for index, payload in enumerate(payloads):
            if index < count + 2:
                continue
            if is_err(payload) or (payload[0] == 0xFE and len(payload) < 9):
                return
            yield payload

    def rows(self) -> list[list[bytes | None]]:
        """The first result's rows, as the text protocol writes their values, whichever way they came.

        But a FLOAT that came in binary has all of its digits, to be written in binary again.
        """
        if not self._binary:
            count = self._first_count()
            return [parse_text_row(payload, count) for payload in self.raw_rows()]
        columns = self.columns()
        return [
            [_exact_text(value, column) for value, column in zip(values, columns, strict=True)]
            for values in (parse_binary_row(payload, columns) for payload in self.raw_rows())
        ]

    def _definitions(self) -> Iterator[bytes]:
        count = self._first_count()
        for index, payload in enumerate(split_packets(self.packets)):
            if index > count:
                return
            if index:
                yield payload

    def _first_count(self) -> int:
        first = next(split_packets(self.packets))
        return 0 if first[0] in (0x00, 0xFF) else self._scanner.first_column_count


class PrepareReply:
    """The answer to COM_STMT_PREPARE."""

    __slots__ = ("_base", "_scanner", "packets")

    def __init__(self, scanner: PrepareScanner, packets: bytes | bytearray, base: int) -> None:
        self._scanner = scanner
        self.packets = packets
        self._base = base

    @property
    def error(self) -> ShardError | None:
        error = self._scanner.error
        return None if error is None else ShardError(error.errno, error.sqlstate, error.message)

    @property
    def num_params(self) -> int:
        return self._scanner.params

    @property
    def num_columns(self) -> int:
        return self._scanner.columns

    def to_client(self, statement_id: int, status: int) -> bytes | bytearray:
        """The packets under the proxy's own statement id; an ERR as it is."""
        if self._scanner.error is not None:
            return self.packets
        packets = bytearray(self.packets)
        packets[5:9] = statement_id.to_bytes(4, "little")
        patch_status(packets, (mark - self._base for mark in self._scanner.marks), status)
        return packets

    def columns(self) -> list[ColumnDefinition]:
        """The result's columns as the shard foresees them; none for a statement without rows."""
        skip = 1 + (self.num_params + 1 if self.num_params else 0)
        payloads = list(split_packets(self.packets))[skip : skip + self.num_columns]
        return [parse_column_definition(payload) for payload in payloads]


def _exact_text(value: BinaryValue | None, column: ColumnDefinition) -> bytes | None:
    return (
        repr(value).encode()
        if column.type == FieldType.FLOAT and value is not None
        else to_text(value, column)
    )

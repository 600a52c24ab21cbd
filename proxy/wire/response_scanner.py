"""Finds the end of a shard's answer by walking packet headers: no row is ever looked into.

Owns `ResponseScanner` (COM_QUERY, COM_STMT_EXECUTE and all commands that answer OK) and `PrepareScanner`.
Both are given the whole buffer again whenever it has grown and go on where they stopped. The answers are
framed by EOF packets (no DEPRECATE_EOF). The first `leading` results of a multi-statement packet are the
proxy's own control statements; the packets after them are renumbered in place from 1, as if the client's
statement had been sent alone.

Hot path: `_scan_at_once`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from struct import Struct

from proxy.errors import MalformedPacket
from proxy.wire.capabilities import Status
from proxy.wire.lenenc import read_lenenc_int
from proxy.wire.packets import MAX_PAYLOAD_BYTES
from proxy.wire.responses import ErrPacket, parse_err

_header_and_first = Struct("<IB").unpack_from
_header = Struct("<I").unpack_from
_whole_eof = Struct("<IBHH").unpack_from
_two_words = Struct("<HH").unpack_from

_SHORTEST_OK = 7

MORE_RESULTS = int(Status.MORE_RESULTS_EXISTS)
SESSION_BITS = int(Status.IN_TRANS | Status.AUTOCOMMIT | Status.IN_TRANS_READONLY)
"""The status bits that say something about the session, which only the session knows."""


class _Phase(enum.IntEnum):
    FIRST = 0
    COLUMNS = 1
    ROWS = 2
    DONE = 3


_FIRST, _COLUMNS, _ROWS, _DONE = (int(phase) for phase in _Phase)


class ResponseScanner:
    """One answer, of one or more results. Read the attributes when `scan` has returned True."""

    __slots__ = (
        "_continued",
        "_leading",
        "_phase",
        "_remaining",
        "_renumber",
        "affected_rows",
        "body_start",
        "column_count",
        "error",
        "first_column_count",
        "last_insert_id",
        "marks",
        "mixed_status",
        "position",
        "results",
        "rows",
        "sequence",
        "status",
        "warnings",
    )

    def __init__(self, position: int = 0, leading: int = 0) -> None:
        self.position = position
        """Where the next packet begins; the end of the answer once it is complete."""
        self.body_start = position
        """Where the first result after the leading ones begins."""
        self.results = 0
        """Results that are complete, the leading ones and an ERR included."""
        self.marks: list[int] = []
        """Positions of the status words of the results after the leading ones."""
        self.mixed_status = False
        """Whether the session bits of those status words differ among themselves."""
        self.sequence = 1
        """The sequence id after the last packet, counted from the body's start."""
        self.status = self.warnings = 0
        self.affected_rows = self.last_insert_id = 0
        self.column_count = 0
        """Of the last result set; 0: the last result was an OK or ERR."""
        self.first_column_count = 0
        """Of the first result after the leading ones."""
        self.rows = 0
        """Of the last result set."""
        self.error: ErrPacket | None = None
        self._leading = leading
        self._renumber = leading > 0
        self._phase = _FIRST
        self._remaining = 0
        self._continued = False

    def scan(self, data: bytes | bytearray) -> bool:
        """Go on through `data`, a bytearray where there are leading results. True: the answer is complete."""
        if self._phase == _FIRST and not (self.position or self._leading) and self._scan_at_once(data):
            return True
        size = len(data)
        position, phase, sequence = self.position, self._phase, self.sequence
        leading, renumber, continued = self._leading, self._renumber, self._continued
        while position + 4 < size:
            header, first = _header_and_first(data, position)
            length = header & 0xFFFFFF
            end = position + 4 + length
            if phase == _ROWS and (first < 0xFE or continued or (first == 0xFE and length >= 9)):
                self.rows += not continued
                continued = length == MAX_PAYLOAD_BYTES
            elif phase == _COLUMNS and self._remaining:
                self._remaining -= 1
            else:
                if end > size:
                    break
                phase = self._boundary(data, position, length, first, phase)
                if leading and phase == _FIRST and self.results == leading:
                    self.body_start = position = end
                    sequence = 1
                    continue
            if renumber and self.results >= leading:
                data[position + 3] = sequence  # type: ignore[index]
            sequence = sequence + 1 & 0xFF
            position = end
            if phase == _DONE:
                break
        self.position, self._phase, self.sequence, self._continued = position, phase, sequence, continued
        return phase == _DONE

    def _scan_at_once(self, data: bytes | bytearray) -> bool:
        """The commonest answer, one whole result set with small rows, in as few steps as can be.

        False: it is something else, and nothing has been taken in.
        """
        last = len(data) - 9  # Where its last packet must begin: an EOF.
        count = data[4] if last > 9 else 0
        if not 0 < count < 0xFB or data[0] != 1 or data[last + 4] != 0xFE or data[last] != 5:
            return False
        position = 5
        for _ in range(count):
            position += 4 + (_header(data, position)[0] & 0xFFFFFF)
            if position > last - 9:
                return False
        header, first, _, first_status = _whole_eof(data, position)
        if header & 0xFFFFFF != 5 or first != 0xFE:
            return False
        rows = 0
        first_mark = position + 7
        position += 9
        while position < last:
            header, first = _header_and_first(data, position)
            length = header & 0xFFFFFF
            if first >= 0xFE or length == MAX_PAYLOAD_BYTES:
                return False
            rows += 1
            position += 4 + length
        header, _, warnings, status = _whole_eof(data, last)
        if position != last or header & 0xFFFFFF != 5 or status & MORE_RESULTS:
            return False
        self.status, self.warnings = status, warnings
        self.mixed_status = (status ^ first_status) & SESSION_BITS != 0
        self.marks = [first_mark, last + 7]
        self.column_count = self.first_column_count = count
        self.rows = rows
        self.results = 1
        self.sequence = count + rows + 4 & 0xFF
        self.position = last + 9
        self._phase = _DONE
        return True

    def renumber_on(self, sequence: int) -> None:
        """From the next packet on, number them in place from `sequence`. `scan` then needs a bytearray."""
        self._renumber = True
        self.sequence = sequence & 0xFF

    def forget(self, count: int) -> None:
        """The first `count` bytes of the buffer are gone (handed on): positions move."""
        self.position -= count
        self.body_start = 0
        self.marks = []

    def _boundary(self, data: bytes | bytearray, position: int, length: int, first: int, phase: int) -> int:
        """Take in a packet that begins or ends something, and return the phase after it."""
        start = position + 4
        if first == 0xFF:
            self.error = parse_err(bytes(data[start : start + length]))
            self.column_count = 0
            self.results += 1
            return _DONE
        if phase == _FIRST:
            if first == 0x00:
                return self._ok(data, start, length)
            if first == 0xFB:
                raise MalformedPacket("a shard asked for a local file")
            self.column_count, _ = read_lenenc_int(bytes(data[start : start + length]), 0)
            self._remaining = self.column_count
            self.rows = 0
            if self.results == self._leading:
                self.first_column_count = self.column_count
            return _COLUMNS
        if first != 0xFE or length != 5:
            raise MalformedPacket(f"a shard sent 0x{first:02x} where an EOF was expected")
        self.warnings, status = _two_words(data, start + 1)
        self._mark(start + 3, status)
        if phase == _COLUMNS:
            return _ROWS
        self.results += 1
        return _FIRST if status & MORE_RESULTS else _DONE

    def _ok(self, data: bytes | bytearray, start: int, length: int) -> int:
        if length >= _SHORTEST_OK and data[start + 1] < 0xFB and data[start + 2] < 0xFB:
            self.affected_rows, self.last_insert_id, position = data[start + 1], data[start + 2], 3
        else:
            payload = bytes(data[start : start + length])
            self.affected_rows, position = read_lenenc_int(payload, 1)
            self.last_insert_id, position = read_lenenc_int(payload, position)
            if position + 4 > length:
                raise MalformedPacket("an OK packet ends before its status")
        status, self.warnings = _two_words(data, start + position)
        self.column_count = 0
        self._mark(start + position, status)
        self.results += 1
        return _FIRST if status & MORE_RESULTS else _DONE

    def _mark(self, position: int, status: int) -> None:
        if self.results >= self._leading:
            if self.marks and (status ^ self.status) & SESSION_BITS:
                self.mixed_status = True
            self.marks.append(position)
        self.status = status


class PrepareScanner:
    """The answer to COM_STMT_PREPARE: a head, parameter definitions and EOF, column definitions and EOF."""

    __slots__ = ("_remaining", "columns", "error", "marks", "params", "position", "statement_id", "warnings")

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self.statement_id = self.params = self.columns = self.warnings = 0
        self.marks: list[int] = []
        self.error: ErrPacket | None = None
        self._remaining: int | None = None

    def scan(self, data: bytes | bytearray) -> bool:
        size = len(data)
        while self._remaining != 0 and self.position + 4 < size:
            header, first = _header_and_first(data, self.position)
            start = self.position + 4
            end = start + (header & 0xFFFFFF)
            if end > size:
                break
            if self._remaining is None:
                self._head(bytes(data[start:end]))
            else:
                self._remaining -= 1
                if first == 0xFE and end - start == 5:
                    self.marks.append(start + 3)
            self.position = end
        return self._remaining == 0

    def _head(self, payload: bytes) -> None:
        if payload[0] == 0xFF:
            self.error = parse_err(payload)
            self._remaining = 0
            return
        if payload[0] != 0 or len(payload) < 12:
            raise MalformedPacket("not an answer to COM_STMT_PREPARE")
        self.statement_id = int.from_bytes(payload[1:5], "little")
        self.columns = int.from_bytes(payload[5:7], "little")
        self.params = int.from_bytes(payload[7:9], "little")
        self.warnings = int.from_bytes(payload[10:12], "little")
        self._remaining = sum(count + 1 for count in (self.params, self.columns) if count)


def patch_status(packets: bytearray, marks: Iterable[int], status: int) -> None:
    """Put `status` for the SESSION_BITS of the status words at `marks`."""
    for mark in marks:
        word = int.from_bytes(packets[mark : mark + 2], "little") & ~SESSION_BITS | status
        packets[mark : mark + 2] = word.to_bytes(2, "little")

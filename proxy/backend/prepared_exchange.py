"""Exchanges of prepared statements: preparing one, and relaying a client's COM_STMT_EXECUTE.

A statement id is known only once the shard has answered, so the first execute on a connection takes two round
trips; leading statements, the closing of evicted statements and the COM_STMT_PREPARE travel together. Where
the statement is known everything goes in one write. When a leading statement fails the execute behind it has
been sent already: the connection must then be aborted (`must_abort`), which rolls back what it did.
"""

from __future__ import annotations

import enum

from proxy.backend.exchange import Buffer, Exchange, Leading
from proxy.backend.profile import SessionProfile
from proxy.backend.reply import PrepareReply
from proxy.backend.statement_cache import CachedStatement, StatementCache
from proxy.backend.statements import PreparedStatement
from proxy.errors import MalformedPacket
from proxy.wire.commands import Command
from proxy.wire.packets import frame
from proxy.wire.response_scanner import PrepareScanner, ResponseScanner
from proxy.wire.statements import EXECUTE_FIXED_BYTES, bound_types, with_types

ER_MAX_PREPARED_STMT_COUNT = 1461
STALE_ERRNOS = frozenset((1243, 1615))
"""Unknown statement handler, statement needs to be re-prepared: the cached id is of no more use."""


class _Step(enum.Enum):
    LEADING = enum.auto()
    PREPARE = enum.auto()
    EXECUTE = enum.auto()


class PreparedExchange(Exchange):
    """Leading statements, then COM_STMT_PREPARE of `sql`, each where needed."""

    __slots__ = ("_cache", "_profile", "_sql", "_step", "definitions", "prepare_scanner")

    binary = True
    must_abort = True

    def __init__(
        self,
        sql: bytes,
        statement: PreparedStatement | None,
        leading: Leading,
        cache: StatementCache,
        profile: SessionProfile | None,
    ) -> None:
        super().__init__(leading, statement, b"")
        self._sql = sql
        self._cache = cache
        self._profile = profile
        self.prepare_scanner: PrepareScanner | None = None
        self.definitions: PrepareReply | None = None
        """The answer, where nothing is to be executed."""
        self._step = _Step.EXECUTE
        parts: list[bytes] = []
        if leading.statements:
            parts.append(frame(bytes((Command.COM_QUERY,)) + b";".join(leading.statements)))
            self._step = _Step.LEADING
        cached = None if statement is None else cache.get(sql, profile)
        if cached is None:
            parts += (frame(make_close(statement_id)) for statement_id in cache.make_room())
            parts.append(frame(bytes((Command.COM_STMT_PREPARE,)) + sql))
            self.prepare_scanner = PrepareScanner()
            if not leading.statements:
                self._step = _Step.PREPARE
        else:
            parts.append(self._execute(cached))
        self.request = parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def in_body(self) -> bool:
        return self._step is _Step.EXECUTE

    @property
    def end(self) -> int:
        if self._step is _Step.PREPARE and self.prepare_scanner is not None:
            return self.prepare_scanner.position
        return self.scanner.position

    def feed(self, data: Buffer) -> bool:
        if self._step is _Step.LEADING:
            if not self.scanner.scan(data):
                return False
            self._leading_results(data, 0, self.scanner)
            if self.failure is not None:
                return True
            self._after_leading(self.scanner.position)
        if self._step is _Step.PREPARE:
            return self._feed_prepare(data)
        if not self.scanner.scan(data):
            return False
        error = self.scanner.error
        if error is not None and error.errno in STALE_ERRNOS:
            self._cache.discard(self._sql, self._profile)
        return True

    def _after_leading(self, position: int) -> None:
        self.body_start = position
        if self.prepare_scanner is None:
            self._expect_execute(position)
        else:
            self._step = _Step.PREPARE
            self.prepare_scanner = PrepareScanner(position)

    def _feed_prepare(self, data: Buffer) -> bool:
        scanner = self.prepare_scanner
        assert scanner is not None
        if not scanner.scan(data):
            return False
        if self.statement is None:
            self.definitions = PrepareReply(
                scanner, data[self.body_start : scanner.position], self.body_start
            )
        if scanner.error is not None:
            if scanner.error.errno == ER_MAX_PREPARED_STMT_COUNT:
                self.output = b"".join(frame(make_close(old)) for old in self._cache.clear()) or None
            self._expect_execute(self.body_start)  # The ERR stands for the answer to the execute.
            self.scanner.scan(data)
            return True
        cached = CachedStatement(scanner.statement_id, scanner.params)
        replaced = self._cache.discard(self._sql, self._profile)
        self._cache.put(self._sql, self._profile, cached)
        if self.statement is None:
            self.output = None if replaced is None else frame(make_close(replaced))
            return True
        self.output = self._execute(cached)
        self._expect_execute(scanner.position)
        return False

    def _expect_execute(self, position: int) -> None:
        """The status stays what the leading statements left, until the execute's own: an ERR has none."""
        status = self.scanner.status
        self._step = _Step.EXECUTE
        self.body_start = position
        self.scanner = ResponseScanner(position)
        self.scanner.status = status

    def _execute(self, cached: CachedStatement) -> bytes:
        """COM_STMT_EXECUTE under the shard's own id: long data ahead, types where the shard lacks them."""
        statement = self.statement
        assert isinstance(statement, PreparedStatement)
        payload, count = statement.payload, statement.num_params
        if len(payload) < EXECUTE_FIXED_BYTES:
            raise MalformedPacket("COM_STMT_EXECUTE is too short")
        if count:
            if bound_types(payload, count) is None and cached.sent_types != statement.param_types:
                payload = with_types(payload, count, statement.param_types)
            cached.sent_types = statement.param_types
        statement_id = cached.statement_id.to_bytes(4, "little")
        # The cursor flag is cleared: rows come at once, which a server may always do.
        execute = frame(payload[:1] + statement_id + b"\0" + payload[EXECUTE_FIXED_BYTES - 4 :])
        if not statement.long_data:
            return execute
        head = bytes((Command.COM_STMT_SEND_LONG_DATA,)) + statement_id
        ahead = [frame(head + index.to_bytes(2, "little") + data) for index, data in statement.long_data]
        return b"".join((*ahead, execute))


def make_close(statement_id: int) -> bytes:
    return bytes((Command.COM_STMT_CLOSE,)) + statement_id.to_bytes(4, "little")

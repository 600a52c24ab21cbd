"""What goes over a shard connection for one request, sans-IO: bytes to write, the answer's bytes in, a result
out.

The exchanges are ControlExchange (control statements, decoded), CommandExchange (a command that is answered
by OK), TextRelay (a client's statement behind control statements, not decoded) and, in `prepared_exchange`,
those of prepared statements. A connection runs one at a time: it writes `request`, calls `feed` with the
whole buffer whenever that has grown, and writes what `feed` left in `output`.

Leading statements (first the session's profile, then the engine's prefix) share the packet of a client's
text, so that a failing one keeps it from running. A failing one is `failure`; the client's own error is in
its reply.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.backend.control import decode_results
from proxy.backend.statements import Statement, TextStatement
from proxy.errors import MalformedPacket
from proxy.wire.commands import Command
from proxy.wire.packets import frame
from proxy.wire.response_scanner import ResponseScanner
from proxy.wire.responses import ErrPacket
from txguard.engine.shard import Rows

Buffer = bytes | bytearray

_QUERY = bytes((Command.COM_QUERY,))


@dataclass(frozen=True, slots=True)
class Leading:
    """Control statements in front. The first `profile` of them are the pool's, the rest the caller's."""

    statements: tuple[bytes, ...] = ()
    profile: int = 0
    encoding: str = "utf-8"

    @property
    def from_caller(self) -> bool:
        return len(self.statements) > self.profile


NO_LEADING = Leading()


class Exchange:
    __slots__ = (
        "binary",
        "body_start",
        "failed_at",
        "failure",
        "leading",
        "output",
        "request",
        "rewrites",
        "rows",
        "scanner",
        "statement",
    )

    def __init__(self, leading: Leading, statement: Statement | None, request: bytes) -> None:
        self.leading = leading
        self.statement = statement
        """The client's, which is relayed; None where there is none."""
        self.request = request
        self.output: bytes | None = None
        self.rewrites = False
        """Whether `feed` needs a bytearray."""
        self.rows: list[Rows] = []
        """The decoded answers of the caller's leading statements."""
        self.failure: ErrPacket | None = None
        self.failed_at = 0
        """Which of the leading statements failed, from 0."""
        self.scanner = ResponseScanner()
        self.body_start = 0
        """Where the answer to the client's statement begins in the buffer."""
        self.binary = False

    def feed(self, data: Buffer) -> bool:
        """True: the answer is complete and ends at `end`. Raises MalformedPacket."""
        raise NotImplementedError

    @property
    def end(self) -> int:
        return self.scanner.position

    @property
    def must_abort(self) -> bool:
        """After a failure: something that must not count has been sent behind the leading statements."""
        return False

    @property
    def in_body(self) -> bool:
        """Whether all that comes now is the client's own answer, which may be handed over in parts."""
        return False

    def _leading_results(self, data: Buffer, start: int, scanner: ResponseScanner) -> None:
        """All leading statements have been answered, or one has failed and nothing came after it."""
        count = len(self.leading.statements)
        if scanner.error is not None and scanner.results <= count:
            self.failure, self.failed_at = scanner.error, scanner.results - 1
        elif scanner.results < count:
            raise MalformedPacket(f"a shard answered {scanner.results} of {count} statements")
        else:
            self.rows = decode_results(data, start, count, self.leading.encoding)[self.leading.profile :]


class CommandExchange(Exchange):
    """A command that is answered by one OK or ERR, such as COM_PING."""

    __slots__ = ()

    def __init__(self, payload: bytes) -> None:
        super().__init__(NO_LEADING, None, frame(payload))

    def feed(self, data: Buffer) -> bool:
        done = self.scanner.scan(data)
        self.failure = self.scanner.error
        return done


class ControlExchange(Exchange):
    """Control statements in one packet."""

    __slots__ = ()

    def __init__(self, leading: Leading) -> None:
        super().__init__(leading, None, frame(_QUERY + b";".join(leading.statements)))

    def feed(self, data: Buffer) -> bool:
        if not self.scanner.scan(data):
            return False
        self._leading_results(data, 0, self.scanner)
        return True


class TextRelay(Exchange):
    """COM_QUERY of a client. The hot path: without leading statements it is the scanner and nothing else."""

    __slots__ = ()

    def __init__(self, statement: TextStatement, leading: Leading) -> None:
        if not leading.statements:
            super().__init__(leading, statement, frame(_QUERY + statement.sql))
            return
        super().__init__(leading, statement, frame(_QUERY + b";".join((*leading.statements, statement.sql))))
        self.scanner = ResponseScanner(0, len(leading.statements))
        self.rewrites = True

    def feed(self, data: Buffer) -> bool:
        scanner = self.scanner
        done = scanner.scan(data)
        if self.rewrites and not self.body_start and (done or self.in_body):
            self._leading_results(data, 0, scanner)
            self.body_start = scanner.body_start
        return done

    @property
    def in_body(self) -> bool:
        return self.scanner.results >= len(self.leading.statements)

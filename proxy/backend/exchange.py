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


class Leading:
    """Control statements in front. The first `profile` of them are the pool's, the rest the caller's."""

    __slots__ = ("decoded", "encoding", "profile", "statements")

    def __init__(
        self,
        statements: tuple[bytes, ...] = (),
        profile: int = 0,
        encoding: str = "utf-8",
        decoded: bool = True,
    ) -> None:
        self.statements, self.profile, self.encoding = statements, profile, encoding
        self.decoded = decoded
        """Whether anybody wants to know their answers."""

    @property
    def from_caller(self) -> bool:
        return len(self.statements) > self.profile


NO_LEADING = Leading()


class Exchange:
    """One request and its answer; what a connection may ask of any exchange."""

    __slots__ = (
        "body_start",
        "failed_at",
        "failure",
        "leading",
        "output",
        "request",
        "rows",
        "scanner",
        "statement",
    )

    rewrites = False
    """Whether `feed` needs a bytearray."""
    binary = False
    """Whether rows come in the binary form."""
    must_abort = False
    """After a failure: something that must not count has been sent behind the leading statements."""

    def __init__(self, leading: Leading, statement: Statement | None, request: bytes) -> None:
        self.leading = leading
        self.statement = statement
        """The client's, which is relayed; None where there is none."""
        self.request = request
        self.output: bytes | None = None
        """To be written now."""
        self.rows: list[Rows] = []
        """The decoded answers of the caller's leading statements."""
        self.failure: ErrPacket | None = None
        self.failed_at = 0
        """Which of the leading statements failed, from 0."""
        self.scanner = ResponseScanner()
        """Of the answer that comes now."""
        self.body_start = 0
        """Where the answer to the client's statement begins in the buffer."""

    def feed(self, data: Buffer) -> bool:
        """True: the answer is complete and ends at `end`. Raises MalformedPacket."""
        raise NotImplementedError

    def take_output(self) -> bytes:
        """`output`, which is then written."""
        output, self.output = self.output, None
        return output or b""

    def body_dropped(self) -> None:
        """All that has come of the client's answer is gone from the buffer, and the rest will begin it."""
        self.body_start = 0

    @property
    def end(self) -> int:
        return self.scanner.position

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
        elif self.leading.decoded:
            self.rows = decode_results(data, start, count, self.leading.encoding)[self.leading.profile :]


class TextRelay(Exchange):
    """COM_QUERY of a client and nothing else. The hot path: a scanner."""

    __slots__ = ()

    def __init__(self, statement: TextStatement) -> None:
        super().__init__(NO_LEADING, statement, frame(_QUERY + statement.sql))

    def feed(self, data: Buffer) -> bool:
        return self.scanner.scan(data)

    @property
    def in_body(self) -> bool:
        return True


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


class LedTextRelay(Exchange):
    """COM_QUERY of a client behind leading statements, in one packet with them."""

    __slots__ = ("_led",)

    rewrites = True

    def __init__(self, statement: TextStatement, leading: Leading) -> None:
        super().__init__(leading, statement, frame(_QUERY + b";".join((*leading.statements, statement.sql))))
        self.scanner = ResponseScanner(0, len(leading.statements))
        self._led = False

    def feed(self, data: Buffer) -> bool:
        scanner = self.scanner
        done = scanner.scan(data)
        if not self._led and (done or self.in_body):
            self._led = True
            self._leading_results(data, 0, scanner)
            self.body_start = scanner.body_start
        return done

    @property
    def in_body(self) -> bool:
        return self.scanner.results >= len(self.leading.statements)

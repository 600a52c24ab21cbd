"""What the server side of a client connection and a session ask of each other.

`Client` is the connection as a session sees it; `Session` is what a connection hands commands to. The rules:

- One command at a time. It begins with a call of one `on_…` method and ends with `Client.finish` or with a
  `send_…` that is not told `more=True`. Commands that a client pipelines wait in the connection.
- An `on_…` method may answer before it returns, or return None and answer later from a callback, or return a
  coroutine, which the connection runs as a task. An exception (of a coroutine, or raised by the method) that
  has `errno` and `sqlstate` becomes the ERR packet.
- Packets given to `write` and `finish` are framed and numbered by the session, from `Client.sequence` on (1
  when a command begins). Helpers number their own and move `sequence` on.
- When the socket ends `on_disconnect` is called at once, even while a command runs; its coroutine is not
  cancelled (a COMMIT must come to its end). After the last command `close` is awaited, once, on every path.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from proxy.wire.capabilities import Status
from proxy.wire.columns import ColumnDefinition

Pending = Coroutine[Any, Any, None] | None
"""What an `on_…` method returns: None (answered, or will be by a callback) or the rest of its work."""

AUTOCOMMIT = int(Status.AUTOCOMMIT)


@dataclass(frozen=True, slots=True)
class Login:
    """Who is at the other end, proven by the authentication."""

    user: str
    database: str | None
    collation: int
    """The collation id that the client asked for; it sets character_set_client, _results and _connection."""
    capabilities: int
    """What client and server have agreed on (FOUND_ROWS, MULTI_STATEMENTS, …)."""
    address: str
    """host:port, or the path of the Unix socket; for the process list and the log."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Connection attributes such as program_name, as the client gave them."""
    secure: bool = False
    """TLS or a Unix socket."""


class Client(Protocol):
    """The connection that a session answers on."""

    sequence: int
    """The id of the next packet of this answer."""
    multi_statements: bool
    """Whether the client may send several statements in one COM_QUERY (at login, or by COM_SET_OPTION)."""
    session_state: Callable[[], bytes] | None
    """Asked by `send_ok` for state changes that the client does not know yet; None: it does not want to."""

    @property
    def connection_id(self) -> int:
        """CONNECTION_ID() as the client knows it."""
        ...

    @property
    def closed(self) -> bool:
        """The socket has ended: what is written now goes nowhere."""
        ...

    def write(self, packets: bytes | bytearray) -> None:
        """Send a part of the answer; more follows."""
        ...

    def finish(self, packets: bytes | bytearray = b"") -> None:
        """Send the last part of the answer: the command is over."""
        ...

    async def drain(self) -> None:
        """Wait until a slow client has taken most of what was written.

        Between the chunks of a large answer.
        """
        ...

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
        """`more`: MORE_RESULTS_EXISTS is set and the command goes on."""
        ...

    def send_error(self, errno: int, sqlstate: str, message: str) -> None:
        """Ends the command, also one of several statements."""
        ...

    def send_resultset(
        self,
        columns: Sequence[ColumnDefinition],
        rows: Iterable[bytes],
        *,
        status: int = AUTOCOMMIT,
        warnings: int = 0,
        more: bool = False,
    ) -> None:
        """`rows` are payloads made by `make_text_row` or `make_binary_row`."""
        ...

    def kill(self) -> None:
        """Drop the connection at once, as KILL does."""
        ...


class Session(Protocol):
    """One client's session. Text of statements is bytes in the client's character set."""

    def on_login(self) -> Pending:
        """Answer the login. `send_error` (an unknown database, say) also ends the connection."""
        ...

    def on_query(self, sql: bytes) -> Pending: ...

    def on_prepare(self, sql: bytes) -> Pending: ...

    def on_execute(self, payload: bytes) -> Pending:
        """`payload` is the whole COM_STMT_EXECUTE, its command byte included."""
        ...

    def on_stmt_reset(self, statement_id: int) -> Pending: ...

    def on_stmt_close(self, statement_id: int) -> None:
        """Has no answer."""
        ...

    def on_send_long_data(self, statement_id: int, parameter: int, data: bytes) -> None:
        """Has no answer."""
        ...

    def on_init_db(self, database: bytes) -> Pending: ...

    def on_ping(self) -> Pending: ...

    def on_field_list(self, table: bytes, wildcard: bytes) -> Pending: ...

    def on_statistics(self) -> str:
        """The text of COM_STATISTICS."""
        ...

    def on_kill(self, connection_id: int) -> Pending:
        """COM_PROCESS_KILL."""
        ...

    def on_reset_connection(self) -> Pending: ...

    def on_change_user(self, login: Login) -> Pending:
        """The new user is authenticated; start afresh as on a new connection, then answer."""
        ...

    def on_disconnect(self) -> None:
        """The socket has ended. Called once, at once; abort reads that nobody waits for, never a commit."""
        ...

    async def close(self) -> None:
        """Roll back, give everything back. Called once, after the last command; must not raise."""
        ...


SessionFactory = Callable[[Client, Login], Session]
"""Makes a session after authentication; `on_login` is its first command."""

"""The connection that statements are answered on, as much of it as executor and session use.

`proxy.server.handler.Client` and `Login` meet these Protocols; they stand here because the server is the layer above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from proxy.wire.columns import ColumnDefinition


class Login(Protocol):
    """Who is at the other end, proven by the authentication."""

    @property
    def user(self) -> str: ...
    @property
    def database(self) -> str | None: ...
    @property
    def collation(self) -> int: ...
    @property
    def capabilities(self) -> int: ...
    @property
    def address(self) -> str: ...


class Client(Protocol):
    """One command is answered at a time; `sequence` is the id of the next packet of its answer."""

    sequence: int
    multi_statements: bool
    session_state: Callable[[], bytes] | None
    """Gives what of the session's state an OK packet has yet to tell; None: nothing is to be told."""

    @property
    def connection_id(self) -> int: ...
    @property
    def closed(self) -> bool: ...

    def write(self, packets: bytes | bytearray) -> None: ...
    def finish(self, packets: bytes | bytearray = b"") -> None: ...
    async def drain(self) -> None: ...
    def send_ok(
        self,
        *,
        affected_rows: int = 0,
        last_insert_id: int = 0,
        status: int = 2,
        warnings: int = 0,
        info: bytes = b"",
        more: bool = False,
    ) -> None: ...
    def send_error(self, errno: int, sqlstate: str, message: str) -> None: ...
    def send_resultset(
        self,
        columns: Sequence[ColumnDefinition],
        rows: Iterable[bytes],
        *,
        status: int = 2,
        warnings: int = 0,
        more: bool = False,
    ) -> None: ...
    def kill(self) -> None: ...

"""A scripted PEP 249 server: it logs every statement in order and fails where the test says so."""

from __future__ import annotations

from collections import defaultdict
from types import TracebackType
from typing import Any

import pymysql.err
import pytest


class ScriptedCursor:
    def __init__(self, connection: ScriptedConnection) -> None:
        self._connection = connection

    def execute(self, statement: str) -> None:
        self._connection.run(statement)

    def close(self) -> None: ...


class ScriptedConnection:
    def __init__(self, server: ScriptedServer, number: int) -> None:
        self.server, self.number = server, number
        self.server_status = 0

    def run(self, statement: str) -> None:
        self.server.log.append(f"{self.number}:{statement}")
        failures = self.server.failures[statement]
        if failures:
            error = failures.pop(0)
            if error is not None:
                raise error
        if statement.startswith("START"):
            self.server_status = 1
        elif statement in ("COMMIT", "ROLLBACK", "DDL"):
            self.server_status = 0

    def cursor(self) -> ScriptedCursor:
        return ScriptedCursor(self)

    def commit(self) -> None:
        self.run("COMMIT")

    def rollback(self) -> None:
        self.run("ROLLBACK")

    def close(self) -> None:
        self.server.log.append(f"{self.number}:closed")

    def __enter__(self) -> ScriptedConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.log.append(f"{self.number}:{'returned' if error is None else 'discarded'}")


class ScriptedServer:
    """The source: calling it opens a connection. `failures[statement]` are errors for its next runs, None for
    none."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.failures: dict[str, list[BaseException | None]] = defaultdict(list)
        self.opened = 0

    def __call__(self) -> ScriptedConnection:
        failures = self.failures["OPEN"]
        error = failures.pop(0) if failures else None
        if error is not None:
            raise error
        self.opened += 1
        return ScriptedConnection(self, self.opened)


class FrozenClock:
    """Time passes only in sleep; chance is always one half."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def uniform(self) -> float:
        return 0.5

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


@pytest.fixture
def server() -> ScriptedServer:
    return ScriptedServer()


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def mysql_error() -> Any:
    def make(errno: int, text: str = "said the server") -> pymysql.err.MySQLError:
        kind = pymysql.err.InterfaceError if errno == 0 else pymysql.err.OperationalError
        return kind(errno, text)

    return make

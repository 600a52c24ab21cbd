"""A session that answers without any shard, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.errors import NotSupported, UnknownDatabase
from proxy.server.handler import Client, Login, Pending
from proxy.wire.binary_rows import make_binary_row
from proxy.wire.columns import integer_column, text_column
from proxy.wire.packets import frame, frame_all
from proxy.wire.resultsets import make_resultset
from proxy.wire.statements import make_prepare_ok, parse_execute, statement_id_of
from proxy.wire.text_rows import make_text_row


class FakeSession:
    """`say x` answers x; the other words are below. `closed` is set by the connection's end."""

    def __init__(self, client: Client, login: Login) -> None:
        self.client = client
        self.login = login
        self.asked: list[Any] = []
        self.disconnected = False
        self.closed = asyncio.Event()
        self.prepared: dict[int, bytes] = {}
        self.types: bytes | None = None
        self.long_data: dict[int, bytes] = {}
        self.gate = asyncio.Event()

    def on_login(self) -> Pending:
        if self.login.database == "missing":
            raise UnknownDatabase("Unknown database 'missing'")
        self.client.send_ok()
        return None

    def on_query(self, sql: bytes) -> Pending:
        text = sql.decode()
        self.asked.append(text)
        word, _, rest = text.partition(" ")
        if word == "say":
            self._say(rest)
        elif word == "later":
            return self._later(rest)
        elif word == "callback":
            asyncio.get_running_loop().call_later(0.01, self._say, rest)
        elif word == "wait":
            return self._wait()
        elif word == "many":
            self._say("one", more=True)
            self.client.send_ok(affected_rows=2, more=True)
            self._say("three")
        elif word == "rows":
            return self._rows(int(rest))
        elif word == "refuse":
            raise NotSupported(rest)
        elif word == "refuse_later":
            return self._refuse_later(rest)
        elif word == "bug":
            raise ZeroDivisionError
        elif word == "silence":
            return self._silence()
        else:
            self.client.send_ok(affected_rows=1, last_insert_id=7, info=b"fine")
        return None

    def on_prepare(self, sql: bytes) -> Pending:
        self.asked.append(("prepare", sql))
        statement_id = len(self.prepared) + 1
        self.prepared[statement_id] = sql
        params = [text_column("?")] * sql.count(b"?")
        self.client.finish(make_prepare_ok(statement_id, params, [integer_column("n"), text_column("v")]))
        return None

    def on_execute(self, payload: bytes) -> Pending:
        count = self.prepared[statement_id_of(payload)].count(b"?")
        request = parse_execute(payload, count, self.types, self.long_data)
        self.types = request.param_types
        self.asked.append(("execute", request.values))
        columns = [integer_column("n"), text_column("v")]
        rows = [
            make_binary_row(columns, [index, value if isinstance(value, bytes) else repr(value).encode()])
            for index, value in enumerate(request.values)
        ]
        self.client.send_resultset(columns, rows)
        return None

    def on_stmt_reset(self, statement_id: int) -> Pending:
        self.asked.append(("reset", statement_id))
        self.client.send_ok()
        return None

    def on_stmt_close(self, statement_id: int) -> None:
        self.asked.append(("close", statement_id))

    def on_send_long_data(self, statement_id: int, parameter: int, data: bytes) -> None:
        self.long_data[parameter] = self.long_data.get(parameter, b"") + data

    def on_init_db(self, database: bytes) -> Pending:
        self.asked.append(("init_db", database))
        self.client.send_ok()
        return None

    def on_ping(self) -> Pending:
        self.asked.append("ping")
        self.client.send_ok()
        return None

    def on_field_list(self, table: bytes, wildcard: bytes) -> Pending:
        raise NotSupported("COM_FIELD_LIST")

    def on_statistics(self) -> str:
        return "Uptime: 1"

    def on_kill(self, connection_id: int) -> Pending:
        self.asked.append(("kill", connection_id))
        self.client.send_ok()
        return None

    def on_reset_connection(self) -> Pending:
        self.asked.append("reset_connection")
        self.client.send_ok()
        return None

    def on_change_user(self, login: Login) -> Pending:
        self.login = login
        self.asked.append(("change_user", login.user))
        self.client.send_ok()
        return None

    def on_disconnect(self) -> None:
        assert not self.disconnected, "told twice"
        self.disconnected = True

    async def close(self) -> None:
        assert not self.closed.is_set(), "closed twice"
        self.closed.set()

    def _say(self, text: str, *, more: bool = False) -> None:
        self.client.send_resultset([text_column("said")], [make_text_row([text.encode()])], more=more)

    async def _later(self, text: str) -> None:
        await asyncio.sleep(0.01)
        self._say(text)

    async def _wait(self) -> None:
        await self.gate.wait()
        self._say("waited")

    async def _rows(self, count: int) -> None:
        """A large answer in parts, each of them 100 rows of 1,000 bytes."""
        head, _ = make_resultset([text_column("r")], [])
        eof = head[-9:]
        self.client.write(head[:-9])
        sequence, row = self.client.sequence + 3, make_text_row([b"x" * 1000])
        for _ in range(count // 100):
            packets, sequence = frame_all([row] * 100, sequence & 0xFF)
            self.client.write(packets)
            await self.client.drain()
            if self.client.closed:
                break
        self.client.finish(frame(eof[4:], sequence & 0xFF))

    async def _refuse_later(self, construct: str) -> None:
        await asyncio.sleep(0)
        raise NotSupported(construct)

    async def _silence(self) -> None:
        await asyncio.sleep(0)

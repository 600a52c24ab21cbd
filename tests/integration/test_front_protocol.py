"""The server side of a client connection, over real sockets: drivers, raw bytes, and clients that behave badly."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiomysql
import pymysql
import pytest

from proxy.auth.accounts import Accounts
from proxy.auth.client import ClientAuth
from proxy.auth.rsa import KeyPair
from proxy.config import UserConfig
from proxy.server.connection_phase import Identity
from proxy.server.handler import Client, Login
from proxy.server.listener import Listener, ListenerSettings, make_server_tls
from proxy.wire.capabilities import Capability
from proxy.wire.handshake import (
    HandshakeResponse41,
    SslRequest,
    make_handshake_response,
    make_ssl_request,
    parse_handshake,
)
from proxy.wire.packets import PacketReader, frame
from proxy.wire.responses import is_err, is_ok, parse_err
from proxy.wire.statements import make_execute
from proxy.wire.tls import TlsChannel
from tests.fakes.certificates import make_certificate
from tests.fakes.sessions import FakeSession

NATIVE_ONLY = UserConfig(name="native", mysql_native_hash="*14E65567ABDB5135D0CFD9A70B3032C179A49EE7")
USERS = (
    UserConfig(name="app", password="secret"),
    UserConfig(name="open", password=""),
    NATIVE_ONLY,
)
KEYS = KeyPair()


class Front:
    """A listener over fake sessions."""

    def __init__(
        self, settings: ListenerSettings, folder: Path, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.sessions: list[FakeSession] = []
        identity = Identity("8.0.36-TxGuard", Accounts(USERS, b"decoy"), KEYS, offers_tls=tls is not None)
        self.socket = folder / "front.sock"
        self.listener = Listener(identity, self._make, settings, port=0, socket_path=self.socket, tls=tls)

    def _make(self, client: Client, login: Login) -> FakeSession:
        self.sessions.append(FakeSession(client, login))
        return self.sessions[-1]

    @property
    def port(self) -> int:
        return int(self.listener.addresses[0].rpartition(":")[2])

    @property
    def arguments(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "user": "app", "password": "secret"}


StartFront = Callable[..., Any]


@pytest.fixture
async def start_front(tmp_path: Path) -> AsyncIterator[StartFront]:
    """`await start_front(**settings)`; what was started is stopped, and no task is left."""
    async with asyncio.TaskGroup() as tasks:
        started: list[Front] = []

        async def start(tls: ssl.SSLContext | None = None, **settings: Any) -> Front:
            settings = {"stop_timeout_s": 1.0} | settings
            front = Front(ListenerSettings(**settings), tmp_path, tls=tls)
            started.append(front)
            tasks.create_task(front.listener.run())
            await asyncio.wait_for(front.listener.started.wait(), 5)
            return front

        yield start
        for front in started:
            front.listener.stop()
    for front in started:
        for session in front.sessions:
            assert session.closed.is_set(), "every session is closed in the end"
            assert session.disconnected


@pytest.fixture
async def front(start_front: StartFront) -> Front:
    found: Front = await start_front()
    return found


async def in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.wait_for(asyncio.to_thread(work), 20)


class RawClient:
    """A client that sends whatever it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.packets = PacketReader(1 << 26)

    @classmethod
    async def connect(cls, front: Front) -> RawClient:
        return cls(*await asyncio.open_connection("127.0.0.1", front.port))

    @classmethod
    async def logged_in(cls, front: Front, database: bytes | None = None) -> RawClient:
        client = await cls.connect(front)
        client.send(client.login_response(await client.read(), database))
        payload = await client.read()
        if payload == b"\x01\x03":
            payload = await client.read()
        assert is_ok(payload), payload
        client.packets.expected = 1
        return client

    def login_response(
        self, greeting: bytes, database: bytes | None = None, *, user: bytes = b"app"
    ) -> bytes:
        parsed = parse_handshake(greeting)
        auth = ClientAuth("secret", parsed.auth_plugin, parsed.nonce, secure=False)
        flags = parsed.capabilities & ~int(Capability.CONNECT_ATTRS | Capability.SSL)
        if database is None:
            flags &= ~int(Capability.CONNECT_WITH_DB)
        payload = make_handshake_response(
            HandshakeResponse41(flags, 1 << 24, 45, user, auth.first_response(), database, auth.plugin)
        )
        return frame(payload, 1)

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read(self) -> bytes:
        """The next payload; empty at the end of the stream."""
        while True:
            packet = self.packets.next_packet()
            if packet is not None:
                following = packet.sequence + 1
                self.packets.expected = following + (following == 1 and self.packets.expected == 0)
                return packet.payload
            data = await asyncio.wait_for(self.reader.read(65536), 5)
            if not data:
                return b""
            self.packets.feed(data)

    async def command(self, payload: bytes) -> bytes:
        """Send one command and read the first payload of its answer."""
        self.send(frame(payload))
        self.packets.expected = 1
        return await self.read()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass


# ---------------------------------------------------------------- drivers


def ask(connection: Any, statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


async def test_pymysql(front: Front) -> None:
    def work() -> None:
        connection = pymysql.connect(**front.arguments, database="shop")
        assert connection.get_server_info() == "8.0.36-TxGuard"
        assert ask(connection, "say größe") == (("größe",),)
        assert ask(connection, "later 5") == (("5",),)
        assert ask(connection, "callback 5") == (("5",),)
        with connection.cursor() as cursor:
            assert cursor.execute("insert") == 1
            assert cursor.lastrowid == 7
            cursor.execute("many")
            assert cursor.fetchall() == (("one",),)
            assert cursor.nextset()
            assert cursor.rowcount == 2
            assert cursor.nextset()
            assert cursor.fetchall() == (("three",),)
        connection.select_db("other")
        connection.ping(reconnect=False)
        assert connection.thread_id() == front.sessions[0].client.connection_id
        connection.close()

    await in_thread(work)
    session = front.sessions[0]
    assert (session.login.user, session.login.database) == ("app", "shop")
    assert session.login.attributes["_client_name"] == "pymysql"
    assert ("init_db", b"other") in session.asked
    await asyncio.wait_for(session.closed.wait(), 5)


async def test_aiomysql(front: Front) -> None:
    connection = await aiomysql.connect(**front.arguments)
    async with connection.cursor() as cursor:
        await cursor.execute("say x")
        assert await cursor.fetchall() == (("x",),)
        with pytest.raises(pymysql.err.NotSupportedError, match="windows"):
            await cursor.execute("refuse windows")
    await connection.ensure_closed()


@pytest.mark.skipif(shutil.which("mariadb") is None, reason="no mariadb command line here")
async def test_the_command_line(front: Front) -> None:
    """Over TCP and the Unix socket; with the table names read ahead, which it must do without."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            "mariadb",
            "--no-defaults",
            "-uapp",
            "-psecret",
            "--default-character-set=utf8mb4",
            *arguments,
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    tcp = await in_thread(lambda: run("-h127.0.0.1", f"-P{front.port}", "-e", "say größe"))
    assert "größe" in tcp.stdout, tcp.stderr
    unix = await in_thread(lambda: run(f"-S{front.socket}", "-N", "-e", "say hello"))
    assert unix.stdout == "hello\n"
    wrong = await in_thread(lambda: run("-h127.0.0.1", f"-P{front.port}", "-pwrong", "-e", "say x"))
    assert "ERROR 1045 (28000)" in wrong.stderr
    assert "using password: YES" in wrong.stderr


# ---------------------------------------------------------------- login


@pytest.mark.parametrize(("user", "password"), [("app", "secret"), ("open", ""), ("native", "secret")])
async def test_every_kind_of_account(front: Front, user: str, password: str) -> None:
    def work() -> None:
        arguments = front.arguments | {"user": user, "password": password}
        connection = pymysql.connect(**arguments)
        assert ask(connection, "say x") == (("x",),)
        connection.close()

    await in_thread(work)


@pytest.mark.parametrize(
    ("user", "password"), [("app", "wrong"), ("nobody", "secret"), ("open", "x"), ("app", "")]
)
async def test_a_wrong_login(front: Front, user: str, password: str) -> None:
    def work() -> None:
        pymysql.connect(**front.arguments | {"user": user, "password": password})

    with pytest.raises(pymysql.err.OperationalError) as refused:
        await in_thread(work)
    assert refused.value.args[0] == 1045
    assert front.sessions == []


async def test_a_session_may_refuse_the_database(front: Front) -> None:
    with pytest.raises(pymysql.err.OperationalError) as refused:
        await in_thread(lambda: pymysql.connect(**front.arguments, database="missing"))
    assert refused.value.args[0] == 1049
    await asyncio.wait_for(front.sessions[0].closed.wait(), 5)


async def test_commands_before_the_login_are_refused(front: Front) -> None:
    client = await RawClient.connect(front)
    await client.read()
    client.send(frame(b"\x03say x", 0))
    assert is_err(await client.read())
    assert await client.read() == b""
    assert front.sessions == []
    await client.close()


async def test_a_large_packet_before_the_login_is_refused(front: Front) -> None:
    client = await RawClient.connect(front)
    await client.read()
    client.send(b"\xff\xff\xff\x01" + b"x" * 1000)
    assert parse_err(await client.read()).errno == 1153
    await client.close()


async def test_a_silent_client_is_dropped(start_front: StartFront) -> None:
    front = await start_front(handshake_timeout_s=0.1)
    client = await RawClient.connect(front)
    await client.read()
    assert await client.read() == b""
    await client.close()


async def test_too_many_connections(start_front: StartFront) -> None:
    front = await start_front(max_connections=1)
    first = await RawClient.logged_in(front)
    second = await RawClient.connect(front)
    refusal = parse_err(await second.read())
    assert (refusal.errno, refusal.message) == (1040, "Too many connections")
    await second.close()
    await first.close()
    await asyncio.wait_for(front.sessions[0].closed.wait(), 5)
    third = await RawClient.logged_in(front)
    await third.close()


async def test_tls(start_front: StartFront, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    front = await start_front(tls=make_server_tls(certificate, key))

    def work() -> None:
        connection = pymysql.connect(**front.arguments, ssl={"ca": str(certificate), "check_hostname": True})
        assert ask(connection, "say x") == (("x",),)
        assert len(ask(connection, "rows 3000")) == 3000
        connection.close()
        native = pymysql.connect(**front.arguments | {"user": "native"}, ssl={"ca": str(certificate)})
        assert ask(native, "say y") == (("y",),)
        native.close()
        plain = pymysql.connect(**front.arguments, ssl_disabled=True)
        plain.close()

    await in_thread(work)
    assert front.sessions[0].login.secure
    assert not front.sessions[2].login.secure


async def test_tls_whose_first_bytes_come_with_the_request(start_front: StartFront, tmp_path: Path) -> None:
    """Clients write the SSLRequest and the ClientHello at once; they may arrive in one piece."""
    certificate, key = make_certificate(tmp_path)
    front = await start_front(tls=make_server_tls(certificate, key))
    client = await RawClient.connect(front)
    greeting = parse_handshake(await client.read())
    assert greeting.capabilities & Capability.SSL
    context = ssl.create_default_context(cafile=str(certificate))
    tls = TlsChannel(context, server_side=False, server_hostname="localhost")
    tls.start()
    request = make_ssl_request(SslRequest(greeting.capabilities, 1 << 24, 45))
    client.send(frame(request, 1) + tls.take_output())
    while not tls.established:
        tls.feed(await asyncio.wait_for(client.reader.read(65536), 5))
        client.send(tls.take_output())
    tls.write(b"\x05\x00\x00\x02short")
    client.send(tls.take_output())
    answer = b""
    while not answer:
        answer = tls.feed(await asyncio.wait_for(client.reader.read(65536), 5))
    assert parse_err(answer[4:]).errno == 1043
    await client.close()


async def test_tls_is_refused_where_there_is_none(front: Front) -> None:
    client = await RawClient.connect(front)
    greeting = parse_handshake(await client.read())
    assert not greeting.capabilities & Capability.SSL
    client.send(frame(make_ssl_request(SslRequest(greeting.capabilities, 1 << 24, 45)), 1))
    assert is_err(await client.read())
    await client.close()


# ---------------------------------------------------------------- commands


async def test_prepared_statements(front: Front) -> None:
    client = await RawClient.logged_in(front)
    answer = await client.command(b"\x16SELECT ?, ?")
    assert (answer[0], answer[1:5], answer[5:9]) == (0, b"\1\0\0\0", b"\2\0\2\0")
    for _ in range(6):
        await client.read()
    client.send(frame(b"\x18\1\0\0\0\1\0long") + frame(b"\x18\1\0\0\0\1\0er"))
    assert await client.command(make_execute(1, [5, b""])[:-1]) == b"\x02"
    rest = [await client.read() for _ in range(6)]
    assert rest[3:5] == [b"\0\0" + bytes(8) + b"\x015", b"\0\0\1" + bytes(7) + b"\x06longer"]
    client.send(frame(b"\x19\1\0\0\0"))
    assert is_ok(await client.command(b"\x1a\1\0\0\0"))
    session = front.sessions[0]
    assert ("execute", (5, b"longer")) in session.asked
    assert session.asked[-2:] == [("close", 1), ("reset", 1)]
    fetch = parse_err(await client.command(b"\x1c\1\0\0\0\1\0\0\0"))
    assert fetch.errno == 1421
    await client.close()


async def test_the_small_commands(front: Front) -> None:
    client = await RawClient.logged_in(front)
    assert is_ok(await client.command(b"\x0e"))
    assert await client.command(b"\x09") == b"Uptime: 1"
    assert is_ok(await client.command(b"\x1f"))
    assert is_ok(await client.command(b"\x0c\x05\0\0\0"))
    assert parse_err(await client.command(b"\x04t\0")).errno == 1235
    assert (await client.command(b"\x1b\1\0"))[0] == 0xFE
    session = front.sessions[0]
    assert not session.client.multi_statements
    assert (await client.command(b"\x1b\0\0"))[0] == 0xFE
    assert session.client.multi_statements
    assert session.asked == ["ping", "reset_connection", ("kill", 5)]
    client.send(frame(b"\x01"))
    assert await client.read() == b""
    await client.close()


@pytest.mark.parametrize("command", [b"\x07\1", b"\x12", b"\xfa", b""])
async def test_an_unknown_command_is_an_error_and_no_more(front: Front, command: bytes) -> None:
    client = await RawClient.logged_in(front)
    assert parse_err(await client.command(command)).errno == 1047
    assert is_ok(await client.command(b"\x0e"))
    await client.close()


async def test_change_user(front: Front) -> None:
    client = await RawClient.logged_in(front)
    for password, right in (("secret", True), ("wrong", False)):
        switch = await client.command(b"\x11native\0\x00shop\0\x2d\0mysql_native_password\0")
        auth = ClientAuth(password, "mysql_native_password", b"", secure=False)
        response = auth.feed(switch)
        assert response is not None
        client.send(frame(response, 2))
        client.packets.expected = 3
        verdict = await client.read()
        if right:
            assert is_ok(verdict)
            assert front.sessions[0].asked[-1] == ("change_user", "native")
            assert front.sessions[0].login.database == "shop"
            assert is_ok(await client.command(b"\x0e"))
        else:
            assert parse_err(verdict).errno == 1045
            assert await client.read() == b""
    await client.close()


@pytest.mark.parametrize("word", ["refuse", "refuse_later"])
async def test_an_exception_becomes_the_answer(front: Front, word: str) -> None:
    client = await RawClient.logged_in(front)
    error = parse_err(await client.command(f"\x03{word} windows".encode()))
    assert (error.errno, error.sqlstate) == (1235, "42000")
    assert "windows" in error.message
    assert is_ok(await client.command(b"\x0e"))
    await client.close()


@pytest.mark.parametrize("word", ["bug", "silence"])
async def test_a_bug_is_an_internal_error_and_the_connection_lives(front: Front, word: str) -> None:
    client = await RawClient.logged_in(front)
    assert parse_err(await client.command(b"\x03" + word.encode())).errno == 1105
    assert is_ok(await client.command(b"\x0e"))
    await client.close()


@pytest.mark.parametrize(
    "words", [("say", "say"), ("later", "say"), ("callback", "later"), ("say", "callback")]
)
async def test_pipelined_commands_are_answered_in_order(front: Front, words: tuple[str, str]) -> None:
    client = await RawClient.logged_in(front)
    client.send(b"".join(frame(f"\x03{words[index % 2]} {index}".encode()) for index in range(20)))
    for index in range(20):
        client.packets.expected = 1
        answer = [await client.read() for _ in range(5)]
        assert answer[3] == bytes((len(str(index)),)) + str(index).encode()
    assert len(front.sessions[0].asked) == 20
    await client.close()


async def test_a_command_in_many_pieces(front: Front) -> None:
    client = await RawClient.logged_in(front)
    for byte in frame(b"\x03say " + b"x" * 40):
        client.send(bytes((byte,)))
        await asyncio.sleep(0)
    assert await client.read() == b"\x01"
    await client.close()


async def test_only_so_much_is_read_ahead(front: Front) -> None:
    """While a command runs, a client cannot fill the proxy's memory with further ones."""
    client = await RawClient.logged_in(front)
    client.send(frame(b"\x03wait"))
    filler = frame(b"\x03say " + b"x" * 60_000)
    client.send(filler * 400)
    await asyncio.sleep(0.3)
    [connection] = front.listener._connections
    assert len(connection._reader.buffer) < 2 * 1024 * 1024
    front.sessions[0].gate.set()
    reading = 0
    while reading < 400 * 60_000:
        reading += len(await asyncio.wait_for(client.reader.read(1 << 20), 5))
    assert len(front.sessions[0].asked) == 401
    await client.close()


async def test_a_slow_client_holds_the_answer_back(front: Front) -> None:
    client = await RawClient.logged_in(front)
    client.send(frame(b"\x03rows 100000"))
    await asyncio.sleep(0.5)
    [connection] = front.listener._connections
    assert connection._transport.get_write_buffer_size() < 4 * 1024 * 1024
    received = 0
    while received < 100_000 * 1003:
        received += len(await asyncio.wait_for(client.reader.read(1 << 20), 5))
    await client.close()


async def test_a_client_that_takes_nothing_is_dropped(start_front: StartFront) -> None:
    front = await start_front(write_timeout_s=0.2)
    client = await RawClient.logged_in(front)
    client.send(frame(b"\x03rows 100000"))
    await asyncio.wait_for(front.sessions[0].closed.wait(), 5)
    await client.close()


# ---------------------------------------------------------------- bad clients and ends


@pytest.mark.parametrize("data", [b"\x05\x00\x00\x07hello", b"\x01\x00\x00\x01\x0e"])
async def test_a_wrong_sequence_ends_the_connection(front: Front, data: bytes) -> None:
    client = await RawClient.logged_in(front)
    client.send(data)
    assert parse_err(await client.read()).errno == 1835
    assert await client.read() == b""
    await asyncio.wait_for(front.sessions[0].closed.wait(), 5)
    await client.close()


@pytest.mark.parametrize("command", [b"\x17\1\0", b"\x1a\1", b"\x0c\1", b"\x1b\x07\0"])
async def test_a_cut_command_is_an_error(front: Front, command: bytes) -> None:
    client = await RawClient.logged_in(front)
    assert parse_err(await client.command(command)).errno == 1835
    await client.close()


async def test_an_oversized_command(start_front: StartFront) -> None:
    """The error can be read although the client is still sending."""
    front = await start_front(max_packet_bytes=1_000_000)
    client = await RawClient.logged_in(front)
    client.send(frame(b"\x03say " + b"x" * 5_000_000))
    assert parse_err(await client.read()).errno == 1153
    await asyncio.wait_for(front.sessions[0].closed.wait(), 5)
    await client.close()
    fits = await RawClient.logged_in(front)
    assert await fits.command(b"\x03say " + b"x" * 999_990) == b"\x01"
    await fits.close()


async def test_a_command_of_more_than_16_mib(start_front: StartFront) -> None:
    front = await start_front(max_packet_bytes=64 * 1024 * 1024)
    client = await RawClient.logged_in(front)
    client.send(frame(b"\x03say " + b"x" * (17 * 1024 * 1024)))
    client.packets.expected = 2
    assert await client.read() == b"\x01"
    assert len(front.sessions[0].asked[0]) == 17 * 1024 * 1024 + 4
    await client.close()


async def test_noise_instead_of_a_login_does_no_harm(front: Front) -> None:
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00" * 20, bytes(300), b"\xff" * 300):
        client = await RawClient.connect(front)
        client.send(noise)
        client.writer.write_eof()
        await asyncio.wait_for(client.reader.read(), 5)
        await client.close()
    survivor = await RawClient.logged_in(front)
    assert is_ok(await survivor.command(b"\x0e"))
    await survivor.close()


async def test_a_client_that_vanishes_in_a_command(front: Front) -> None:
    """Told at once, closed when the command is over."""
    client = await RawClient.logged_in(front)
    session_count = len(front.sessions)
    client.send(frame(b"\x03wait"))
    while not front.sessions[0].asked:
        await asyncio.sleep(0.01)
    client.writer.transport.abort()
    session = front.sessions[session_count - 1]
    for _ in range(100):
        if session.disconnected:
            break
        await asyncio.sleep(0.01)
    assert session.disconnected
    assert not session.closed.is_set()
    session.gate.set()
    await asyncio.wait_for(session.closed.wait(), 5)


async def test_a_client_idle_for_too_long(start_front: StartFront) -> None:
    front = await start_front(idle_timeout_s=0.2)
    client = await RawClient.logged_in(front)
    for _ in range(3):
        assert is_ok(await client.command(b"\x0e"))
        await asyncio.sleep(0.1)
    client.packets.expected = 1
    assert parse_err(await client.read()).errno == 4031
    assert await client.read() == b""
    await client.close()


async def test_kill_drops_the_client(front: Front) -> None:
    client = await RawClient.logged_in(front)
    front.sessions[0].client.kill()
    assert await asyncio.wait_for(client.reader.read(), 5) == b""
    await asyncio.wait_for(front.sessions[0].closed.wait(), 5)
    await client.close()


async def test_the_orderly_stop(front: Front) -> None:
    """An idle client is told, a running statement ends first, nobody new gets in."""
    idle, busy = await RawClient.logged_in(front), await RawClient.logged_in(front)
    address = front.port
    busy.send(frame(b"\x03wait"))
    while not front.sessions[1].asked:
        await asyncio.sleep(0.01)
    front.listener.stop()
    idle.packets.expected = busy.packets.expected = 1
    assert parse_err(await idle.read()).errno == 1053
    assert await idle.read() == b""
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", address)
    front.sessions[1].gate.set()
    assert [await busy.read() for _ in range(5)][3] == b"\x06waited"
    busy.packets.expected = 1
    assert parse_err(await busy.read()).errno == 1053
    await idle.close()
    await busy.close()


async def test_statements_that_do_not_end_are_cut_off(start_front: StartFront) -> None:
    front = await start_front(stop_timeout_s=0.1)
    client = await RawClient.logged_in(front)
    client.send(frame(b"\x03wait"))
    while not front.sessions[0].asked:
        await asyncio.sleep(0.01)
    front.listener.stop()
    for _ in range(100):
        if front.sessions[0].disconnected:
            break
        await asyncio.sleep(0.01)
    assert front.sessions[0].disconnected
    await client.close()
    await asyncio.wait_for(front.sessions[0].closed.wait(), 5)


async def test_many_clients_at_once(front: Front) -> None:
    def work() -> None:
        connection = pymysql.connect(**front.arguments)
        for number in range(20):
            assert ask(connection, f"say {number}") == ((str(number),),)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join, 20)
    assert len(front.sessions) == 20
    said = [[text for text in session.asked if text.startswith("say")] for session in front.sessions]
    assert said == [[f"say {number}" for number in range(20)]] * 20

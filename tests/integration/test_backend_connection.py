"""Shard connections and their pool against real servers."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from structlog.testing import capture_logs

from proxy.backend.circuit import CircuitState
from proxy.backend.connect import ShardAddress, connect, make_tls_context
from proxy.backend.connection import BackendConnection
from proxy.backend.pool import BackendPool
from proxy.backend.profile import SessionProfile
from proxy.backend.reply import RelayReply
from proxy.backend.statements import PreparedStatement, TextStatement
from proxy.errors import OutOfMergeMemory
from proxy.wire.binary_values import BinaryValue
from proxy.wire.field_types import FieldType
from proxy.wire.statements import bound_types, make_execute
from proxy.wire.temporal import MysqlDateTime, MysqlTime
from tests.conftest import AnyServer, StartServers
from tso.types import ShardName
from txguard.engine.concurrent import settle
from txguard.engine.shard import ConnectionLost, ShardError, ShardUnavailable, borrow

SCHEMA = "wire_backend"
PROFILE = SessionProfile(database=SCHEMA)
BIG_ROWS = (
    b"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<900) "
    b"SELECT i, REPEAT('x',5000) FROM n"
)


def address_of(server: AnyServer, user: str | None = None, password: str | None = None) -> ShardAddress:
    return ShardAddress(
        user or server.user, server.password if password is None else password, server.host, server.port
    )


def make_pool(server: AnyServer, **options: object) -> BackendPool:
    return BackendPool(ShardName("s1"), address_of(server), **options)  # type: ignore[arg-type]


@pytest.fixture
async def pool(shard_servers: Sequence[AnyServer]) -> AsyncIterator[BackendPool]:
    pool = make_pool(shard_servers[0], max_connections=3)
    connection = await pool.acquire(5)
    await connection.run([f"DROP DATABASE IF EXISTS {SCHEMA}", f"CREATE DATABASE {SCHEMA}"], 10)
    pool.release(connection)
    yield pool
    connection = await pool.acquire(5)
    await connection.run([f"DROP DATABASE IF EXISTS {SCHEMA}"], 10)
    pool.release(connection)
    pool.close()


@pytest.fixture
async def connection(pool: BackendPool) -> AsyncIterator[BackendConnection]:
    connection = await pool.acquire(5, PROFILE)
    yield connection
    pool.release(connection)


async def text(connection: BackendConnection, sql: str, prefix: Sequence[str] = ()) -> RelayReply:
    return (await connection.relay(prefix, TextStatement(sql.encode()), 10))[1]


async def prepared(
    connection: BackendConnection,
    sql: str,
    values: Sequence[BinaryValue | None],
    prefix: Sequence[str] = (),
    *,
    bind: bool = True,
) -> RelayReply:
    types = bound_types(make_execute(0, values), len(values)) or b""
    payload = make_execute(0, values, bind=bind)
    statement = PreparedStatement(sql.encode(), payload, len(values), types)
    return (await connection.relay(prefix, statement, 10))[1]


# ---------------------------------------------------------------- login


async def test_login_by_either_plugin(shard_servers: Sequence[AnyServer], server_kind: object) -> None:
    """On MySQL this is caching_sha2_password without TLS: the first login goes by RSA, the second by the cache."""
    root = await connect(address_of(shard_servers[0]))
    await root.run(
        [
            "DROP USER IF EXISTS 'wire'@'%'",
            "CREATE USER 'wire'@'%' IDENTIFIED BY 'sécret'",
            "FLUSH PRIVILEGES",
        ],
        10,
    )
    try:
        for _ in range(2):
            connection = await connect(address_of(shard_servers[0], "wire", "sécret"))
            assert (await connection.run(["SELECT CONNECTION_ID()"], 5))[0].rows == [[connection.thread_id]]
            connection.close()
        with pytest.raises(ShardError) as refused:
            await connect(address_of(shard_servers[0], "wire", "wrong"))
        assert refused.value.errno == 1045
    finally:
        await root.run(["DROP USER 'wire'@'%'"], 10)
        root.close()


async def test_login_over_a_unix_socket(shard_servers: Sequence[AnyServer]) -> None:
    path = getattr(shard_servers[0], "socket", None)
    if path is None:
        pytest.skip("a server in a container has no socket here")
    connection = await connect(ShardAddress(shard_servers[0].user, socket=path))
    assert (await connection.run(["SELECT 1"], 5))[0].rows == [[1]]
    connection.close()


@pytest.mark.mysql_only
async def test_login_over_tls(shard_servers: Sequence[AnyServer]) -> None:
    address = dataclasses.replace(address_of(shard_servers[0]), tls=make_tls_context("required", None))
    connection = await connect(address)
    [cipher] = await connection.run(["SHOW STATUS LIKE 'Ssl_cipher'"], 5)
    assert cipher.rows[0][1]
    reply = (await connection.relay([], TextStatement(BIG_ROWS, stream=False), 10))[1]
    assert len(reply.rows()) == 900
    connection.abort()  # Good-byes by TLS take a round trip, for which the loop of a test does not wait.


@pytest.mark.mysql_only
async def test_a_certificate_of_nobody_is_refused_where_it_is_verified(
    shard_servers: Sequence[AnyServer],
) -> None:
    address = dataclasses.replace(address_of(shard_servers[0]), tls=make_tls_context("verify", None))
    with pytest.raises(OSError, match="certificate"):
        await connect(address)


# ---------------------------------------------------------------- statements


async def test_control_statements(connection: BackendConnection) -> None:
    rows = await connection.run(
        [
            "CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(20), c BLOB, d DECIMAL(9,2), e DATETIME(3), f DOUBLE)",
            "INSERT INTO t VALUES (1,'é',X'FF00',1.50,'2024-01-02 03:04:05.678',0.5),(2,NULL,NULL,NULL,NULL,NULL)",
            "SELECT * FROM t ORDER BY a",
        ],
        10,
    )
    assert rows[1].affected_rows == 2
    assert rows[2].rows == [
        [1, "é", b"\xff\x00", "1.50", "2024-01-02 03:04:05.678", 0.5],
        [2, None, None, None, None, None],
    ]


async def test_the_first_failing_control_statement_ends_them(connection: BackendConnection) -> None:
    await connection.run(["CREATE TABLE t (a INT PRIMARY KEY)"], 10)
    with pytest.raises(ShardError) as failed:
        await connection.run(["INSERT INTO t VALUES (1)", "nonsense", "INSERT INTO t VALUES (2)"], 10)
    assert failed.value.errno == 1064
    assert (await connection.run(["SELECT a FROM t"], 10))[0].rows == [[1]]
    assert connection.reusable


async def test_a_relayed_answer_is_that_of_the_statement_alone(connection: BackendConnection) -> None:
    alone = await text(connection, "SELECT 1 AS a UNION ALL SELECT 2")
    behind = await text(connection, "SELECT 1 AS a UNION ALL SELECT 2", ["SELECT 5", "SET @a=1"])
    assert bytes(alone.packets) == bytes(behind.packets)
    assert alone.rows() == [[b"1"], [b"2"]]


async def test_the_session_status_of_the_shard_does_not_show(connection: BackendConnection) -> None:
    reply = await text(connection, "SELECT 1", ["START TRANSACTION"])
    assert reply.status & 1
    alone = await text(connection, "SELECT 1", ["ROLLBACK"])
    assert bytes(reply.to_client(2)) == bytes(alone.packets)


async def test_a_failing_prefix_keeps_the_statement_from_running(connection: BackendConnection) -> None:
    await connection.run(["CREATE TABLE t (a INT PRIMARY KEY)"], 10)
    with pytest.raises(ShardError):
        await text(connection, "INSERT INTO t VALUES (1)", ["SELECT nonsense"])
    assert (await connection.run(["SELECT COUNT(*) FROM t"], 10))[0].rows == [[0]]


async def test_an_ordinary_error_is_in_the_reply(connection: BackendConnection) -> None:
    reply = await text(connection, "SELECT nonsense", ["SELECT 1"])
    assert reply.error is not None
    assert reply.error.errno == 1054
    assert bytes(reply.packets[3:5]) == b"\x01\xff"


async def test_a_procedure_has_many_results(connection: BackendConnection) -> None:
    await connection.run(["CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2, 3; END"], 10)
    alone = await text(connection, "CALL p()")
    behind = await text(connection, "CALL p()", ["SET @a=1"])
    assert bytes(alone.packets) == bytes(behind.packets)
    assert alone.rows() == [[b"1"]]


EVERY_TYPE = {
    "TINYINT": 5,
    "SMALLINT UNSIGNED": 65535,
    "MEDIUMINT": -8388608,
    "INT": 7,
    "INT(8) ZEROFILL": 42,
    "BIGINT UNSIGNED": 2**64 - 1,
    "FLOAT": 1.25,
    "DOUBLE": -1e20,
    "DECIMAL(20,5)": b"-12345.67800",
    "DATE": b"2024-02-29",
    "TIME(3)": b"-30:01:02.500",
    "DATETIME(6)": b"2024-02-29 01:02:03.000004",
    "TIMESTAMP NULL": b"2024-02-29 01:02:03",
    "YEAR": 2024,
    "CHAR(3)": b"abc",
    "VARBINARY(5)": b"\xff\x00",
    "TEXT": b"x" * 300,
    "BIT(12)": b"\x0f\xff",
    "ENUM('red','green')": b"green",
    "SET('a','b','c')": b"a,c",
    "JSON": b'{"a": 1}',
}


async def test_every_type_reads_the_same_in_both_forms(connection: BackendConnection) -> None:
    columns = ", ".join(f"c{index} {kind}" for index, kind in enumerate(EVERY_TYPE))
    marks = ", ".join("?" for _ in EVERY_TYPE)
    await connection.run([f"CREATE TABLE t (id INT PRIMARY KEY, {columns})"], 10)
    values: list[BinaryValue | None] = [1, *EVERY_TYPE.values()]
    assert (await prepared(connection, f"INSERT INTO t VALUES (?, {marks})", values)).error is None
    nulls: list[BinaryValue | None] = [2, *[None] * len(EVERY_TYPE)]
    assert (await prepared(connection, f"INSERT INTO t VALUES (?, {marks})", nulls)).affected_rows == 1
    as_text = (await text(connection, "SELECT * FROM t ORDER BY id")).rows()
    as_binary = (await prepared(connection, "SELECT * FROM t ORDER BY id", [])).rows()
    assert as_binary == as_text
    assert as_text[0][1] == b"5"
    assert as_text[1][1:] == [None] * len(EVERY_TYPE)


async def test_parameters_of_every_kind(connection: BackendConnection) -> None:
    values: list[BinaryValue | None] = [
        -5, 0.5, b"abc", None, MysqlDateTime(2024, 1, 2, 3, 4, 5, 6), MysqlTime(True, 30, 1, 2),
    ]  # fmt: skip
    casts = "?+0, ?+0, ?, ?, CAST(? AS DATETIME(6)), CAST(? AS TIME)"
    reply = await prepared(connection, f"SELECT {casts}", values)
    assert reply.rows() == [[b"-5", b"0.5", b"abc", None, b"2024-01-02 03:04:05.000006", b"-30:01:02"]]


async def test_parameter_types_are_remembered_over_connections(pool: BackendPool) -> None:
    """A client binds its types once; the connection that executes later may be another."""
    first, second = await pool.acquire(5, PROFILE), await pool.acquire(5, PROFILE)
    assert (await prepared(first, "SELECT ?+1", [4])).rows() == [[b"5"]]
    assert (await prepared(second, "SELECT ?+1", [5], bind=False)).rows() == [[b"6"]]
    assert (await prepared(second, "SELECT ?+1", [6], bind=False)).rows() == [[b"7"]]
    pool.release(first)
    pool.release(second)


async def test_long_data(connection: BackendConnection) -> None:
    payload = make_execute(0, [b"", 5], [(FieldType.BLOB, False), (FieldType.LONG, False)])
    payload = payload[:-5] + payload[-4:]
    types = bound_types(payload, 2) or b""
    statement = PreparedStatement(b"SELECT LENGTH(?), ?", payload, 2, types, ((0, b"x" * 70_000), (0, b"yz")))
    for _ in range(2):
        assert (await connection.relay([], statement, 10))[1].rows() == [[b"70002", b"5"]]


async def test_a_prepared_statement_behind_a_prefix(connection: BackendConnection) -> None:
    for _ in range(2):
        rows, reply = await connection.relay(
            ["SET @a=4", "SELECT @a"],
            PreparedStatement(b"SELECT @a+?", make_execute(0, [1]), 1, b"\x08\x00"),
            10,
        )
        assert [len(answer.rows) for answer in rows] == [0, 1]
        assert reply.rows() == [[b"5"]]


async def test_a_prepared_statement_behind_a_failing_prefix_does_not_count(pool: BackendPool) -> None:
    connection = await pool.acquire(5, PROFILE)
    await connection.run(["CREATE TABLE t (a INT PRIMARY KEY)"], 10)
    await prepared(connection, "INSERT INTO t VALUES (?)", [1], ["START TRANSACTION"])
    with pytest.raises(ShardError):
        await prepared(connection, "INSERT INTO t VALUES (?)", [2], ["nonsense"])
    assert connection.closed
    other = await pool.acquire(5, PROFILE)
    assert (await other.run(["SELECT COUNT(*) FROM t"], 10))[0].rows == [[0]]
    pool.release(other)


async def test_definitions_for_the_client(connection: BackendConnection) -> None:
    await connection.run(["CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(20))"], 10)
    reply = await connection.prepare(b"SELECT b, a FROM t WHERE a = ?", 5)
    assert (reply.num_params, reply.num_columns) == (1, 2)
    assert [column.name for column in reply.columns()] == [b"b", b"a"]
    refused = await connection.prepare(b"SELECT nonsense", 5)
    assert refused.error is not None
    assert connection.reusable


async def test_a_table_may_change_under_a_prepared_statement(connection: BackendConnection) -> None:
    await connection.run(["CREATE TABLE t (a INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"], 10)
    assert (await prepared(connection, "SELECT * FROM t", [])).column_count == 1
    await connection.run(["ALTER TABLE t ADD b INT DEFAULT 9"], 10)
    assert (await prepared(connection, "SELECT * FROM t", [])).rows() == [[b"1", b"9"]]


async def test_more_statements_than_the_cache_holds(connection: BackendConnection) -> None:
    connection.statements.limit = 3
    for number in [*range(10), *range(10)]:
        assert (await prepared(connection, f"SELECT {number} + ?", [1])).rows() == [[b"%d" % (number + 1)]]
    assert len(connection.statements) == 3
    [open_statements] = await connection.run(["SHOW SESSION STATUS LIKE 'Com_stmt_close'"], 5)
    assert int(open_statements.rows[0][1] or 0) == 17


# ---------------------------------------------------------------- large answers


async def test_a_large_answer_is_streamed_whole(connection: BackendConnection) -> None:
    whole = (await connection.relay([], TextStatement(BIG_ROWS, stream=False), 30))[1]
    assert whole.complete
    for prefix in ([], ["SELECT 1"]):
        reply = (await connection.relay(prefix, TextStatement(BIG_ROWS), 30))[1]
        assert not reply.complete
        with pytest.raises(RuntimeError):
            await connection.ping(5)
        got = bytearray(reply.to_client(2))
        while (chunk := await reply.next_chunk()) is not None:
            got += chunk
        assert bytes(got) == bytes(whole.packets)
        assert reply.complete
    assert (await text(connection, "SELECT 1")).rows() == [[b"1"]]


async def test_the_shard_waits_while_nobody_takes_the_answer(connection: BackendConnection) -> None:
    huge = BIG_ROWS.replace(b"i<900", b"i<1000").replace(b"5000", b"50000")
    reply = (await connection.relay([], TextStatement(huge), 30))[1]
    stream = connection._stream
    assert stream is not None
    for _ in range(2):
        await asyncio.sleep(0.3)
        assert len(stream._buffer) < 3 * 1024 * 1024
        assert await stream.next_chunk() is not None
    await reply.drain()
    assert not connection.busy


async def test_a_merge_has_a_limit(connection: BackendConnection) -> None:
    with pytest.raises(OutOfMergeMemory):
        await connection.relay(["SELECT 1"], TextStatement(BIG_ROWS, stream=False, limit_bytes=100_000), 30)
    assert (await text(connection, "SELECT 1")).rows() == [[b"1"]]


async def test_a_value_of_more_than_16_mib(connection: BackendConnection) -> None:
    for limit in ("SET GLOBAL max_allowed_packet=67108864", "SELECT @@GLOBAL.max_allowed_packet"):
        await connection.run([limit], 5)
    fresh = await connect(
        ShardAddress("root", host="127.0.0.1", port=int(connection.address.rpartition(":")[2]))
    )
    value = b"x" * (17 * 1024 * 1024)
    reply = (await fresh.relay([], TextStatement(b"SELECT '" + value + b"'", stream=False), 30))[1]
    assert reply.error is None
    assert reply.rows() == [[value]]
    fresh.close()


# ---------------------------------------------------------------- ends


async def test_a_late_answer_ends_the_connection(connection: BackendConnection) -> None:
    began = time.monotonic()
    with pytest.raises(ConnectionLost, match="in time"):
        await connection.run(["SELECT SLEEP(5)"], 0.2)
    assert time.monotonic() - began < 2
    assert connection.closed


async def test_abort_tells_who_waits(connection: BackendConnection) -> None:
    replies: list[object] = []
    connection.relay_nowait(TextStatement(b"SELECT SLEEP(5)"), lambda reply, error: replies.append(error))
    await asyncio.sleep(0.05)
    connection.abort()
    await asyncio.sleep(0)
    assert len(replies) == 1
    assert isinstance(replies[0], ConnectionLost)
    with pytest.raises(ConnectionLost):
        await connection.ping(1)


async def test_a_cancelled_statement_ends_the_connection(connection: BackendConnection) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await connection.run(["SELECT SLEEP(5)"], None)
    assert connection.closed


async def test_a_killed_connection_leaves_the_pool(pool: BackendPool) -> None:
    killed = await pool.acquire(5, PROFILE)
    pool.release(killed)
    assert pool.statistics().idle == 2 or pool.statistics().idle == 1
    other = await pool.acquire(5, SessionProfile(found_rows=True))
    await other.run([f"KILL {killed.thread_id}"], 5)
    for _ in range(100):
        if killed.closed:
            break
        await asyncio.sleep(0.01)
    assert killed.closed
    fresh = await pool.acquire(5, PROFILE)
    assert fresh is not killed
    pool.release(fresh)
    pool.release(other)


# ---------------------------------------------------------------- profiles


async def test_settings_go_ahead_of_the_first_statement(pool: BackendPool) -> None:
    profile = SessionProfile(
        database=SCHEMA,
        character_set_client="latin1",
        character_set_results="latin1",
        collation_connection="latin1_swedish_ci",
        sql_mode="ANSI_QUOTES",
        time_zone="+03:00",
        variables=(("sort_buffer_size", "524288"),),
    )
    connection = await pool.acquire(5, profile)
    question = "SELECT DATABASE(), 'é', @@sql_mode, @@time_zone, @@sort_buffer_size"
    reply = (await connection.relay([], TextStatement(question.encode("latin-1")), 5))[1]
    assert reply.rows() == [[SCHEMA.encode(), b"\xe9", b"ANSI_QUOTES", b"+03:00", b"524288"]]
    pool.release(connection)
    plain = await pool.acquire(5, PROFILE)
    assert plain is connection
    reply = (await plain.relay([], TextStatement(question.encode()), 5))[1]
    [row] = reply.rows()
    assert row[1] == "é".encode()
    assert b"ANSI_QUOTES" not in (row[2] or b"")
    assert row[3] != b"+03:00"
    assert row[4] != b"524288"
    pool.release(plain)


async def test_a_database_that_does_not_exist_is_the_statements_error(pool: BackendPool) -> None:
    missing = SessionProfile(database="wire_no_such")
    connection = await pool.acquire(5, missing)
    reply = await text(connection, "SELECT 1")
    assert reply.error is not None
    assert reply.error.errno == 1049
    assert bytes(reply.packets[3:5]) == b"\x01\xff"
    pool.release(connection)
    assert connection.closed, "its settings are not known any more"
    connection = await pool.acquire(5, missing)
    with pytest.raises(ShardError):
        await text(connection, "SELECT 1", ["START TRANSACTION"])
    pool.release(connection)


async def test_found_rows_is_kept_apart(pool: BackendPool) -> None:
    connection = await pool.acquire(5, PROFILE)
    await connection.run(["CREATE TABLE t (a INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"], 10)
    assert (await text(connection, "UPDATE t SET a = 1")).affected_rows == 0
    pool.release(connection)
    found = await pool.acquire(5, dataclasses.replace(PROFILE, found_rows=True))
    assert found is not connection
    assert (await text(found, "UPDATE t SET a = 1")).affected_rows == 1
    pool.release(found)


# ---------------------------------------------------------------- the pool


async def test_a_connection_inside_a_transaction_is_not_used_again(pool: BackendPool) -> None:
    for dirty in (["START TRANSACTION"], ["SET @txg_start_ts=5"]):
        connection = await pool.acquire(5, PROFILE)
        await connection.run(dirty, 5)
        pool.release(connection)
        assert connection.closed
    connection = await pool.acquire(5, PROFILE)
    await connection.run(["START TRANSACTION", "SET @txg_start_ts=5"], 5)
    await connection.run(["COMMIT", "SET @txg_start_ts=NULL"], 5)
    pool.release(connection)
    assert not connection.closed


async def test_the_limit_and_the_line(pool: BackendPool) -> None:
    held = [await pool.acquire(5, PROFILE) for _ in range(3)]
    assert pool.statistics().open == 3
    assert pool.acquire_nowait(PROFILE) is None
    with pytest.raises(ShardUnavailable, match="all 3 connections"):
        await pool.acquire(0.1, PROFILE)
    served: list[int] = []

    async def wait(number: int) -> None:
        connection = await pool.acquire(5, PROFILE)
        served.append(number)
        await asyncio.sleep(0)
        pool.release(connection)

    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(wait(number))
            await asyncio.sleep(0)
        assert pool.statistics().waiting == 5
        pool.release(held.pop())
    assert served == [0, 1, 2, 3, 4]
    held.pop().abort()
    pool.release(held.pop())
    assert pool.statistics().open == 2


async def test_an_aborted_connection_makes_room_for_who_waits(pool: BackendPool) -> None:
    held = [await pool.acquire(5, PROFILE) for _ in range(3)]
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(pool.acquire(5, PROFILE))
        await asyncio.sleep(0)
        held.pop().abort()
    assert not waiting.result().closed
    for connection in (*held, waiting.result()):
        pool.release(connection)


async def test_who_gives_up_waiting_takes_nothing_along(pool: BackendPool) -> None:
    held = [await pool.acquire(5, PROFILE) for _ in range(3)]
    for _ in range(3):
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(pool.acquire(5, PROFILE))
            await asyncio.sleep(0)
            pool.release(held.pop())
            waiting.cancel()
        held.append(await pool.acquire(1, PROFILE))
    for connection in held:
        pool.release(connection)
    assert pool.statistics().idle == pool.statistics().open


async def test_connections_idle_for_long_are_closed(pool: BackendPool) -> None:
    for connection in [await pool.acquire(5, PROFILE) for _ in range(2)]:
        pool.release(connection)
    pool.trim(1)
    assert pool.statistics().open == 2
    busy = await pool.acquire(5, PROFILE)
    pool.trim(1)
    assert pool.statistics().open == 1
    pool.release(busy)


async def test_a_shard_that_is_down_fails_fast_and_is_fenced_when_it_returns(
    fresh_shard_servers: StartServers,
) -> None:
    [server] = await fresh_shard_servers(count=1)
    fenced: list[int] = []
    gate = asyncio.Event()
    gate.set()

    async def fence(connection: BackendConnection) -> None:
        await connection.run(["SELECT 1"], 5)
        await gate.wait()
        fenced.append(connection.thread_id)

    pool = make_pool(server, on_connect=fence, max_connections=5)
    connection = await pool.acquire(5)
    assert len(fenced) == 1
    pool.release(connection)

    await server.kill9()
    while not connection.closed:  # the news of its end is on its way
        await asyncio.sleep(0.01)
    with pytest.raises(ShardUnavailable, match="cannot be reached"):
        await pool.acquire(5)
    began = time.monotonic()
    for _ in range(100):
        with pytest.raises(ShardUnavailable):
            await pool.acquire(5)
    assert time.monotonic() - began < 3
    assert pool.statistics().state is CircuitState.DOWN

    gate.clear()
    await server.start()
    back = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(_acquire_patiently(pool)) for _ in range(4)]
        await asyncio.sleep(1.5)
        assert not any(task.done() for task in waiting), "nobody gets one before the fence"
        assert len(fenced) == 1
        gate.set()
    assert len(fenced) == 2
    assert time.monotonic() - back < 5
    for task in waiting:
        pool.release(task.result())
    assert pool.statistics().state is CircuitState.UP
    pool.close()


async def _acquire_patiently(pool: BackendPool) -> BackendConnection:
    while True:
        try:
            return await pool.acquire(10)
        except ShardUnavailable:
            await asyncio.sleep(0.02)


async def test_a_shard_that_cannot_be_fenced_stays_down(shard_servers: Sequence[AnyServer]) -> None:
    async def fence(connection: BackendConnection) -> None:
        raise ConnectionLost("no")

    pool = make_pool(shard_servers[0], on_connect=fence)
    with pytest.raises(ShardUnavailable, match="fenced"):
        await pool.acquire(5)
    assert pool.statistics().open == 0
    pool.close()


async def test_a_missing_privilege_is_told_with_its_shard(
    shard_servers: Sequence[AnyServer], pool: BackendPool
) -> None:
    server = shard_servers[0]
    async with borrow(pool, 5) as root:
        await root.run(["DROP USER IF EXISTS few@'%'", "CREATE USER few@'%' IDENTIFIED BY 'x'"], 5)

        async def fence(connection: BackendConnection) -> None:
            await connection.run(["SELECT trx_id FROM information_schema.INNODB_TRX"], 5)

        few = BackendPool(ShardName("s7"), address_of(server, "few", "x"), on_connect=fence)
        with capture_logs() as logs:
            for _ in range(3):
                with pytest.raises(
                    ShardUnavailable, match=r"fenced: Access denied; .* PROCESS .*\(error 1227\)"
                ):
                    await few.acquire(5)
                await asyncio.sleep(0.25)  # the circuit's pause
        few.close()
        await root.run(["DROP USER few@'%'"], 5)
    [told] = logs  # not at each try
    assert (told["event"], told["log_level"], told["shard"]) == ("shard_refuses_account", "error", "s7")
    assert "PROCESS" in told["reason"]


async def test_a_hung_shard_is_not_taken_for_an_overload(fresh_shard_servers: StartServers) -> None:
    [server] = await fresh_shard_servers(count=1)
    pool = make_pool(server, max_connections=2)
    held = [await pool.acquire(5) for _ in range(2)]
    with pytest.raises(ShardUnavailable, match="open transactions hold them"):
        await pool.acquire(0.1)
    server.pause()
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(settle([connection.run(["SELECT 1"], 10) for connection in held]))
        while not all(connection.busy for connection in held):
            await asyncio.sleep(0)  # Both have been asked before somebody stands in line.
        with pytest.raises(ShardUnavailable, match=r"does not answer: 2 wait for its answer, .* 0\.[345] s"):
            await pool.acquire(0.3)
        held[0].abort()
        with pytest.raises(ShardUnavailable, match="did not accept a connection"):
            await pool.acquire(0.2)
        server.resume()
    assert [isinstance(result, ConnectionLost) for result in asking.result()] == [True, False]
    pool.close()


async def test_a_pool_that_is_suspended_fences_a_new_connection_first(
    shard_servers: Sequence[AnyServer],
) -> None:
    fenced: list[BackendConnection] = []

    async def fence(connection: BackendConnection) -> None:
        fenced.append(connection)

    pool = make_pool(shard_servers[0], on_connect=fence, max_connections=3)
    held, idle = await pool.acquire(5), await pool.acquire(5)
    pool.release(idle)
    pool.suspend("it is not fenced for epoch 2 yet")
    assert (held.closed, idle.closed) == (True, True)
    assert pool.statistics().state is CircuitState.DOWN
    pool.release(held)
    again = await _acquire_patiently(pool)
    assert fenced[1:] == [again]
    assert pool.statistics().open == 1
    pool.release(again)
    pool.close()


async def test_a_host_that_does_not_answer_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = ShardAddress("root", port=silent.getsockname()[1])
        pool = BackendPool(ShardName("s1"), address, connect_timeout_s=0.2)
        began = time.monotonic()
        with pytest.raises(ShardUnavailable, match="time limit"):
            await pool.acquire(5)
        assert time.monotonic() - began < 1


async def test_a_connection_that_cannot_be_set_up_is_closed(shard_servers: Sequence[AnyServer]) -> None:
    setup = ("DO GET_LOCK('the set-up', 0)", "SET SESSION no_such_variable = 1")
    pool = make_pool(shard_servers[0], session=setup)
    with pytest.raises(ShardUnavailable, match="no_such_variable"):
        await pool.acquire(5)
    assert pool.statistics().open == 0
    root = await connect(address_of(shard_servers[0]))
    async with asyncio.timeout(5):
        while (await root.run(["SELECT IS_USED_LOCK('the set-up')"], 5))[0].rows != [[None]]:
            await asyncio.sleep(0.01)
    root.close()


@pytest.fixture
async def full(shard_servers: Sequence[AnyServer], pool: BackendPool) -> AsyncIterator[BackendPool]:
    """A pool that would have five connections at a shard that lets it have two."""
    async with borrow(pool, 5) as root:
        user = "CREATE USER few@'%' IDENTIFIED BY 'x' WITH MAX_USER_CONNECTIONS 2"
        await root.run(["DROP USER IF EXISTS few@'%'", user], 5)
        yield BackendPool(ShardName("s7"), address_of(shard_servers[0], "few", "x"), max_connections=5)
        await root.run(["DROP USER few@'%'"], 5)


async def test_at_a_full_shard_one_waits_for_a_connection_to_come_back(full: BackendPool) -> None:
    held = [await full.acquire(5) for _ in range(2)]
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(full.acquire(5)) for _ in range(3)]
        await asyncio.sleep(0.6)
        assert not any(task.done() for task in waiting)
        full.release(held[0])
        held[1].abort()
        done, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 2:
            more, others = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        for task in done:
            full.release(task.result())
    assert full.statistics().waiting == 0
    full.close()


async def test_who_waits_at_a_full_shard_is_told_so(full: BackendPool) -> None:
    held = [await full.acquire(5) for _ in range(2)]
    with pytest.raises(ShardUnavailable, match=r"no more connections: .*; none of the 2 in use became free"):
        await full.acquire(0.5)
    assert full.statistics().open == 2
    other = BackendPool(ShardName("s7"), full.address)
    began = time.monotonic()
    with pytest.raises(ShardUnavailable, match="accepts no more connections"):
        await other.acquire(5)
    assert time.monotonic() - began < 2, "it has none that could come back"
    assert other.statistics().open == 0
    full.release(held[0])
    full.close()


async def test_room_that_others_leave_at_a_full_shard_is_found(full: BackendPool) -> None:
    other = BackendPool(ShardName("s7"), full.address)
    ours, theirs = await full.acquire(5), await other.acquire(5)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(full.acquire(5))
        await asyncio.sleep(0.1)
        theirs.close()
    assert waiting.result() is not ours
    full.close()

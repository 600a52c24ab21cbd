"""Shard connections against real servers."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Sequence

import pytest

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
from tests.conftest import AnyServer
from tests.fakes.backend import PROFILE, SCHEMA, address_of, open_pool, text
from txguard.engine.shard import ConnectionLost, ShardError

BIG_ROWS = (
    b"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<900) "
    b"SELECT i, REPEAT('x',5000) FROM n"
)


@pytest.fixture
async def pool(shard_servers: Sequence[AnyServer]) -> AsyncIterator[BackendPool]:
    async with open_pool(shard_servers[0]) as opened:
        yield opened


@pytest.fixture
async def connection(pool: BackendPool) -> AsyncIterator[BackendConnection]:
    connection = await pool.acquire(5, PROFILE)
    yield connection
    pool.release(connection)


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

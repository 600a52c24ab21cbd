"""Shard connections and pools on real servers, for the tests of both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from proxy.backend.connect import ShardAddress
from proxy.backend.connection import BackendConnection
from proxy.backend.pool import BackendPool
from proxy.backend.profile import SessionProfile
from proxy.backend.reply import RelayReply
from proxy.backend.statements import TextStatement
from tests.conftest import AnyServer
from tso.types import ShardName

SCHEMA = "wire_backend"
PROFILE = SessionProfile(database=SCHEMA)


def address_of(server: AnyServer, user: str | None = None, password: str | None = None) -> ShardAddress:
    return ShardAddress(
        user or server.user, server.password if password is None else password, server.host, server.port
    )


def make_pool(server: AnyServer, **options: object) -> BackendPool:
    return BackendPool(ShardName("s1"), address_of(server), **options)  # type: ignore[arg-type]


@asynccontextmanager
async def open_pool(server: AnyServer) -> AsyncIterator[BackendPool]:
    """Of three connections, with an empty database SCHEMA."""
    pool = make_pool(server, max_connections=3)
    connection = await pool.acquire(5)
    await connection.run([f"DROP DATABASE IF EXISTS {SCHEMA}", f"CREATE DATABASE {SCHEMA}"], 10)
    pool.release(connection)
    yield pool
    connection = await pool.acquire(5)
    await connection.run([f"DROP DATABASE IF EXISTS {SCHEMA}"], 10)
    pool.release(connection)
    pool.close()


async def text(connection: BackendConnection, sql: str, prefix: Sequence[str] = ()) -> RelayReply:
    return (await connection.relay(prefix, TextStatement(sql.encode()), 10))[1]

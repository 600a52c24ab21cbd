"""The real servers that tests run on, from one place.

`shard_servers` gives three running servers, shared by the whole run: tests make databases of their own in
them and must leave the servers as they were. `fresh_shard_servers` starts servers that a test may kill. A test
that uses either runs once per kind at hand (MariaDB, MySQL); `--server` picks. Which servers: the machine's
own, MySQL from `make mysql`'s folder, or containers where a Docker engine runs and a program is missing.
"""

from __future__ import annotations

import asyncio
import functools
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from proxy.playground.servers import Server, ServerKind, find_servers, start_servers, stop_servers
from tests.containers import ContainerServer, engine_answers
from tests.fakes.clients import connect_server

T = TypeVar("T")
AnyServer = Server | ContainerServer
StartServers = Callable[..., Awaitable[list[AnyServer]]]
SHARDS = 3
LONG_FILES = (
    "test_planted_faults.py",
    "test_recover.py",
    "test_playground.py",
    "test_torture_short.py",
    "test_demo.py",
    "test_commit_protocol.py",
    "test_proxy_faults.py",
    "test_tso_failover.py",
    "test_retention.py",
    "test_proxy_command.py",
    "test_tso_command.py",
    "test_outcomes.py",
    "test_proxy_two.py",
)
"""Of few tests and much time: begun first, so that no worker is left with one while the others have ended."""
SYSTEM_DATABASES = frozenset({"information_schema", "mysql", "performance_schema", "sys"})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server",
        choices=["mariadb", "mysql", "all"],
        default="all",
        help="which servers the tests run on (default: all that are at hand)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: LONG_FILES.index(item.path.name) if item.path.name in LONG_FILES else len(LONG_FILES)
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server_kind" in metafunc.fixturenames:
        kinds = _kinds(metafunc.config.getoption("--server"))
        kinds = [kind for kind in kinds if _wanted(metafunc, kind)]
        metafunc.parametrize("server_kind", kinds, ids=[kind.value for kind in kinds], scope="session")


@pytest.fixture(scope="session")
def shared_servers() -> Iterator[Callable[[ServerKind], Sequence[AnyServer]]]:
    """Servers by kind, started at first use and kept to the end: a run goes back and forth between kinds."""
    folder = Path(tempfile.mkdtemp(prefix="txguard-test-"))
    started: dict[ServerKind, Sequence[AnyServer]] = {}

    def servers(kind: ServerKind) -> Sequence[AnyServer]:
        if kind not in started:
            started[kind] = _run(_start(kind, folder / kind.value, SHARDS))
        return started[kind]

    try:
        yield servers
    finally:
        for group in started.values():
            _run(_stop(group))
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def shard_servers(
    server_kind: ServerKind, shared_servers: Callable[[ServerKind], Sequence[AnyServer]]
) -> Sequence[AnyServer]:
    """Three running servers of one kind, empty when a file's tests begin.

    Do not kill or reconfigure them: see `fresh_shard_servers`.
    """
    servers = shared_servers(server_kind)
    for server in servers:
        _drop_databases(server)
    return servers


def _drop_databases(server: AnyServer) -> None:
    """What the tests of another file have left: their epochs and managed tables would be taken for one's own."""
    with (
        connect_server(server) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SHOW DATABASES")
        for (name,) in cursor.fetchall():
            if name not in SYSTEM_DATABASES:
                cursor.execute(f"DROP DATABASE `{name}`")


@pytest.fixture
async def fresh_shard_servers(server_kind: ServerKind) -> AsyncIterator[StartServers]:
    """`await fresh_shard_servers(count=3, options=())`: servers of this test alone, to kill and restart."""
    folder = Path(tempfile.mkdtemp(prefix="txguard-test-"))
    started: list[AnyServer] = []

    async def start(count: int = SHARDS, options: Sequence[str] = ()) -> list[AnyServer]:
        servers = await _start(server_kind, folder / str(len(started)), count, options)
        started.extend(servers)
        return servers

    try:
        yield start
    finally:
        for server in started:
            await server.kill9()
        await _stop(started)
        shutil.rmtree(folder, ignore_errors=True)


def _wanted(metafunc: pytest.Metafunc, kind: ServerKind) -> bool:
    only = {ServerKind.MARIADB: "mysql_only", ServerKind.MYSQL: "mariadb_only"}[kind]
    return metafunc.definition.get_closest_marker(only) is None


def _kinds(option: str) -> list[ServerKind]:
    """Of the kinds asked for, those at hand; one that is asked for by name and not at hand is an error."""
    if option == "all":
        kinds = [kind for kind in ServerKind if _at_hand(kind)]
        if not kinds:
            raise pytest.UsageError(
                "no MariaDB or MySQL server and no Docker engine: see scripts/ensure_servers.sh"
            )
        return kinds
    kind = ServerKind(option)
    if not _at_hand(kind):
        raise pytest.UsageError(f"--server {option}: no such server here ('make mysql' unpacks MySQL)")
    return [kind]


@functools.cache
def _at_hand(kind: ServerKind) -> bool:
    return any(found.kind is kind for found in find_servers()) or engine_answers()


async def _start(kind: ServerKind, folder: Path, count: int, options: Sequence[str] = ()) -> list[AnyServer]:
    for installation in find_servers():
        if installation.kind is kind:
            return list(await start_servers(installation, folder, count, options=options))
    containers = [ContainerServer(kind) for _ in range(count)]
    for container in containers:
        await container.start()
    return list(containers)


async def _stop(servers: Sequence[AnyServer]) -> None:
    await stop_servers([server for server in servers if isinstance(server, Server)])
    for server in servers:
        if isinstance(server, ContainerServer):
            await server.stop()


def _run(coroutine: Coroutine[object, object, T]) -> T:
    """Run outside of any test's event loop: session fixtures outlive them."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()

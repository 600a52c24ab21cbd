"""A cluster of its own for torture's tests."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest

from proxy.playground.installations import ServerKind, find_servers
from tests.torture.arena import Arena
from tests.torture.cluster import Shape, open_cluster

OpenArena = Callable[..., contextlib.AbstractAsyncContextManager[Arena]]


@pytest.fixture
def open_arena(server_kind: ServerKind) -> OpenArena:
    """`async with open_arena(workloads) as arena`: three servers, two oracles, two proxies."""
    return _opener(server_kind)


@pytest.fixture(scope="module")
def open_any_arena(request: pytest.FixtureRequest) -> OpenArena:
    """On one kind of server, whichever: for what is about the checkers."""
    option = request.config.getoption("--server")
    return _opener(None if option == "all" else ServerKind(option))


def _opener(kind: ServerKind | None) -> OpenArena:
    installation = next((found for found in find_servers() if kind in (None, found.kind)), None)
    if installation is None:
        pytest.skip("servers in containers cannot be tortured")

    @contextlib.asynccontextmanager
    async def open_(workloads: Iterable[str]) -> AsyncIterator[Arena]:
        folder = Path(tempfile.mkdtemp(prefix="txguard-test-"))
        try:
            async with open_cluster(installation, folder, Shape()) as cluster:
                arena = Arena(cluster)
                await arena.open(workloads)
                yield arena
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return open_


async def restart_proxies(arena: Arena, failpoints: str) -> None:
    """With these failpoints from now on."""
    for proxy in arena.cluster.proxies:
        proxy.environment["TXGUARD_FAILPOINTS"] = failpoints
        await proxy.kill9()
    await asyncio.gather(*(proxy.start() for proxy in arena.cluster.proxies))

"""The proxy as a whole: opens everything in order, serves, and closes in the opposite order.

    oracle ─► pools ─► engine (fences the shards) ─► catalog ─► DDL recovery ─► listener, janitor, cleaner, watchers

A shard that is down does not keep the others from being served; a majority of the shards that keep the oracle's bound
is waited for, and so are all of them at the very first start, when the slots are laid out. Ends when cancelled: no new
clients, statements end, idle clients are told, sessions roll back.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from proxy.admin.commands import run_admin
from proxy.admin.show_status import own_figures
from proxy.admin.sources import Sources
from proxy.auth.accounts import Accounts
from proxy.auth.rsa import KeyPair
from proxy.backend.connect import ShardAddress, make_tls_context
from proxy.backend.pool import BackendPool
from proxy.backend.profile import SessionProfile, intern_profile
from proxy.config import Config, ShardConfig
from proxy.ddl.ddl import Ddl
from proxy.ddl.hints import Hint
from proxy.ddl.workshop import Workshop
from proxy.executor.engine_shards import EngineShard
from proxy.executor.services import Services
from proxy.routing.catalog_store import CatalogStore
from proxy.routing.sequences import Sequences
from proxy.routing.tables import TableKind
from proxy.server.admission import Admission
from proxy.server.care import care_for_pools, load_defaults, watch_shards
from proxy.server.connection_phase import Identity
from proxy.server.handler import Client, Login
from proxy.server.killed import mend_killed
from proxy.server.listener import Listener, ListenerSettings, SharedPort, make_server_tls
from proxy.server.oracles import open_oracle
from proxy.session.deadlocks import DeadlockWatch
from proxy.session.process import Limits, Process
from proxy.session.profiles import ServerDefaults
from proxy.session.registry import Answering, Colleagues, SessionRegistry
from proxy.session.session import Session
from proxy.shard_dsn import dsn_of
from proxy.sql.planner import Planner
from proxy.sql.version_comments import read_version
from tso.api import Tso
from tso.errors import TsoUnavailable
from tso.types import ShardName
from txguard.engine.engine import Engine
from txguard.engine.settings import EngineSettings
from txguard.errors import ShardDown

log = structlog.get_logger(__name__)

RETRY_S = 1.0
CATALOG_REFRESH_S = 2.0
RECURSION_LIMIT = 6_000
"""Statements are parsed by recursion: Python's own 1,000 ends at 300 conditions with OR between them."""

Pools = Mapping[ShardName, BackendPool]
Ready = Callable[[Sequence[str]], None]
"""Called with the addresses once clients can connect."""


class Answerer(Colleagues, Protocol):
    def answer_with(self, handlers: Mapping[str, Answering]) -> None:
        """What to answer the colleagues' questions with."""
        ...


@dataclass(frozen=True, slots=True)
class Team:
    """This process is one of several that serve clients on one address."""

    port: SharedPort
    colleagues: Answerer


async def serve(config: Config, ready: Ready | None = None, team: Team | None = None) -> None:
    """Serve until cancelled. Raises OSError when an address cannot be bound, ConfigError for a wrong set of shards.

    ConfigError also for an unknown provider of the oracle. Deposed, in a group: another oracle has taken over from the
    embedded one, so that nothing can be served any more.
    """
    sys.setrecursionlimit(RECURSION_LIMIT)
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    defaults = ServerDefaults(variables=session_variables(config))
    async with _oracle(config) as tso, _pools(config) as (pools, control):
        profile = intern_profile(SessionProfile(variables=tuple(sorted(defaults.variables.items()))))
        shards = {name: EngineShard(pool, profile) for name, pool in control.items()}
        engine = Engine(shards, tso, engine_settings(config))
        admission = Admission(engine, {ShardName(shard.name): dsn_of(shard) for shard in config.shards})
        for name in shards:
            pools[name].on_connect = control[name].on_connect = partial(admission.admit, name)

        def suspend(name: ShardName, reason: str) -> None:
            for group in (pools, control):
                group[name].suspend(reason)

        engine.on_unfenced = suspend
        for name, error in (await engine.start()).items():
            log.warning("shard_down", shard=name, reason=str(error))
        store = CatalogStore(shards)
        await _load_catalog(store)
        sequences = Sequences(shards, lambda: store.current, time.monotonic)
        ddl = Ddl(
            Workshop(store, sequences, tso, lock_wait_timeout_s=config.engine.lock_wait_timeout_s),
            hints(config),
        )
        await ddl.start()
        services = Services(engine, pools, control, store, sequences, config.proxy.max_merge_bytes)
        await _serve_clients(config, services, ddl, defaults, ready, team)


# ---------------------------------------------------------------- parts


@contextlib.asynccontextmanager
async def _oracle(config: Config) -> AsyncIterator[Tso]:
    tso = await _wait_for_oracle(config)
    log.info("oracle_ready", epoch=tso.epoch, provider=config.tso.provider_name, leader=tso.leader)
    try:
        yield tso
    finally:
        await tso.aclose()


async def _wait_for_oracle(config: Config) -> Tso:
    """Nothing can be served without it, so it is waited for."""
    while True:
        try:
            return await open_oracle(config)
        except TsoUnavailable as error:
            log.warning("oracle_unavailable", reason=str(error), retry_s=RETRY_S)
            await asyncio.sleep(RETRY_S)


@contextlib.asynccontextmanager
async def _pools(config: Config) -> AsyncIterator[tuple[Pools, Pools]]:
    """For each shard a pool for the sessions and one for the engine's own statements.

    The engine's is apart so that it is never exhausted by transactions that wait for what only the engine can do: undo
    a commit, check for conflicts, find a deadlock.
    """
    pools = {
        ShardName(shard.name): _pool(shard, sessions_share(shard.max_connections)) for shard in config.shards
    }
    control = {
        ShardName(shard.name): _pool(shard, shard.max_connections - sessions_share(shard.max_connections))
        for shard in config.shards
    }
    for name, pool in pools.items():
        pool.siblings, control[name].siblings = (control[name],), (pool,)
    try:
        yield pools, control
    finally:
        for pool in (*pools.values(), *control.values()):
            pool.close()


def sessions_share(max_connections: int) -> int:
    """How many of a shard's connections are for sessions; the rest is the engine's.

    Data definition holds two of those at once while the janitor or the cleaner may have another, so at least three.
    """
    return max_connections - min(16, max(3, max_connections // 4))


def _pool(shard: ShardConfig, max_connections: int) -> BackendPool:
    address = ShardAddress(
        user=shard.user,
        password=shard.password or "",
        host=shard.host,
        port=shard.port,
        socket=shard.socket,
        tls=make_tls_context(shard.tls, shard.tls_ca),
    )
    return BackendPool(
        ShardName(shard.name),
        address,
        max_connections=max_connections,
        connect_timeout_s=shard.connect_timeout_s,
    )


async def _load_catalog(store: CatalogStore) -> None:
    while True:
        try:
            catalog = await store.load()
            log.info("catalog_loaded", version=catalog.version, tables=len(list(catalog.tables())))
            return
        except ShardDown as error:
            log.warning("catalog_unavailable", reason=str(error), retry_s=RETRY_S)
            await asyncio.sleep(RETRY_S)


def engine_settings(config: Config) -> EngineSettings:
    engine = config.engine
    return EngineSettings(
        retention_ms=engine.retention_s * 1000,
        before_prewrite_timeout_s=engine.before_prewrite_timeout_ms / 1000,
        before_prewrite_tries=engine.before_prewrite_tries,
        prewrite_timeout_s=engine.prewrite_timeout_ms / 1000,
        cleanup_timeout_s=engine.cleanup_timeout_ms / 1000,
        barrier_timeout_s=engine.barrier_timeout_ms / 1000,
    )


def session_variables(config: Config) -> dict[str, str]:
    """What every session on a shard has, unless the client sets it."""
    return {"innodb_lock_wait_timeout": str(config.engine.lock_wait_timeout_s)}


def hints(config: Config) -> dict[tuple[str, str], Hint]:
    """Where the configuration wants tables to go."""
    placed: dict[tuple[str, str], Hint] = {}
    for table in config.tables:
        schema, _, name = table.name.partition(".")
        home = None if table.home is None else ShardName(table.home)
        placed[schema, name] = Hint(TableKind(table.kind), table.shard_key, home, table.retention_s)
    return placed


# ---------------------------------------------------------------- serving


async def _serve_clients(
    config: Config,
    services: Services,
    ddl: Ddl,
    defaults: ServerDefaults,
    ready: Ready | None,
    team: Team | None,
) -> None:
    await load_defaults(services, defaults)
    registry = SessionRegistry()
    version = server_version(config, defaults)
    sources = Sources(services, registry, version)
    if team is not None:
        registry.colleagues = team.colleagues
        team.colleagues.answer_with({**registry.answering(), "figures": lambda about: own_figures(sources)})
    users = {user.name: user for user in config.users}

    def allowed_databases(user: str) -> frozenset[str] | None:
        databases = users[user].databases
        return None if databases is None else frozenset(databases)

    def make_session(client: Client, login: Login) -> Session:
        return Session(process, client, login)

    listener = _listener(config, version, make_session, None if team is None else team.port)
    process = Process(
        services=services,
        planner=Planner(read_version(version)),
        registry=registry,
        ddl=ddl,
        admin=partial(run_admin, sources),
        spawn=listener.spawn,
        allowed_databases=allowed_databases,
        limits=Limits(config.proxy.max_packet_bytes, config.proxy.port),
        defaults=defaults,
    )
    await _run(listener, process, ready)


async def _run(listener: Listener, process: Process, ready: Ready | None) -> None:
    services = process.services
    async with asyncio.TaskGroup() as group:
        care = [
            group.create_task(services.engine.run(), name="engine"),
            group.create_task(services.catalog_store.watch(CATALOG_REFRESH_S), name="catalog"),
            group.create_task(care_for_pools((services.pools, services.control)), name="pools"),
            group.create_task(mend_killed(services), name="killed"),
            group.create_task(watch_shards(services.pools), name="shards"),
            group.create_task(DeadlockWatch(services, process.registry).run(), name="deadlocks"),
            group.create_task(services.engine.tso.until_deposed(), name="deposed"),
        ]
        serving = group.create_task(listener.run(), name="listener")
        announcing = group.create_task(_announce(listener, ready), name="announce")
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            log.info("stopping")
            listener.stop()
            await serving
            raise
        finally:
            announcing.cancel()
            for task in care:
                task.cancel()
    log.info("stopped")


async def _announce(listener: Listener, ready: Ready | None) -> None:
    await listener.started.wait()
    log.info("ready", addresses=listener.addresses)
    if ready is not None:
        ready(listener.addresses)


def server_version(config: Config, defaults: ServerDefaults) -> str:
    """What clients are told in the greeting: the configured one, or the shards' own.

    Drivers choose collations and SQL by it, so it must be that of the servers that will answer. "5.5.5-" is what
    MariaDB itself puts in front.
    """
    configured = config.proxy.server_version
    if "server_version" in config.proxy.model_fields_set or not defaults.version:
        return configured
    number, _, rest = defaults.version.partition("-")
    return f"5.5.5-{number}-MariaDB-TxGuard" if "mariadb" in rest.lower() else f"{number}-TxGuard"


def _listener(
    config: Config,
    version: str,
    make_session: Callable[[Client, Login], Session],
    shared: SharedPort | None,
) -> Listener:
    proxy = config.proxy
    tls = None
    if proxy.tls_cert is not None and proxy.tls_key is not None:
        tls = make_server_tls(proxy.tls_cert, proxy.tls_key)
    identity = Identity(
        server_version=version,
        accounts=Accounts(config.users, secrets.token_bytes(32)),
        keys=KeyPair(),
        offers_tls=tls is not None,
    )
    settings = ListenerSettings(
        max_connections=proxy.max_connections,
        max_packet_bytes=proxy.max_packet_bytes,
        handshake_timeout_s=proxy.handshake_timeout_s,
        idle_timeout_s=proxy.idle_timeout_s,
    )
    return Listener(
        identity,
        make_session,
        settings,
        host=proxy.host,
        port=proxy.port,
        socket_path=proxy.socket,
        tls=tls,
        shared=shared,
    )

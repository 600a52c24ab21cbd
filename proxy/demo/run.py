"""One demo from the empty folder to the verdict.

Order: playground, bank, clients, then side by side the faults, the inspections and the view until the time is
up; then the clients stop, and the audit looks at what is left. Everything that was started is stopped,
whatever happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pymysql
from rich.console import Console

from proxy.demo.audit import audit
from proxy.demo.bank import DATABASE, INVARIANTS, open_bank
from proxy.demo.client_processes import ClientProcess, assignments
from proxy.demo.faults import disturb
from proxy.demo.tally import Tally
from proxy.demo.view import View
from proxy.playground.installations import Installation
from proxy.playground.playground import Options, Playground
from proxy.playground.processes import free_port, port_is_free
from proxy.playground.servers import Server
from tso.types import ShardName
from txguard.engine.aiomysql_shard import Dsn
from txguard.inspector import Limits, Report, ShardAddress, inspect

SHARDS: Final = 3
HOST: Final = "127.0.0.1"
USUAL_PORT: Final = 4000
INSPECT_EVERY_S: Final = 1.0
_REFRESH_EVERY_S: Final = 0.25
_TOLD: Final = 20
_VICTIM: Final = 1
"""Which server is killed: the second, for the first also keeps the oracle's bound; both are worth a demo."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    installation: Installation
    length_s: float
    keep: bool = False


async def run_demo(options: DemoOptions, console: Console) -> bool:
    """True: nothing was violated."""
    folder = Path(tempfile.mkdtemp(prefix="txguard-demo-"))
    tally = Tally()
    try:
        with View(tally, options.length_s, console) as view:
            async with _playground(options, folder, view) as playground:
                await _play(options, playground, folder, tally, view)
    except BaseException:
        console.print(f"logs and data are in {folder}", highlight=False, soft_wrap=True)
        raise
    _tell_what_was_wrong(tally, console)
    if options.keep or tally.violations:
        console.print(f"logs and data are in {folder}", highlight=False, soft_wrap=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    console.print(tally.summary(), highlight=False, soft_wrap=True)
    return not tally.violations


def _tell_what_was_wrong(tally: Tally, console: Console) -> None:
    """Each text once, with how often."""
    kinds = (("VIOLATION", tally.violations, "bold red"), ("unexpected error", tally.unexpected, "yellow"))
    for label, texts, style in kinds:
        for text, times in Counter(texts).most_common(_TOLD):
            often = f" ({times} times)" if times > 1 else ""
            line = f"{label}: {text}{often}"
            console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)


@contextlib.asynccontextmanager
async def _playground(options: DemoOptions, folder: Path, view: View) -> AsyncIterator[Playground]:
    port = USUAL_PORT if port_is_free(HOST, USUAL_PORT) else free_port()
    installation = options.installation
    view.tell(f"starting {SHARDS} servers ({installation.label}) and the proxy in {folder}")
    playground = Playground(Options(folder / "playground", installation, SHARDS, host=HOST, port=port))
    await playground.start()
    try:
        yield playground
    finally:
        await playground.stop()


async def _play(options: DemoOptions, playground: Playground, folder: Path, tally: Tally, view: View) -> None:
    assert playground.proxy is not None
    host, port = HOST, playground.options.port
    await asyncio.to_thread(_prepare, host, port)
    homes = await asyncio.to_thread(lambda: [_accounts_on(server) for server in playground.servers])
    view.tell(
        f"{sum(map(len, homes))} accounts on the servers: {', '.join(str(len(home)) for home in homes)}; "
        f"look yourself: mysql://root@{host}:{port}/{DATABASE}"
    )
    journals = folder / "journals"
    journals.mkdir()
    clients = [ClientProcess(a, folder / "clients.log") for a in assignments(host, port, journals, homes)]
    try:
        for client in clients:
            await client.start()
        view.begin()
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.listen(lambda progress: tally.add(progress, time.time())))
            await _while_clients_work(options, playground, tally, view)
            for client in clients:
                client.ask_to_stop()
            for client in clients:
                if (wrong := await client.wait_ended()) is not None:
                    tally.violate(wrong)
    finally:
        for client in clients:
            await client.kill()
    view.refresh()
    view.close()
    for text in await audit(host, port, playground.servers, journals, view.tell):
        tally.violate(text)
    last = await _inspect_once(playground, tally)
    if last.exit_code == 2:
        tally.violate("the last inspection could not check everything, although everything is up")
    _demand_work(tally)


async def _while_clients_work(options: DemoOptions, playground: Playground, tally: Tally, view: View) -> None:
    """Faults, inspections and the view side by side, until the time is up (and the last victim is back)."""
    assert playground.proxy is not None
    stop = asyncio.Event()

    async def inspect_repeatedly() -> None:
        while not stop.is_set():
            await _inspect_once(playground, tally)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(INSPECT_EVERY_S):
                    await stop.wait()

    async def refresh_repeatedly() -> None:
        while not stop.is_set():
            view.refresh()
            await asyncio.sleep(_REFRESH_EVERY_S)

    ends = time.monotonic() + options.length_s
    async with asyncio.TaskGroup() as group:
        group.create_task(inspect_repeatedly())
        group.create_task(refresh_repeatedly())
        victim = playground.servers[_VICTIM]
        await disturb(playground.proxy, victim, f"s{_VICTIM + 1}", options.length_s, tally, view.tell)
        await asyncio.sleep(max(0.0, ends - time.monotonic()))
        stop.set()


async def _inspect_once(playground: Playground, tally: Tally) -> Report:
    started = time.time()
    report = await inspect(
        INVARIANTS,
        proxy_dsn=f"mysql://root@{HOST}:{playground.options.port}",
        shards=[
            ShardAddress(ShardName(f"s{number}"), Dsn(server.host, server.port, server.user, server.password))
            for number, server in enumerate(playground.servers, 1)
        ],
        limits=Limits(timeout_s=10.0, settle_s=15.0),
    )
    tally.add_inspection(report, started, time.time())
    return report


def _demand_work(tally: Tally) -> None:
    """A demo in which nothing moved would prove nothing."""
    for figure in ("transfers", "cross_shard", "snapshots", "inspections"):
        if getattr(tally, figure) == 0:
            tally.violate(f"there were no {figure}")


def _prepare(host: str, port: int) -> None:
    with contextlib.closing(
        pymysql.connect(host=host, port=port, user="root", autocommit=True)
    ) as connection:
        open_bank(connection)


def _accounts_on(server: Server) -> Sequence[int]:
    """Which accounts live there: asked at the server, so that the demo knows nothing of the hash."""
    with (
        contextlib.closing(
            pymysql.connect(host=server.host, port=server.port, user=server.user)
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"SELECT id FROM {DATABASE}.account ORDER BY id")
        return [row[0] for row in cursor.fetchall()]

"""The supervisor: starts the workers, passes on what they ask each other, restarts what dies, ends with all of them.

The rules: nobody outlives anybody. A worker sees the end of the link when the supervisor is gone, however that came;
the supervisor returns only when every worker has ended. A worker that has never served is not started again: what
keeps it from starting (the port, the configuration) keeps the next one, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Final, NoReturn

import structlog

from proxy.config import Config
from proxy.server.listener import BACKLOG, remove_stale_socket
from proxy.server.oracles import open_oracle
from proxy.workers.colleagues import EVERYBODY
from proxy.workers.link import Link, Message, Role, role_message
from proxy.workers.shares import check_shares
from tso.embedded import EmbeddedTso
from tso.errors import TsoUnavailable
from tso.service import TsoServer

log = structlog.get_logger(__name__)

RETRY_S: Final = 1.0
STOP_S: Final = 40.0
"""Longer than a worker takes for its orderly stop."""
END_S: Final = 5.0
"""How long a worker that has closed its link may still live."""
FIRST_PAUSE_S, LONGEST_PAUSE_S, STABLE_S = 0.1, 5.0, 30.0
_PACKAGES = Path(__file__).parents[2]


class WorkersFailed(Exception):
    """A worker ended before it ever served; `status` is its exit status."""

    def __init__(self, number: int, status: int) -> None:
        super().__init__(f"worker {number} could not start: see its errors above")
        self.status = status if status > 0 else 1


async def supervise(config: Config, arguments: Sequence[str], count: int) -> None:
    """Run `count` workers until cancelled; `arguments` are those of `txguard proxy` for each.

    Raises ConfigError, WorkersFailed, OSError, and Deposed when another oracle has taken over from this one.
    """
    check_shares(config, count)
    async with _oracle(config) as (role, oracle):
        with _unix_socket(config.proxy.socket) as unix_socket:
            role = replace(role, count=count, unix_socket=unix_socket)
            crew = [_Worker(replace(role, number=number), arguments) for number in range(1, count + 1)]
            await _run(crew, oracle)


async def _run(crew: Sequence[_Worker], oracle: EmbeddedTso | None) -> None:
    switchboard = {worker.role.number: worker for worker in crew}
    try:
        async with asyncio.TaskGroup() as group:
            for worker in crew:
                group.create_task(worker.keep_alive(switchboard), name=f"worker-{worker.role.number}")
            if oracle is not None:
                group.create_task(oracle.until_deposed(), name="deposed")
            for worker in crew:
                await worker.ready.wait()
            log.info("workers_ready", count=len(crew), addresses=crew[0].addresses)
    finally:
        await asyncio.shield(_end(crew))


async def _end(crew: Sequence[_Worker]) -> None:
    async with asyncio.TaskGroup() as group:
        for worker in crew:
            group.create_task(worker.end())


@contextlib.asynccontextmanager
async def _oracle(config: Config) -> AsyncIterator[tuple[Role, EmbeddedTso | None]]:
    """An embedded oracle is served on loopback, to those who know a secret that was made for them."""
    role = Role(0, 0, None, None, None)
    if config.tso.provider_name != "embedded":
        yield role, None
        return
    oracle = await _wait_for_oracle(config)
    async with oracle:
        secret = secrets.token_urlsafe(32)
        async with await TsoServer.listen(oracle, secret=secret) as server:
            log.info("oracle_ready", epoch=oracle.epoch, port=server.port)
            yield replace(role, oracle_address=f"127.0.0.1:{server.port}", oracle_secret=secret), oracle


async def _wait_for_oracle(config: Config) -> EmbeddedTso:
    while True:
        try:
            oracle = await open_oracle(config)
        except TsoUnavailable as error:
            log.warning("oracle_unavailable", reason=str(error), retry_s=RETRY_S)
            await asyncio.sleep(RETRY_S)
        else:
            assert isinstance(oracle, EmbeddedTso)
            return oracle


@contextlib.contextmanager
def _unix_socket(path: Path | None) -> Iterator[int | None]:
    """One for all workers, as a path has no SO_REUSEPORT."""
    if path is None:
        yield None
        return
    remove_stale_socket(path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(BACKLOG)
        try:
            yield listening.fileno()
        finally:
            path.unlink(missing_ok=True)


class _Worker:
    """One of the crew: its process, and the supervisor's end of its link."""

    def __init__(self, role: Role, arguments: Sequence[str]) -> None:
        self.role = role
        self.ready = asyncio.Event()
        self.addresses: list[str] = []
        self._arguments = arguments
        self._process: Process | None = None
        self._link: Link | None = None

    async def keep_alive(self, switchboard: Mapping[int, _Worker]) -> NoReturn:
        """Start it, pass on what it says, and start it again when it has ended. Raises WorkersFailed."""
        pause_s = FIRST_PAUSE_S
        while True:
            started = monotonic()
            process, link = await self._start()
            while (message := await link.receive()) is not None:
                self._take(message, switchboard)
            self._link = None
            link.close()
            status = await _ended(process, END_S)
            if not self.ready.is_set():
                raise WorkersFailed(self.role.number, status)
            log.warning("worker_died", worker=self.role.number, status=status, restart_s=pause_s)
            await asyncio.sleep(pause_s)
            stable = monotonic() - started > STABLE_S
            pause_s = FIRST_PAUSE_S if stable else min(2 * pause_s, LONGEST_PAUSE_S)

    async def end(self) -> None:
        """SIGTERM, and SIGKILL for one that does not end in time."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        await _ended(process, STOP_S)

    async def _start(self) -> tuple[Process, Link]:
        ours, theirs = socket.socketpair()
        with theirs:
            passed = [theirs.fileno(), *([] if self.role.unix_socket is None else [self.role.unix_socket])]
            command = [sys.executable, "-P", "-m", "proxy", *self._arguments, "--link", str(theirs.fileno())]
            path = os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH")]))
            # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which stops them in order.
            process = self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=passed,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": path},
            )
        link = self._link = await Link.open(ours)
        link.send(role_message(self.role))
        log.info("worker_started", worker=self.role.number, pid=process.pid)
        return process, link

    def _take(self, message: Message, switchboard: Mapping[int, _Worker]) -> None:
        if "ready" in message:
            self.addresses = message["ready"]
            self.ready.set()
            return
        to = message.pop("to")
        others = [worker for number, worker in switchboard.items() if number != self.role.number]
        for worker in others if to == EVERYBODY else [switchboard[to]] if to in switchboard else []:
            worker.tell({**message, "from": self.role.number}, or_else=self)

    def tell(self, message: Message, or_else: _Worker | None = None) -> None:
        """Pass a message on. A question to a worker that is down is answered at once, with nothing."""
        if self._link is not None:
            self._link.send(message)
        elif or_else is not None and "ask" in message:
            or_else.tell({"id": message["id"], "answer": None})


async def _ended(process: Process, timeout_s: float) -> int:
    """Its exit status; killed when it takes too long."""
    try:
        return await asyncio.wait_for(process.wait(), timeout_s)
    except TimeoutError:
        log.warning("worker_killed", pid=process.pid)
        process.kill()
        return await process.wait()

"""A client process: `python -m proxy.demo.client`, told what to do by the first line of its standard input.

Its workers run until standard input ends, which it also does when the demo dies. They then finish what they
are at; what they did is on standard output (progress) and in the journals.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import json
import random
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from proxy.demo.journal import Journal
from proxy.demo.progress import Reporter, Worker
from proxy.demo.readers import one_statement, read_until, several_statements
from proxy.demo.transfers import PATIENCE, Plan, PymysqlWorker, TransactionalWorker, transfer_in_tasks

READ_TIMEOUT_S: Final = 30
_TASKS: Final = 2


class Role(enum.Enum):
    PYMYSQL = "pymysql"
    TRANSACTIONAL = "transactional"
    READERS = "readers"


@dataclass(frozen=True, slots=True)
class Assignment:
    """`first_worker` numbers the workers of this process, apart from those of others. `shards`: the accounts
    on each."""

    role: Role
    host: str
    port: int
    user: str
    password: str
    journals: str
    first_worker: int
    shards: Sequence[Sequence[int]]

    def to_line(self) -> str:
        return json.dumps({**asdict(self), "role": self.role.value})

    @classmethod
    def from_line(cls, line: str) -> Assignment:
        parsed: dict[str, Any] = json.loads(line)
        return cls(**{**parsed, "role": Role(parsed["role"])})

    @property
    def where(self) -> dict[str, Any]:
        login = {"host": self.host, "port": self.port, "user": self.user, "password": self.password}
        return {**login, "init_command": PATIENCE}

    @property
    def dsn(self) -> str:
        login = f"{quote(self.user)}:{quote(self.password)}"
        return f"mysql://{login}@{self.host}:{self.port}?init_command={quote(PATIENCE)}"


WORKERS: Final = {Role.PYMYSQL: 3, Role.TRANSACTIONAL: 2 + _TASKS, Role.READERS: 0}
"""How many workers of each role move money, that is, have a number of their own."""


def main() -> None:
    assignment = Assignment.from_line(sys.stdin.readline())
    stop = threading.Event()
    reporter = Reporter()
    reporter.start()
    with contextlib.ExitStack() as journals:
        threads = [
            threading.Thread(target=_guarded, args=(worker, stop, reporter))
            for worker in _workers(assignment, reporter, journals)
        ]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        stop.set()
        for thread in threads:
            thread.join()
    reporter.stop()


def _guarded(worker: Worker, stop: threading.Event, reporter: Reporter) -> None:
    """A worker that dies of its own mistake must not go unnoticed."""
    try:
        worker(stop)
    except BaseException as error:
        reporter.violation(f"a worker of the demo died: {type(error).__name__}: {error}")
        raise


def _workers(assignment: Assignment, reporter: Reporter, journals: contextlib.ExitStack) -> list[Worker]:
    def plan(number: int) -> Plan:
        return Plan(assignment.shards, number, random.Random(number))

    def journal(number: int) -> Journal:
        return journals.enter_context(Journal(Path(assignment.journals), f"worker{number}"))

    numbers = range(assignment.first_worker, assignment.first_worker + WORKERS[assignment.role])
    where = {**assignment.where, "read_timeout": READ_TIMEOUT_S}
    match assignment.role:
        case Role.PYMYSQL:
            return [PymysqlWorker(where, plan(n), journal(n), reporter).run for n in numbers]
        case Role.TRANSACTIONAL:
            threads = [
                TransactionalWorker(assignment.dsn, plan(n), journal(n), reporter).run
                for n in numbers[:-_TASKS]
            ]
            tasks = [plan(n) for n in numbers[-_TASKS:]]
            return [
                *threads,
                functools.partial(_run_tasks, assignment.where, tasks, journal(numbers[-1]), reporter),
            ]
        case Role.READERS:
            return [
                functools.partial(read_until, where=where, read=read, reporter=reporter)
                for read in (one_statement, several_statements)
            ]


def _run_tasks(
    where: dict[str, Any], plans: Sequence[Plan], journal: Journal, reporter: Reporter, stop: threading.Event
) -> None:
    asyncio.run(transfer_in_tasks(where, plans, journal, reporter, stop))


if __name__ == "__main__":
    main()

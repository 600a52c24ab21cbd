"""Does the protocol keep its own rules on the shards? Four questions, one finding each.

Work under way looks like a broken rule for a moment: a prewrite that has reached one participant, an undo
that has not, a lock about to be deleted. So what is seen is only suspected, and the suspects are read again,
with growing pauses, until they are gone or `settle_s` has passed. That is enough time for a live system: a
prewrite is given up after 2 s and what is left behind is resolved within seconds; a shard that stays away
cannot be read either, and makes its questions unchecked, not violated.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from pymysql.err import MySQLError

from tso.types import ShardName, Timestamp
from txguard.engine.shard import ConnectionLost, ShardError
from txguard.inspector.agreement import CommitRecord, disagreements
from txguard.inspector.report import Finding, Verdict
from txguard.inspector.shard_reader import PAGE, ShardAddress, ShardReader, horizon_at

T = TypeVar("T")
K = TypeVar("K")

_UNREADABLE: Final = (OSError, TimeoutError, MySQLError, ConnectionLost, ShardError)
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_TOLD: Final = 5
"""How many suspects a finding names."""

Look = Callable[[Collection[K] | None], Awaitable[Mapping[K, str]]]
"""Reads suspects, each with its description: all there are (None), or which of some are still there."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may pass for work under way, and how long an inspection may take."""

    lock_age_s: float = 10.0
    """What is undecided for longer is suspected; the janitor looks for lock records older than 5 s every 2 s."""
    settle_s: float = 10.0
    """For how long suspects are looked at again."""
    retention_s: float = 600.0
    """The engine's: what is younger has not been cleaned."""
    retention_margin_s: float = 10.0
    timeout_s: float = 60.0
    """For any one question to a shard or to the proxy."""


class Shards:
    """The shards that answer. One that fails to is left out from then on, and the reason kept in `lost`."""

    def __init__(self) -> None:
        self._readers: dict[ShardName, ShardReader] = {}
        self.lost: dict[ShardName, str] = {}

    async def open(self, addresses: Sequence[ShardAddress], timeout_s: float) -> None:
        async def one(address: ShardAddress) -> None:
            try:
                self._readers[address.name] = await ShardReader.open(address, timeout_s)
            except _UNREADABLE as error:
                self.lost[address.name] = str(error) or type(error).__name__

        async with asyncio.TaskGroup() as group:
            for address in addresses:
                group.create_task(one(address))

    async def ask(self, question: Callable[[ShardReader], Awaitable[T]]) -> dict[ShardName, T]:
        """All at once; the answers by shard."""
        answers: dict[ShardName, T] = {}

        async def one(reader: ShardReader) -> None:
            try:
                answers[reader.name] = await question(reader)
            except _UNREADABLE as error:
                reader.close()
                del self._readers[reader.name]
                self.lost[reader.name] = str(error) or type(error).__name__

        async with asyncio.TaskGroup() as group:
            for reader in list(self._readers.values()):
                group.create_task(one(reader))
        return answers

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()


async def check_protocol(addresses: Sequence[ShardAddress], limits: Limits) -> tuple[Finding, ...]:
    """Ask all shards. Never raises for a shard that does not answer: its questions are then unchecked."""
    shards = Shards()
    try:
        await shards.open(addresses, limits.timeout_s)
        newest = await shards.ask(ShardReader.newest_commit_ts)
        horizon = horizon_at(
            time.time_ns() // 1_000_000,
            max(newest.values(), default=Timestamp(0)),
            max(0, int((limits.retention_s - limits.retention_margin_s) * 1000)),
        )
        return (
            await _check_locks(shards, limits),
            await _check_agreement(shards, horizon, limits),
            *await _check_writers(shards, horizon),
        )
    finally:
        shards.close()


async def _check_locks(shards: Shards, limits: Limits) -> Finding:
    """The suspects are locks: one on one shard that is there at every look has been left.

    Nobody can decide a transaction while a participant is away, so such locks are not suspected.
    """

    async def look(_: object) -> dict[tuple[ShardName, Timestamp], str]:
        answers = await shards.ask(lambda reader: reader.locks_older_than(limits.lock_age_s))
        return {
            (shard, lock.start_ts): f"{shard}: transaction {lock.start_ts} for {lock.age_s:.1f} s"
            for shard, locks in answers.items()
            for lock in locks
            if shards.lost.keys().isdisjoint(lock.participants)
        }

    started = time.monotonic()
    left = await persistent(look, limits.settle_s)
    return _finding(f"no lock is undecided for more than {limits.lock_age_s:g} s", left, shards, started)


async def _check_agreement(shards: Shards, horizon: Timestamp, limits: Limits) -> Finding:
    """The suspects are transactions. The first look goes through all records, page by page."""

    async def look(suspects: Collection[Timestamp] | None) -> dict[Timestamp, str]:
        if suspects is None:
            return await _all_disagreements(shards, horizon)
        again = sorted(suspects)
        return _suspects(await shards.ask(lambda reader: reader.records_of(again)))

    started = time.monotonic()
    left = await persistent(look, limits.settle_s)
    return _finding("all participants agree on commit_ts and outcome", left, shards, started)


async def _all_disagreements(shards: Shards, horizon: Timestamp) -> dict[Timestamp, str]:
    """Pages do not end at the same `start_ts` everywhere: each round judges what all shards have told up to."""
    found: dict[Timestamp, str] = {}
    after = Timestamp(0)
    while True:
        pages = await shards.ask(functools.partial(_page, after, horizon))
        ends = [page[-1].start_ts for page in pages.values() if len(page) == PAGE]
        until = min(ends) if ends else None
        told = {
            shard: [record for record in page if until is None or record.start_ts <= until]
            for shard, page in pages.items()
        }
        found.update(_suspects(told))
        if until is None:
            return found
        after = until


async def _page(after: Timestamp, horizon: Timestamp, reader: ShardReader) -> list[CommitRecord]:
    return await reader.records_after(after, horizon)


def _suspects(pages: Mapping[ShardName, Sequence[CommitRecord]]) -> dict[Timestamp, str]:
    records = {shard: {record.start_ts: record for record in page} for shard, page in pages.items()}
    return {suspect.start_ts: f"{suspect.start_ts}: {suspect.reason}" for suspect in disagreements(records)}


async def _check_writers(shards: Shards, horizon: Timestamp) -> tuple[Finding, Finding]:
    """Needs no second look: each shard answers from one snapshot (see shard_reader)."""
    started = time.monotonic()
    answers = await shards.ask(lambda reader: reader.strange_writers(horizon))
    rows = {told: told for strange, _ in answers.values() for told in strange}
    versions = {told: told for _, strange in answers.values() for told in strange}
    return (
        _finding("every row's writer has committed", rows, shards, started),
        _finding("every old version's successor has committed", versions, shards, started),
    )


async def persistent(look: Look[K], settle_s: float) -> Mapping[K, str]:
    """The suspects that are there at every look until `settle_s` has passed."""
    suspects = await look(None)
    deadline = time.monotonic() + settle_s
    pause_s = _FIRST_PAUSE_S
    while suspects and time.monotonic() < deadline:
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        again = await look(tuple(suspects))
        suspects = {key: told for key, told in again.items() if key in suspects}
    return suspects


def _finding(name: str, suspects: Mapping[K, str], shards: Shards, started: float) -> Finding:
    elapsed_ms = (time.monotonic() - started) * 1000
    if suspects:
        told = list(suspects.values())
        more = [f"and {len(told) - _TOLD} more"] if len(told) > _TOLD else []
        return Finding(name, Verdict.VIOLATED, "; ".join([*told[:_TOLD], *more]), elapsed_ms)
    if shards.lost:
        reasons = [f"{shard}: {reason}" for shard, reason in sorted(shards.lost.items())]
        return Finding(name, Verdict.UNCHECKED, "; ".join(reasons), elapsed_ms)
    return Finding(name, Verdict.HOLDS, "", elapsed_ms)

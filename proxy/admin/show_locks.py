"""SHOW TXGUARD LOCKS: cross-shard commits that are not decided, and the shards that do not know of a decision.

`State`: outstanding or orphaned (the oracle waits for the outcome), decided (an undo is being carried out), unknown
(one that the oracle does not know and that is older than the decided mark may lag: the janitor will look at it). What
is decided, but for a moment above the mark, is no lock any more and does not show.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.admin.sources import Sources
from proxy.session.results import LocalResult
from tso.types import OutstandingCommit, ShardName
from txguard.engine.concurrent import settle
from txguard.engine.shard import ConnectionLost, Rows, ShardError, ShardUnavailable, borrow
from txguard.engine.undecided import UNDECIDED

_NAMES = ("Start_ts", "Commit_ts", "Participants", "Age_ms", "State", "Locked_on")
_UNREACHABLE = (ShardUnavailable, ConnectionLost, ShardError)


@dataclass(slots=True)
class _Lock:
    start_ts: int
    commit_ts: int
    participants: str
    age_ms: int
    state: str
    locked_on: list[ShardName] = field(default_factory=list)


async def show_locks(sources: Sources) -> LocalResult:
    locks: dict[int, _Lock] = {}
    for commit in (await sources.services.engine.tso.statistics()).outstanding:
        locks[commit.start_ts] = _outstanding(commit)
    names = list(sources.services.pools)
    oldest_ms = sources.services.engine.settings.orphan_age_ms
    for name, answer in zip(names, await settle([_stored(sources, name) for name in names]), strict=True):
        if isinstance(answer, _UNREACHABLE):
            continue
        if isinstance(answer, Exception):
            raise answer
        for start_ts, commit_ts, participants, age_us in answer.rows:
            age_ms = max(0, _int(age_us)) // 1000
            lock = _Lock(_int(start_ts), _int(commit_ts), _text(participants), age_ms, "unknown")
            if lock.start_ts in locks or lock.age_ms > oldest_ms:
                locks.setdefault(lock.start_ts, lock).locked_on.append(name)
    return LocalResult.of(
        _NAMES,
        [
            (
                lock.start_ts,
                lock.commit_ts,
                lock.participants,
                lock.age_ms,
                lock.state,
                ",".join(lock.locked_on),
            )
            for lock in sorted(locks.values(), key=lambda lock: lock.start_ts)
        ],
    )


async def _stored(sources: Sources, name: ShardName) -> Rows:
    settings = sources.services.engine.settings
    async with borrow(sources.services.engine.shards[name], settings.acquire_timeout_s) as connection:
        return (await connection.run([UNDECIDED], settings.control_timeout_s))[0]


def _outstanding(commit: OutstandingCommit) -> _Lock:
    state = "orphaned" if commit.orphaned else "outstanding"
    if commit.outcome is not None:
        state = f"decided: {commit.outcome.name.lower().replace('_', ' ')}"
    participants = ",".join(commit.participants)
    return _Lock(commit.start_ts, commit.commit_ts, participants, int(commit.age_ms), state)


def _int(value: object) -> int:
    return int(_text(value)) if value is not None else 0


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

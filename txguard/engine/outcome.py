"""What became of a transaction, asked by its `start_ts`, in any process and without disturbing what still runs.

The rule: an answer is final, or says that it is not. Committed and rolled back stand in the shards' records; "no record
anywhere" means rolled back only where none can come any more. That is so once the oracle neither has the transaction as
active nor its commit as outstanding, on shards that are fenced for the oracle's epoch, in this order:

    fence ─► the oracle's word ─► the shards' records ─► how far they were cleaned

A prewrite is only ever sent while its commit is outstanding; a commit stops being outstanding when every participant
holds a record, or none was sent; and a record that was there is cleaned only behind the safe point and the shard's mark
[R7]. What was sent for an older epoch is refused by the fence. Source: docs/protocol.md, "Asking for an outcome".
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tso.types import Orphan, Outcome, OutstandingCommit, ShardName, Timestamp, TsoStatistics
from txguard.engine.concurrent import settle
from txguard.engine.install import ANY_MARK, SINGLE_SHARD_MARK
from txguard.engine.resolve import Undecided
from txguard.engine.shard import Connection, ConnectionLost, ShardError, ShardUnavailable, borrow
from txguard.engine.undecided import IS_UNDECIDED, parse_participants

if TYPE_CHECKING:
    from txguard.engine.engine import Engine

NOT_ANSWERED = (ShardUnavailable, ConnectionLost, ShardError)


class Verdict(enum.Enum):
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    IN_DOUBT = "in doubt"
    """Not decided, or not to be learnt now: ask again."""
    UNKNOWN = "unknown"
    """Nobody can tell any more (beyond the retention), or there never was such a transaction."""


@dataclass(frozen=True, slots=True)
class TransactionOutcome:
    start_ts: Timestamp
    verdict: Verdict
    commit_ts: Timestamp | None
    """Where it committed."""
    participants: tuple[ShardName, ...]
    """As far as they are known."""
    reason: str


@dataclass(frozen=True, slots=True)
class Record:
    """A commit record, and whether the shard knows that it is decided."""

    state: Outcome
    commit_ts: Timestamp
    participants: tuple[ShardName, ...]
    """Empty: it wrote this shard only."""
    undecided: bool
    """A lock record stands beside it, or the shard's decided mark has not passed it."""


Records = Mapping[ShardName, Record | Exception | None]
"""What each shard said; an exception where it did not answer."""


# ---------------------------------------------------------------- sans-IO


def from_records(start_ts: Timestamp, records: Records) -> TransactionOutcome | None:
    """What the shards' records alone prove. None: nothing final."""
    found = {name: record for name, record in records.items() if isinstance(record, Record)}
    for name, record in found.items():
        if record.state is Outcome.ROLLED_BACK:
            participants = record.participants or (name,)
            text = f"shard {name} holds the record of its roll-back"
            return TransactionOutcome(start_ts, Verdict.ROLLED_BACK, None, participants, text)
    for name, record in found.items():
        participants = record.participants or (name,)
        # It is decided, and the record would say so had it been rolled back.
        if not record.undecided:
            text = f"shard {name} holds its commit record"
        elif all(participant in found for participant in participants):
            text = "every participant holds its commit record"
        else:
            continue
        return TransactionOutcome(start_ts, Verdict.COMMITTED, record.commit_ts, participants, text)
    return None


def undecided(
    start_ts: Timestamp, participants: tuple[ShardName, ...], records: Records, why: str
) -> TransactionOutcome:
    """In doubt, with what each participant said. No participants: not known, so every shard may be one."""
    silent, without, holding = [], [], []
    for name in participants or tuple(records):
        said = records.get(name, ShardUnavailable("it is not in the configuration"))
        if isinstance(said, Exception):
            silent.append(f"{name} does not answer ({said})")
        elif said is None:
            without.append(name)
        else:
            holding.append(name)
    parts = [why, *silent]
    if holding:
        parts.append(f"commit record on {', '.join(holding)}")
    if without:
        parts.append(f"no record on {', '.join(without)}")
    return TransactionOutcome(start_ts, Verdict.IN_DOUBT, None, participants, "; ".join(parts))


def from_oracle(
    start_ts: Timestamp, statistics: TsoStatistics, records: Records
) -> TransactionOutcome | None:
    """What the oracle knows of a transaction without proof in the records. None: it is over for the oracle."""
    commit = next((one for one in statistics.outstanding if one.start_ts == start_ts), None)
    if commit is not None:
        return _outstanding(commit, records)
    if start_ts in statistics.active:
        return undecided(start_ts, (), {}, "it is still open: neither committed nor rolled back yet")
    if start_ts > statistics.now:
        return TransactionOutcome(
            start_ts, Verdict.UNKNOWN, None, (), "the oracle has not given out this timestamp yet"
        )
    return None


def _outstanding(commit: OutstandingCommit, records: Records) -> TransactionOutcome:
    start_ts, participants = commit.start_ts, commit.participants
    if commit.outcome is Outcome.COMMITTED:
        text = "decided, and being carried out"
        return TransactionOutcome(start_ts, Verdict.COMMITTED, commit.commit_ts, participants, text)
    if commit.outcome is Outcome.ROLLED_BACK:
        text = "decided, and being undone"
        return TransactionOutcome(start_ts, Verdict.ROLLED_BACK, None, participants, text)
    why = (
        "its coordinator is gone, and it is being resolved" if commit.orphaned else "its COMMIT is under way"
    )
    return undecided(start_ts, participants, records, f"{why}, for {commit.age_ms / 1000:.1f} s")


def without_record(start_ts: Timestamp, records: Records, cleaned: Timestamp) -> TransactionOutcome:
    """No shard that answered holds a record, and none can come any more on those.

    `cleaned`: records of commits up to there may be gone.
    """
    if any(isinstance(said, Exception) for said in records.values()):
        return undecided(start_ts, (), records, "it is over for the oracle")
    if start_ts <= cleaned:
        text = "older than the retention, and no shard holds a record: it left none, or it was cleaned"
        return TransactionOutcome(start_ts, Verdict.UNKNOWN, None, (), text)
    text = "no shard holds a record of it: nothing of it was committed"
    return TransactionOutcome(start_ts, Verdict.ROLLED_BACK, None, (), text)


# ---------------------------------------------------------------- asking


async def find_outcome(engine: Engine, start_ts: Timestamp) -> TransactionOutcome:
    """Raises TsoError when the oracle cannot be asked."""
    epoch = engine.tso.epoch
    fenced = dict(
        zip(engine.shards, await settle([engine.require_fenced(s) for s in engine.shards]), strict=True)
    )
    statistics = await engine.tso.statistics()
    records = await read_records(engine, start_ts)
    for name, refusal in fenced.items():
        if isinstance(refusal, Exception) and not isinstance(records[name], Record):
            records[name] = refusal
    # The mark knows of a longer past: of cleaning by a shorter retention than today's.
    cleaned = await engine.tso.safe_point(engine.settings.retention_ms)
    answered = [name for name, said in records.items() if said is None]
    for name, mark in zip(answered, await settle([_mark(engine, name) for name in answered]), strict=True):
        if isinstance(mark, Exception):
            records[name] = mark
        else:
            cleaned = max(cleaned, mark)
    if (proof := from_records(start_ts, records)) is not None:
        return proof
    if (word := from_oracle(start_ts, statistics, records)) is not None:
        return word
    if engine.tso.epoch != epoch:
        return undecided(start_ts, (), records, "the oracle was just replaced")
    for record in records.values():
        if isinstance(record, Record):
            return await _resolved(engine, start_ts, record, records)
    return without_record(start_ts, records, cleaned)


async def _resolved(
    engine: Engine, start_ts: Timestamp, record: Record, records: Records
) -> TransactionOutcome:
    """Nobody commits it any more, and not every participant was seen to hold a record: decide it, durably."""
    orphan = Orphan(start_ts, record.commit_ts, record.participants)
    try:
        decision = await engine.resolver.decide(orphan)
    except (Undecided, *NOT_ANSWERED) as error:
        return undecided(start_ts, record.participants, records, f"it could not be resolved ({error})")
    if decision.outcome is Outcome.COMMITTED:
        text = "every participant holds its commit record"
        return TransactionOutcome(start_ts, Verdict.COMMITTED, record.commit_ts, record.participants, text)
    text = "a participant lacked its commit record"
    return TransactionOutcome(start_ts, Verdict.ROLLED_BACK, None, record.participants, text)


async def read_records(engine: Engine, start_ts: Timestamp) -> dict[ShardName, Record | Exception | None]:
    answers = await settle([_ask(engine, name, start_ts) for name in engine.shards])
    for answer in answers:
        if isinstance(answer, Exception) and not isinstance(answer, NOT_ANSWERED):
            raise answer
    return dict(zip(engine.shards, answers, strict=True))


async def _ask(engine: Engine, name: ShardName, start_ts: Timestamp) -> Record | None:
    async with borrow(engine.shards[name], engine.settings.acquire_timeout_s) as connection:
        return await read_record(connection, start_ts, engine.settings.control_timeout_s)


async def _mark(engine: Engine, name: ShardName) -> Timestamp:
    query = f"SELECT MAX(commit_ts) FROM _txguard.txn WHERE start_ts IN ({ANY_MARK}, {SINGLE_SHARD_MARK})"
    async with borrow(engine.shards[name], engine.settings.acquire_timeout_s) as connection:
        [answer] = await connection.run([query], engine.settings.control_timeout_s)
    return Timestamp(int(answer.rows[0][0] or 0))


async def read_record(connection: Connection, start_ts: Timestamp, timeout_s: float) -> Record | None:
    """In one statement, so that record, lock record and mark are of one moment."""
    query = (
        f"SELECT t.state, t.commit_ts, t.participants, {IS_UNDECIDED} FROM _txguard.txn t "
        f"LEFT JOIN _txguard.txn_lock l ON l.start_ts = t.start_ts WHERE t.start_ts = {start_ts} AND t.state <> 'M'"
    )
    [answer] = await connection.run([query], timeout_s)
    if not answer.rows:
        return None
    state, commit_ts, participants, is_undecided = answer.rows[0]
    return Record(
        Outcome(state.decode() if isinstance(state, bytes) else state),
        Timestamp(int(commit_ts or 0)),
        () if participants is None else parse_participants(participants),
        bool(int(is_undecided or 0)),
    )

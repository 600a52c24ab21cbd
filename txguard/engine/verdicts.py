"""Verdicts: what an operator decided by hand, because a participant is gone for good.

Owns `_txguard.verdict`, of which every shard that answered at the time holds a copy, for ever: it is what a lost shard
must agree with should it return. The rules:

- A verdict names the participants that were given up. It is carried out only while exactly those do not answer, only
  where the records of the others allow it, and only if the oracle has decided nothing else: it is asked first (I2).
- A lost shard that returns is let in once it agrees: rolled back, it is undone there; committed, it must hold the
  commit record. One that lacks it is refused, until the operator accepts the loss by giving it that record.

Source: docs/protocol.md, "Decided by hand".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tso.types import Orphan, Outcome, ShardName, Timestamp
from txguard.engine.concurrent import settle
from txguard.engine.install import ANY_MARK, CREATE_VERDICT
from txguard.engine.managed import list_managed
from txguard.engine.outcome import Record, Verdict, from_records, read_record, read_records
from txguard.engine.resolve import NO_SUCH_DATABASE, NO_SUCH_TABLE, Decision
from txguard.engine.shard import Connection, ShardError, ShardUnavailable, Value, borrow
from txguard.engine.undecided import IS_UNDECIDED, parse_participants
from txguard.engine.undo import undo

if TYPE_CHECKING:
    from txguard.engine.engine import Engine

CARRY_OUT_S: Final = 10.0
"""A lost shard that returns so soon after a verdict waits until it is carried out, or is not to be any more."""

_SELECT: Final = (
    "SELECT v.start_ts, v.commit_ts, v.outcome, v.participants, v.lost, v.done, "
    f"TIMESTAMPDIFF(MICROSECOND, v.given_at, NOW(6)) / 1000000, t.state, t.participants, {IS_UNDECIDED} "
    "FROM _txguard.verdict v LEFT JOIN _txguard.txn t ON t.start_ts = v.start_ts "
    "LEFT JOIN _txguard.txn_lock l ON l.start_ts = v.start_ts"
)


@dataclass(frozen=True, slots=True)
class GivenVerdict:
    start_ts: Timestamp
    commit_ts: Timestamp
    outcome: Outcome
    participants: tuple[ShardName, ...]
    lost: tuple[ShardName, ...]
    done: bool
    """It was carried out."""
    age_s: float
    record: Record | None
    """Of the shard that holds this copy."""


def write_verdict(verdict: GivenVerdict) -> list[str]:
    """Replaces one that was not carried out."""
    values = (
        f"({verdict.start_ts}, {verdict.commit_ts}, '{verdict.outcome.value}', "
        f"'{','.join(verdict.participants)}', '{','.join(verdict.lost)}')"
    )
    return [
        CREATE_VERDICT,
        f"DELETE FROM _txguard.verdict WHERE start_ts = {verdict.start_ts} AND done = 0",
        "INSERT IGNORE INTO _txguard.verdict (start_ts, commit_ts, outcome, participants, lost) "
        f"VALUES {values}",
    ]


async def read_verdicts(connection: Connection, timeout_s: float) -> list[GivenVerdict]:
    try:
        [answer] = await connection.run([_SELECT], timeout_s)
    except ShardError as error:
        if error.errno not in (NO_SUCH_TABLE, NO_SUCH_DATABASE):
            raise
        return []
    return [_parse(row) for row in answer.rows]


def _parse(row: Sequence[Value]) -> GivenVerdict:
    start_ts, commit_ts, outcome, participants, lost, done, age_s, state, members, is_undecided = row
    record = None
    if state is not None:
        record = Record(
            Outcome(_text(state)),
            Timestamp(int(commit_ts or 0)),
            () if members is None else parse_participants(members),
            bool(int(is_undecided or 0)),
        )
    return GivenVerdict(
        Timestamp(int(start_ts or 0)),
        Timestamp(int(commit_ts or 0)),
        Outcome(_text(outcome)),
        parse_participants(participants),
        parse_participants(lost),
        bool(int(done or 0)),
        float(_text(age_s)),
        record,
    )


# ---------------------------------------------------------------- carrying out


async def carry_out(engine: Engine, start_ts: Timestamp) -> str | None:
    """Why a verdict on this transaction cannot be carried out; None: it was, or there is none."""
    settings = engine.settings
    outstanding = {one.start_ts: one for one in (await engine.tso.statistics()).outstanding}
    if start_ts not in outstanding:
        return None
    copies = [
        copy
        for answer in await settle([_read(engine, name) for name in engine.shards])
        if not isinstance(answer, Exception)
        for copy in answer
        if copy.start_ts == start_ts and not copy.done
    ]
    if not copies or outstanding[start_ts].outcome not in (None, copies[0].outcome):
        return None
    verdict = copies[0]
    if len({(copy.outcome, copy.lost) for copy in copies}) > 1:
        return "the shards hold different verdicts on it: give it again"
    records = await read_records(engine, start_ts)
    if (why := refusal(verdict, records)) is not None:
        return why
    # From here on nobody can decide otherwise: the oracle takes the first word.
    await engine.tso.decide(start_ts, verdict.outcome)
    others = tuple(name for name in verdict.participants if name not in verdict.lost)
    if verdict.outcome is Outcome.COMMITTED:
        await settle([_agree(engine, name, verdict) for name in verdict.lost])  # should one be back just now
    found = tuple(
        record.state if isinstance(record := records[name], Record) else ShardUnavailable("no record")
        for name in others
    )
    await engine.resolver.carry_out(
        Decision(Orphan(start_ts, verdict.commit_ts, others), verdict.outcome, found)
    )
    done = f"UPDATE _txguard.verdict SET done = 1 WHERE start_ts = {start_ts}"
    await settle([_run(engine, name, done, settings.control_timeout_s) for name in engine.shards])
    return None


def refusal(verdict: GivenVerdict, records: Mapping[ShardName, Record | Exception | None]) -> str | None:
    """Why the records do not allow it now. Sans-IO."""
    for name in verdict.participants:
        record = records.get(name, ShardUnavailable("not in the configuration"))
        if name in verdict.lost:
            if not isinstance(record, Exception):
                return f"shard {name} answers again: it is settled as ever"
        elif isinstance(record, Exception):
            return f"shard {name} does not answer either: name it as lost, too ({record})"
        elif verdict.outcome is Outcome.COMMITTED and (
            record is None or record.state is not Outcome.COMMITTED
        ):
            return f"shard {name} holds no commit record: it cannot be committed"
    return None


async def _read(engine: Engine, name: ShardName) -> list[GivenVerdict]:
    async with borrow(engine.shards[name], engine.settings.acquire_timeout_s) as connection:
        return await read_verdicts(connection, engine.settings.control_timeout_s)


async def _agree(engine: Engine, name: ShardName, verdict: GivenVerdict) -> None:
    await _run(engine, name, accept_statement(verdict), engine.settings.control_timeout_s)


async def _run(engine: Engine, name: ShardName, statement: str, timeout_s: float) -> None:
    async with borrow(engine.shards[name], engine.settings.acquire_timeout_s) as connection:
        await connection.run([statement], timeout_s)


def accept_statement(verdict: GivenVerdict) -> str:
    """Gives a shard the record of a commit whose rows it may lack."""
    return (
        "INSERT IGNORE INTO _txguard.txn (start_ts, commit_ts, state, participants) VALUES "
        f"({verdict.start_ts}, {verdict.commit_ts}, 'C', '{','.join(verdict.participants)}')"
    )


# ---------------------------------------------------------------- a lost shard returns


def settled(copies: Mapping[ShardName, GivenVerdict]) -> Outcome | None:
    """What became of a verdict's transaction, by the shards that hold copies. None: it was not carried out."""
    verdict = next(iter(copies.values()))
    proof = from_records(verdict.start_ts, {name: copy.record for name, copy in copies.items()})
    if proof is not None:
        return Outcome.COMMITTED if proof.verdict is Verdict.COMMITTED else Outcome.ROLLED_BACK
    return next((copy.outcome for copy in copies.values() if copy.done), None)


def concerning(
    name: ShardName, held: Mapping[ShardName, Sequence[GivenVerdict]]
) -> list[tuple[GivenVerdict, Outcome]]:
    """The verdicts that gave this shard up, and what it must agree with. Raises ShardUnavailable while one is new."""
    by_transaction: dict[Timestamp, dict[ShardName, GivenVerdict]] = {}
    for shard, verdicts in held.items():
        for verdict in verdicts:
            if shard != name and name in verdict.lost:
                by_transaction.setdefault(verdict.start_ts, {})[shard] = verdict
    found: list[tuple[GivenVerdict, Outcome]] = []
    for start_ts, copies in by_transaction.items():
        verdict = next(iter(copies.values()))
        outcome = settled(copies)
        if outcome is not None:
            found.append((verdict, outcome))
        elif verdict.age_s < CARRY_OUT_S:
            raise ShardUnavailable(f"shard {name} waits for the verdict on transaction {start_ts}")
    return found


async def require_agreement(
    name: ShardName,
    connection: Connection,
    verdicts: Sequence[tuple[GivenVerdict, Outcome]],
    timeout_s: float,
) -> None:
    """Before what it holds undecided is adopted. Raises ShardUnavailable where it lacks what was committed."""
    for verdict, outcome in verdicts:
        if outcome is not Outcome.COMMITTED:
            continue
        record = await read_record(connection, verdict.start_ts, timeout_s)
        if record is None and await _was_cleaned(connection, verdict.commit_ts, timeout_s):
            continue  # It has returned before.
        if record is None or record.state is not Outcome.COMMITTED:
            raise ShardUnavailable(
                f"shard {name} lacks its part of transaction {verdict.start_ts}, which was committed by hand without "
                f"it: restore it, or accept the loss (txguard recover --accept {verdict.start_ts} --yes-i-lose {name})"
            )
        copy = (
            f"({verdict.start_ts}, {verdict.commit_ts}, '{outcome.value}', "
            f"'{','.join(verdict.participants)}', '{','.join(verdict.lost)}', 1)"
        )
        await connection.run(
            [
                CREATE_VERDICT,
                "INSERT INTO _txguard.verdict (start_ts, commit_ts, outcome, participants, lost, done) "
                f"VALUES {copy} ON DUPLICATE KEY UPDATE done = 1",
                f"DELETE FROM _txguard.txn_lock WHERE start_ts = {verdict.start_ts}",
            ],
            timeout_s,
        )


async def _was_cleaned(connection: Connection, commit_ts: Timestamp, timeout_s: float) -> bool:
    query = f"SELECT commit_ts >= {commit_ts} FROM _txguard.txn WHERE start_ts = {ANY_MARK}"
    [answer] = await connection.run([query], timeout_s)
    return bool(answer.rows and int(answer.rows[0][0] or 0))


async def undo_on_return(
    engine: Engine, connection: Connection, verdicts: Sequence[tuple[GivenVerdict, Outcome]], timeout_s: float
) -> None:
    """Once the shard is fenced, before it is used: what was rolled back without it is rolled back on it."""
    for verdict, outcome in verdicts:
        if outcome is not Outcome.ROLLED_BACK:
            continue
        tombstone = (
            "INSERT IGNORE INTO _txguard.txn (start_ts, commit_ts, state, participants) VALUES "
            f"({verdict.start_ts}, {verdict.commit_ts}, 'R', '{','.join(verdict.participants)}')"
        )
        await connection.run([tombstone], timeout_s)
        await undo(connection, await list_managed(connection, timeout_s), verdict.start_ts, timeout_s)
        await engine.tso.end_commit(verdict.start_ts, outcome)


def _text(value: Value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

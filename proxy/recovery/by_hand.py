"""Writes what an operator decides: a verdict on every shard that answers, or a lost shard's missing commit record.

The rule: nothing is written before the operator has named exactly what may be lost.
"""

from __future__ import annotations

from collections.abc import Collection

from proxy.config import Config, ShardConfig
from proxy.recovery.survey import TIMEOUT_S, Doubt, connected
from tso.types import Outcome, Timestamp
from txguard.engine.concurrent import settle
from txguard.engine.outcome import Record
from txguard.engine.verdicts import GivenVerdict, accept_statement, read_verdicts, write_verdict


class RefusedByHand(Exception):
    """The decision cannot be made, or the operator has not said what it costs; the text says how to go on."""


async def give_verdict(config: Config, doubt: Doubt, outcome: Outcome, named: Collection[str]) -> None:
    """Raises RefusedByHand."""
    _check(doubt, outcome, named)
    verdict = GivenVerdict(
        doubt.start_ts, doubt.commit_ts, outcome, doubt.participants, doubt.lost, False, 0.0, None
    )
    written = await settle([_run(shard, write_verdict(verdict)) for shard in config.shards])
    for shard, result in zip(config.shards, written, strict=True):
        if isinstance(result, Exception) and shard.name in set(doubt.participants) - set(doubt.lost):
            raise RefusedByHand(f"shard {shard.name} did not take the verdict ({result}): try again")


def _check(doubt: Doubt, outcome: Outcome, named: Collection[str]) -> None:
    if not doubt.lost:
        raise RefusedByHand(f"all participants answer ({doubt.reason()}): TxGuard settles it by itself")
    lost = ",".join(doubt.lost)
    without = [name for name in doubt.participants if doubt.records[name] is None]
    if outcome is Outcome.COMMITTED and without:
        raise RefusedByHand(f"{', '.join(without)} holds no commit record: it can only be rolled back")
    if sorted(named) == list(doubt.lost):
        return
    option = "--commit" if outcome is Outcome.COMMITTED else "--rollback"
    if outcome is Outcome.COMMITTED:
        cost = f"the part of it on {lost}, should {lost} come back without it (it is refused then)"
    else:
        cost = (
            f"all of it, although its client may have been told that it is committed, if {lost} had committed it; "
            f"should {lost} come back with it, it is undone there"
        )
    raise RefusedByHand(
        f"{doubt.text()}\nThis may lose {cost}.\n"
        f"To decide it so: txguard recover {option} {doubt.start_ts} --yes-i-lose {lost}"
    )


async def accept_loss(config: Config, start_ts: Timestamp, named: Collection[str]) -> None:
    """Give the shards `named` the record of a commit that was decided without them. Raises RefusedByHand."""
    held = await settle([_verdicts(shard) for shard in config.shards])
    verdict = next(
        (
            copy
            for answer in held
            if not isinstance(answer, Exception)
            for copy in answer
            if copy.start_ts == start_ts and copy.outcome is Outcome.COMMITTED and _carried_out(copy)
        ),
        None,
    )
    if verdict is None:
        raise RefusedByHand(f"no shard that answers knows transaction {start_ts} as committed by hand")
    if not named or not set(named) <= set(verdict.lost):
        raise RefusedByHand(
            f"the part of transaction {start_ts} on {', '.join(verdict.lost)} may be missing there, for good.\n"
            f"To accept it: txguard recover --accept {start_ts} --yes-i-lose {','.join(verdict.lost)}"
        )
    for shard in config.shards:
        if shard.name in named:
            [result] = await settle([_run(shard, [accept_statement(verdict)])])
            if isinstance(result, Exception):
                raise RefusedByHand(f"shard {shard.name} did not take the record: {result}")


def _carried_out(copy: GivenVerdict) -> bool:
    return copy.done or (isinstance(copy.record, Record) and not copy.record.undecided)


async def _verdicts(shard: ShardConfig) -> list[GivenVerdict]:
    async with connected(shard) as connection:
        return await read_verdicts(connection, TIMEOUT_S)


async def _run(shard: ShardConfig, statements: list[str]) -> None:
    async with connected(shard) as connection:
        await connection.run(statements, TIMEOUT_S)

"""Do the participants of cross-shard transactions agree? The judgement alone, without input or output.

The rule (I1, I2 of docs/protocol.md): of a decided transaction every participant holds one record, all with
the same `commit_ts` and the same outcome. A record that is missing or that differs is the sign of a broken
rule, or of a prewrite, an undo or a cleaning under way: so the answers are *suspects*, to be looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tso.types import Outcome, ShardName, Timestamp


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """A row of `_txguard.txn` of a cross-shard transaction."""

    start_ts: Timestamp
    commit_ts: Timestamp
    outcome: Outcome
    participants: tuple[ShardName, ...]


Records = Mapping[ShardName, Mapping[Timestamp, CommitRecord]]
"""Per shard, its records by `start_ts`."""


@dataclass(frozen=True, slots=True)
class Suspect:
    start_ts: Timestamp
    reason: str


def disagreements(records: Records) -> Iterator[Suspect]:
    """Every transaction of which the shards tell different stories. `records` has an entry for every shard
    asked."""
    transactions = sorted({start_ts for held in records.values() for start_ts in held})
    for start_ts in transactions:
        reason = _disagreement(start_ts, records)
        if reason is not None:
            yield Suspect(start_ts, reason)


def _disagreement(start_ts: Timestamp, records: Records) -> str | None:
    held = {shard: of_shard[start_ts] for shard, of_shard in records.items() if start_ts in of_shard}
    participants = {record.participants for record in held.values()}
    if len(participants) > 1:
        return "the participants are not the same everywhere: " + _told(
            held, lambda r: ",".join(r.participants)
        )
    (listed,) = participants
    strangers = [shard for shard in held if shard not in listed]
    if strangers:
        return f"{', '.join(strangers)} holds a record but is no participant"
    missing = [shard for shard in listed if shard in records and shard not in held]
    if missing:
        return f"no record on {', '.join(missing)}; {_told(held, lambda r: r.outcome.value)}"
    if len({record.commit_ts for record in held.values()}) > 1:
        return "different commit_ts: " + _told(held, lambda r: str(r.commit_ts))
    if len({record.outcome for record in held.values()}) > 1:
        return "different outcomes: " + _told(held, lambda r: r.outcome.value)
    return None


def _told(held: Mapping[ShardName, CommitRecord], what: Callable[[CommitRecord], str]) -> str:
    return ", ".join(f"{shard} {what(record)}" for shard, record in sorted(held.items()))

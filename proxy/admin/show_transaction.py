"""SHOW TXGUARD TRANSACTION n: what became of one transaction, by its start_ts; from any proxy, within the retention.

`State`: committed, rolled back, in doubt (not decided, or not to be learnt now: `Reason` says why) or unknown (older
than the retention, or never given out). The first two are final.
"""

from __future__ import annotations

from proxy.admin.sources import Sources
from proxy.session.results import LocalResult
from tso.types import Timestamp
from txguard.engine.outcome import find_outcome

_NAMES = ("Start_ts", "State", "Commit_ts", "Participants", "Reason")


async def show_transaction(sources: Sources, start_ts: int) -> LocalResult:
    outcome = await find_outcome(sources.services.engine, Timestamp(start_ts))
    row = (
        outcome.start_ts,
        outcome.verdict.value,
        outcome.commit_ts,
        ",".join(outcome.participants),
        outcome.reason,
    )
    return LocalResult.of(_NAMES, [row])

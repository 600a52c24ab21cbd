"""SHOW TXGUARD TRANSACTION n: what became of one transaction, by its start_ts; from any proxy, within the retention.

`State`: committed, rolled back, in doubt (not decided, or not to be learnt now: `Reason` says why) or unknown (older
than the retention, or never given out). The first two are final. What an operator has decided by hand
(`txguard recover`) is carried out when it is asked for here.
"""

from __future__ import annotations

from proxy.admin.sources import Sources
from proxy.session.results import LocalResult
from tso.types import Timestamp
from txguard.engine.outcome import Verdict, find_outcome
from txguard.engine.verdicts import carry_out

_NAMES = ("Start_ts", "State", "Commit_ts", "Participants", "Reason")


async def show_transaction(sources: Sources, start_ts: int) -> LocalResult:
    engine, number = sources.services.engine, Timestamp(start_ts)
    why_not = await carry_out(engine, number)
    outcome = await find_outcome(engine, number)
    reason = outcome.reason
    if outcome.verdict is Verdict.IN_DOUBT and why_not is not None:
        reason += f"; the verdict by hand is not carried out: {why_not}"
    row = (
        outcome.start_ts,
        outcome.verdict.value,
        outcome.commit_ts,
        ",".join(outcome.participants),
        reason,
    )
    return LocalResult.of(_NAMES, [row])

"""Which failures to fence a shard are told loudly, and how often."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from proxy.backend.refusals import REPEAT_S, Refusals
from txguard.engine.shard import ConnectionLost, ShardError

DENIED = ShardError(1227, "42000", "Access denied; you need (at least one of) the PROCESS privilege(s)")
OTHER = ShardError(1044, "42000", "Access denied for user 'few'@'%' to database '_txguard'")


def test_the_same_refusal_is_told_again_only_after_a_while() -> None:
    refusals = Refusals("s2")
    with capture_logs() as logs:
        for now in (0.0, 1.0, REPEAT_S - 1, REPEAT_S + 1, REPEAT_S + 2):
            refusals.tell(DENIED, "db2:3306", now)
        refusals.tell(OTHER, "db2:3306", REPEAT_S + 3)
    assert [entry["reason"] for entry in logs] == [
        f"{DENIED.message} (error 1227)",
        f"{DENIED.message} (error 1227)",
        f"{OTHER.message} (error 1044)",
    ]
    assert {(entry["shard"], entry["address"], entry["log_level"]) for entry in logs} == {
        ("s2", "db2:3306", "error")
    }


@pytest.mark.parametrize("passing", [ShardError(1205, "HY000", "Lock wait timeout"), ConnectionLost("gone")])
def test_what_may_pass_by_itself_is_not_told(passing: Exception) -> None:
    with capture_logs() as logs:
        Refusals("s2").tell(passing, "db2:3306", 0.0)
    assert logs == []

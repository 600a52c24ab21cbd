"""Each rule of the protocol is needed: without it some schedule, within a bounded number, breaks a promise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.model.commit_protocol import first_violation
from tests.model.rules import Rule
from tests.model.world import PROFILES, Profile

COMMON, MOVING, UNDECIDED = PROFILES["common"], PROFILES["moving"], PROFILES["undecided"]
SERIALIZABLE, FAIL_OVER, FROZEN = PROFILES["serializable"], PROFILES["fail-over"], PROFILES["frozen"]
ONLY_WRITES = replace(UNDECIDED, reads=0, autocommit=0)
MANY_LEADERS = replace(
    FAIL_OVER,
    fail_overs=4,
    marking=1,
    cleaning=0.8,
    reads=0,
    autocommit=0,
    serializable=0,
    freeze=0,
    restart=0,
    crash_in_commit=0.25,
    clients=8,
)

SCHEDULES: dict[Rule, tuple[Profile, int]] = {
    Rule.WRITER_TOO_NEW: (COMMON, 100),
    Rule.INSERT_OVER_SNAPSHOT: (MOVING, 300),
    Rule.PASSED_OVER: (MOVING, 100),
    Rule.LOCKED_TOO_NEW: (COMMON, 100),
    Rule.BARRIER: (COMMON, 100),
    Rule.TOO_NEW_VERSIONS: (COMMON, 100),
    Rule.DEPENDENCIES: (UNDECIDED, 500),
    Rule.UNIQUE_KEYS_FREED: (UNDECIDED, 1_000),
    Rule.LOOKED_AROUND: (replace(ONLY_WRITES, by_where=0.8, read_committed=0), 1_000),
    Rule.ADOPTED_BELOW_FLOOR: (
        replace(FAIL_OVER, reads=0, autocommit=0, serializable=0, freeze=0, crash_in_commit=0.25, clients=10),
        1_500,
    ),
    Rule.VALIDATED_READS: (UNDECIDED, 1_000),
    Rule.VALIDATED_LOCKING_READS: (SERIALIZABLE, 500),
    Rule.VALIDATED_NOTHING: (MOVING, 1_000),
    Rule.VALIDATED_LOOKS: (
        replace(ONLY_WRITES, read_committed=1, serializable=0, locking_reads=0, by_where=0.9, moves=0.5),
        1_500,
    ),
    Rule.CLEAN_ONLY_UNLOCKED: (UNDECIDED, 1_500),
    Rule.CLEAN_ONLY_DECIDED: (MANY_LEADERS, 1_000),
    Rule.MARK_LOCKS: (MANY_LEADERS, 500),
    Rule.MARK_FENCED: (MANY_LEADERS, 500),
    Rule.MARK_ABOVE: (MANY_LEADERS, 1_000),
    Rule.KEEP_TOMBSTONES: (FROZEN, 200),
    Rule.NO_TOMBSTONE_BEHIND_MARK: (FROZEN, 300),
    Rule.FORGOTTEN_IS_UNKNOWN: (
        replace(FROZEN, failed_prewrite=0.3, freeze=0.02, cleaning=0.8, marking=0.8, reads=0),
        1_500,
    ),
    Rule.NO_VIEW_BEHIND_MARK: (FROZEN, 300),
    Rule.SEVERAL_ROWS_AT_ONE_MOMENT: (replace(COMMON, autocommit=0.6, statements=2, reads=0), 1_500),
    Rule.TOMBSTONE_BEFORE_UNDO: (
        replace(
            ONLY_WRITES, failed_prewrite=0.2, restart=0.01, marking=0.1, cleaning=0.05, crash_in_commit=0.05
        ),
        1_500,
    ),
    Rule.FENCE: (replace(FAIL_OVER, reads=0.5, autocommit=0, freeze=0.01, moves=0), 1_500),
    Rule.ADOPT: (FAIL_OVER, 1_000),
    Rule.FENCED_BEFORE_USE: (FAIL_OVER, 500),
    Rule.ABOVE_OLD_BOUND: (FAIL_OVER, 500),
    Rule.LIVE_LEASE: (FAIL_OVER, 500),
    Rule.SHARED_LOCKS: (SERIALIZABLE, 100),
    Rule.LOCKS_UNTIL_COMMIT_TS: (SERIALIZABLE, 1_000),
    Rule.GAP_LOCKS: (SERIALIZABLE, 300),
    Rule.LOCKS_PROVEN: (SERIALIZABLE, 1_000),
    Rule.PROVEN_BEFORE_PREWRITE: (SERIALIZABLE, 1_000),
    Rule.READ_ONLY_PROVEN: (SERIALIZABLE, 1_000),
}


@pytest.mark.parametrize("rule", Rule)
def test_the_rule_is_needed(rule: Rule) -> None:
    profile, seeds = SCHEDULES[rule]
    assert first_violation(range(seeds), rule, profile) is not None

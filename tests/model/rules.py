"""The rules of docs/protocol.md that the model can leave out, and what it finds then."""

from __future__ import annotations

import enum


class Rule(enum.Enum):
    """Each is needed: without it some schedule breaks a promise (`test_rules.py`)."""

    WRITER_TOO_NEW = "R1"
    INSERT_OVER_SNAPSHOT = "R1-insert"
    """An INSERT that succeeds although the key is in the view, or was removed by a too-new writer."""
    PASSED_OVER = "R1-passed-over"
    """Rows of the snapshot that an UPDATE or DELETE by WHERE meets no longer."""
    LOCKED_TOO_NEW = "R1-locking-read"
    BARRIER = "R2"
    TOO_NEW_VERSIONS = "R3"
    DEPENDENCIES = "R4"
    UNIQUE_KEYS_FREED = "R4-unique"
    LOOKED_AROUND = "R4-looked-around"
    ADOPTED_BELOW_FLOOR = "R4-adopted"
    VALIDATED_READS = "R5"
    VALIDATED_LOCKING_READS = "R5-locking-read"
    VALIDATED_NOTHING = "R5-nothing-done"
    VALIDATED_LOOKS = "R5-read-committed-write"
    """Under READ COMMITTED no lock keeps what a write looked at."""
    CLEAN_ONLY_UNLOCKED = "R6"
    """A record stays while any participant still holds the lock record of its transaction."""
    CLEAN_ONLY_DECIDED = "R6-mark"
    """And until every shard's decided mark has passed it."""
    MARK_LOCKS = "D-locks"
    """The decided mark passes what is outstanding only in one step with its lock record."""
    MARK_FENCED = "D-fenced"
    """It rises on a shard only by the word of an oracle that knew what the shard held."""
    MARK_ABOVE = "D-above"
    """No lock record is placed behind the mark: the commit may have been decided and cleaned meanwhile."""
    KEEP_TOMBSTONES = "R7-record"
    """A tombstone stays while the local transaction lives that it must refuse."""
    NO_TOMBSTONE_BEHIND_MARK = "R7-tombstone"
    """Behind what was cleaned, no record is no roll-back: for a coordinator that was frozen all the while."""
    FORGOTTEN_IS_UNKNOWN = "R7-forgotten"
    """Nor is what was read before on another shard the outcome."""
    NO_VIEW_BEHIND_MARK = "R7-view"
    SEVERAL_ROWS_AT_ONE_MOMENT = "R8"
    """A current read of several rows is a state that a snapshot can show, also on one shard."""
    TOMBSTONE_BEFORE_UNDO = "resolve-silent"
    """Also where a participant did not answer at first."""
    FENCE = "F-view"
    ADOPT = "F-adopt"
    FENCED_BEFORE_USE = "F-first"
    ABOVE_OLD_BOUND = "F-clock"
    LIVE_LEASE = "F-lease"
    SHARED_LOCKS = "S-locks"
    LOCKS_UNTIL_COMMIT_TS = "S-until"
    GAP_LOCKS = "S-gaps"
    LOCKS_PROVEN = "S-proof"
    """Locks on a shard that was not written are known to live after `commit_ts` was taken."""
    PROVEN_BEFORE_PREWRITE = "S-first"
    READ_ONLY_PROVEN = "S-read-only"
    """The same for a transaction that wrote nothing, before its COMMIT is acknowledged."""


class Violation(AssertionError):
    """The history, or the final state, is not one that the protocol promises."""


class Crash(Exception):
    """The process of this coordinator is no more."""


class Abort(Exception):
    """The transaction gives up; its coordinator lives and cleans up."""

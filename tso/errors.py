"""The oracle's errors. `retry_safe`: whether the same transaction may be run again without harm."""

from __future__ import annotations

from typing import ClassVar


class TsoError(Exception):
    retry_safe: ClassVar[bool] = True


class TsoTimeout(TsoError):
    """A wait at the oracle passed its deadline."""


class TsoUnavailable(TsoError):
    """No oracle can be reached, or it cannot persist its upper bound."""


class StandsBy(TsoUnavailable):
    """This oracle does not lead; another one does, or will soon."""


class BoundStoreError(TsoUnavailable):
    """The store of the bound cannot be reached or refused; the text says which and why."""


class Deposed(TsoUnavailable):
    """A newer epoch exists: another oracle took over, and this one must never serve again."""


class DependencyRolledBack(TsoError):
    """A transaction whose rows this one replaced was rolled back, so this one must be too."""


class TransactionUnknown(TsoError):
    """The `start_ts` is not active at this oracle: it belongs to an older epoch or to a lost session."""


class CommitOutstanding(TsoError):
    """`begin_commit` was called again for a transaction whose commit is outstanding already."""

    retry_safe = False


class OutcomeContradiction(TsoError):
    """One commit was reported both committed and rolled back: a defect, or a record changed by hand."""

    retry_safe = False


class QuietExpired(TsoError):
    """The bound on a quiet snapshot passed before all of its views were open."""

"""The engine's time-outs and periods, each with the meaning it has in docs/protocol.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineSettings:
    retention_ms: int = 600_000
    """How long old versions and commit records are kept at least."""
    before_prewrite_timeout_s: float = 1.5
    before_prewrite_tries: int = 3
    prewrite_timeout_s: float = 2.0
    """After this a prewrite counts as failed and the transaction is resolved."""
    cleanup_timeout_s: float = 1.0
    """How long a client waits for the resolving of its failed commit before the janitor takes over."""
    barrier_timeout_s: float = 10.0
    """How long a read waits for an undecided commit on its shard."""
    quiet_timeout_s: float = 2.0
    acquire_timeout_s: float = 5.0
    control_timeout_s: float = 10.0
    """For the engine's own statements on a shard."""
    clean_interval_s: float = 1.0
    clean_batch: int = 100
    decided_mark_interval_s: float = 0.2
    orphan_scan_interval_s: float = 2.0
    orphan_age_ms: float = 5_000
    """A lock record older than this that the oracle does not know as outstanding is resolved by the janitor."""

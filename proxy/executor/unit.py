"""The transaction that a statement runs in, with what the proxy itself keeps about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from txguard.engine.transaction import Transaction


@dataclass(slots=True)
class Unit:
    """`implicit`: made for one autocommit statement, which ends it."""

    transaction: Transaction
    read_only: bool
    implicit: bool
    unmanaged: frozenset[str] = field(default_factory=frozenset)
    """The tables without a primary key that it has written."""
    lost_deadlock: bool = False
    """Chosen as the one to give way: what interrupts its statement means 1213."""
    told: bool = False
    """The client has been told its start_ts in an OK packet."""

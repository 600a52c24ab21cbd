"""The inspector: does the data keep its promises, and does the protocol keep its own?

The nouns: an *invariant* is what must hold of the data at every instant (a value, or the absence of rows),
read from TOML; a *limit* bounds what may pass for work under way; a *suspect* is a sign of a broken rule that
work under way would explain, so it is looked at again until it is gone or time is up; a *finding* is the
answer to one question; a *report* is all of them.

Invariants are read through the proxy in one transaction on one snapshot of all shards. The protocol's own
rules are read on the shards themselves.
"""

from txguard.inspector.invariants import Invariant, InvariantError, load_invariants, parse_invariants
from txguard.inspector.report import Finding, Report, Verdict
from txguard.inspector.run import Limits, ShardAddress, inspect

__all__ = [
    "Finding",
    "Invariant",
    "InvariantError",
    "Limits",
    "Report",
    "ShardAddress",
    "Verdict",
    "inspect",
    "load_invariants",
    "parse_invariants",
]

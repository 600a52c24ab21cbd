"""Where a new table is to go, and for how long its old versions are kept, as its author or the operator says.

Owns: `Hint`, and reading it from a comment in the statement, from the table's COMMENT, from the
configuration. The statement's comment wins over the COMMENT, and that over the configuration: as a whole for where it
goes, and apart from that for the retention. Forms:

    COMMENT='txguard: shard_key=customer_id'    COMMENT='txguard: reference, retention=7d'
    COMMENT='txguard: single, home=shard1'

What follows a semicolon is the author's own: COMMENT='txguard: reference; ISO 4217'.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from proxy.ddl.errors import BadHint
from proxy.routing.tables import TableKind
from proxy.sql.hint_pairs import hint_pairs
from tso.types import ShardName
from txguard.engine.retention import parse_duration

_COMMENT: Final = re.compile(r"\s*txguard:(.*)", re.IGNORECASE | re.DOTALL)
_KINDS: Final = {kind.value: kind for kind in TableKind}
_KEYS: Final = ("kind", "shard_key", "home", "retention")


@dataclass(frozen=True, slots=True)
class Hint:
    """None: the rule decides (sharded by the first column of the primary key)."""

    kind: TableKind | None = None
    shard_key: str | None = None
    home: ShardName | None = None
    retention_s: int | None = None
    """None: as all tables."""

    def __post_init__(self) -> None:
        if self.shard_key is not None and self.kind not in (None, TableKind.SHARDED):
            raise BadHint(f"txguard hint: shard_key is for sharded tables, not for kind={self.kind.value}")
        if self.home is not None and self.kind is not TableKind.SINGLE:
            raise BadHint("txguard hint: home is for kind=single")

    @property
    def places(self) -> bool:
        """Whether it says where the table goes."""
        return (self.kind, self.shard_key, self.home) != (None, None, None)


def read_pairs(pairs: Iterable[tuple[str, str]]) -> Hint:
    """A hint from its pairs; a bare kind may stand as a key without a value. Raises BadHint."""
    found: dict[str, str] = {}
    for key, value in pairs:
        key, value = key.strip().lower(), value.strip().strip("`'\"")
        if key in _KINDS and not value:
            key, value = "kind", key
        if key not in _KEYS or not value:
            raise BadHint(
                f"txguard hint: {key!r} means nothing; write reference, single, shard_key=column, home=shard or "
                "retention=7d"
            )
        found[key] = value.lower() if key == "kind" else value
    kind = found.get("kind")
    if kind is not None and kind not in _KINDS:
        raise BadHint(f"txguard hint: there is no kind {kind!r}; it is one of {', '.join(_KINDS)}")
    home, retention = found.get("home"), found.get("retention")
    try:
        retention_s = None if retention is None else parse_duration(retention)
    except ValueError as error:
        raise BadHint(f"txguard hint: {error}") from None
    return Hint(
        kind=None if kind is None else _KINDS[kind],
        shard_key=found.get("shard_key"),
        home=None if home is None else ShardName(home),
        retention_s=retention_s,
    )


def read_comment(comment: str) -> Hint:
    """A hint from a table's COMMENT; empty when the comment is none. Raises BadHint."""
    match = _COMMENT.match(comment)
    if match is None:
        return Hint()
    return read_pairs(hint_pairs(match[1]))


def first_given(hints: Iterable[Hint]) -> Hint:
    given = list(hints)
    place = next((hint for hint in given if hint.places), Hint())
    retention_s = next((hint.retention_s for hint in given if hint.retention_s is not None), None)
    return replace(place, retention_s=retention_s)

"""insert/delete of the same key: a row comes and goes, each time as a new incarnation with an id of its own.

`flip` is [id, key, "insert" or "delete", incarnation]; an insert's incarnation is its own id. `final` is
{"rows": [[key, incarnation], …], "journal": [[id, key, what, incarnation], …]}; the journal is on other shards.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tests.torture.anomalies import G1A, LOST_UPDATE, LOST_WRITE, Anomaly
from tests.torture.checkers.visibility import told
from tests.torture.history import History, Operation, Outcome

DELETED_TWICE: Final = "deleted twice"
JOURNAL_DIFFERS: Final = "the journal tells something else"


def check(history: History) -> list[Anomaly]:
    return list(_anomalies(history))


def _anomalies(history: History) -> Iterator[Anomaly]:
    flips = {op.value[0]: op for op in history.of("flip")}
    for op in history.acknowledged("final"):
        rows, journal = op.value["rows"], op.value["journal"]
        yield from _keys(op, rows, journal)
        entered = {row[0] for row in journal}
        if missing := {flip for flip, done in flips.items() if done.ok} - entered:
            yield Anomaly(LOST_WRITE, f"acknowledged, and not there: {told(missing)}", (op.index,))
        if failed := {f for f in entered if f in flips and flips[f].outcome is Outcome.FAIL}:
            yield Anomaly(G1A, f"these failed: {told(failed)}", (op.index,))


def _keys(final: Operation, rows: Sequence[Any], journal: Sequence[Any]) -> Iterator[Anomaly]:
    inserted: dict[int, list[int]] = defaultdict(list)
    deleted: dict[int, list[int]] = defaultdict(list)
    for _, key, what, incarnation in journal:
        (inserted if what == "insert" else deleted)[key].append(incarnation)
    present = dict(rows)
    for key in inserted.keys() | deleted.keys() | present.keys():
        twice = [incarnation for incarnation, times in Counter(deleted[key]).items() if times > 1]
        if twice:
            yield Anomaly(DELETED_TWICE, f"key {key}: {told(twice)}", (final.index,))
        alive = set(inserted[key]) - set(deleted[key])
        if len(alive) > 1:
            text = f"key {key}: {told(alive)} were inserted over one another"
            yield Anomaly(LOST_UPDATE, text, (final.index,))
        elif alive != ({present[key]} if key in present else set()):
            text = f"key {key}: the row is {present.get(key)}, by the journal {told(alive) or None}"
            yield Anomaly(JOURNAL_DIFFERS, text, (final.index,))

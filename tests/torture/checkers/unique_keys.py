"""unique keys: a token moves from owner to owner, freed and taken again, and is always with exactly one.

`move` is [id, token, number of this move, new owner]; `read` is [[token, number, owner], …]; `final` is
{"slots": as read, "journal": [[id, token, number, owner], …]}, the journal's rows being on other shards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tests.torture.anomalies import G1A, LOST_UPDATE, LOST_WRITE, Anomaly
from tests.torture.checkers.visibility import told
from tests.torture.history import History, Operation, Outcome

NOT_ONCE: Final = "a unique key is not there exactly once"
JOURNAL_DIFFERS: Final = "the journal tells something else"


def check(history: History) -> list[Anomaly]:
    return list(_anomalies(history))


def _anomalies(history: History) -> Iterator[Anomaly]:
    tokens: int = history.header.parameters["tokens"]
    for op in history.acknowledged("read"):
        yield from _each_once(op, op.value, tokens)
    moves = {op.value[0]: op for op in history.of("move")}
    for op in history.acknowledged("final"):
        slots, journal = op.value["slots"], op.value["journal"]
        yield from _each_once(op, slots, tokens)
        yield from _journal(op, slots, journal)
        entered = {row[0] for row in journal}
        if missing := {move for move, done in moves.items() if done.ok} - entered:
            yield Anomaly(LOST_WRITE, f"acknowledged, and not there: {told(missing)}", (op.index,))
        if failed := {m for m in entered if m in moves and moves[m].outcome is Outcome.FAIL}:
            yield Anomaly(G1A, f"these failed: {told(failed)}", (op.index,))


def _each_once(op: Operation, slots: Sequence[Any], tokens: int) -> Iterator[Anomaly]:
    if sorted(token for token, _, _ in slots) != list(range(tokens)):
        yield Anomaly(NOT_ONCE, f"{slots}", (op.index,))


def _journal(final: Operation, slots: Sequence[Any], journal: Sequence[Any]) -> Iterator[Anomaly]:
    """A token's moves are numbered 1, 2, …, and it is with the owner of the last one."""
    moves: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for _, token, number, owner in journal:
        moves[token].append((number, owner))
    for token, number, owner in slots:
        done = sorted(moves[token])
        numbers = [n for n, _ in done]
        if len(set(numbers)) < len(numbers):
            yield Anomaly(
                LOST_UPDATE, f"token {token} was moved twice by one number: {numbers}", (final.index,)
            )
        elif numbers != list(range(1, number + 1)) or (done and done[-1][1] != owner):
            text = f"token {token}: slot has move {number} to {owner}, the journal ends with {done[-3:]}"
            yield Anomaly(JOURNAL_DIFFERS, text, (final.index,))

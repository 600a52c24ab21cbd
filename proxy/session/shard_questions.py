"""What a session must ask a shard before it can answer: is this value valid, what is that expression worth.

Owns the Protocol (the executor implements it) and the process-wide memory of accepted settings, so that the same
SET at the start of every connection costs one question per process. The rule: a value is kept in a session only
after a shard has accepted it, in the form in which the shard shows it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from proxy.executor.parameters import quote_text
from proxy.session.state import UserValue
from txguard.engine.shard import Rows


class Shards(Protocol):
    """Any one shard, on a connection that has the session's settings."""

    async def evaluate(self, expression: str) -> UserValue:
        """The value of a SQL expression. Raises ShardError as the shard does."""
        ...

    async def ask(self, statements: Sequence[str]) -> list[Rows]:
        """Run statements that leave the connection's settings as they found them."""
        ...


class SettingsMemory:
    """Settings that a shard has accepted, and what it made of them: (name, literal) to literal. Bounded."""

    LIMIT = 2_000

    def __init__(self) -> None:
        self._accepted: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def check(self, shards: Shards, name: str, literal: str, current: str | None) -> str:
        """The literal in the shard's own form. `current`: what the session has now, put back after the trial."""
        known = self._accepted.get((name, literal))
        if known is not None:
            return known
        before = "DEFAULT" if current is None else current
        answers = await shards.ask(
            (f"SET SESSION {name}={literal}", f"SELECT @@SESSION.{name}", f"SET SESSION {name}={before}")
        )
        shown = answers[1].rows[0][0]
        accepted = literal_of(shown.decode() if isinstance(shown, bytes) else shown)
        self._accepted[name, literal] = accepted
        if len(self._accepted) > self.LIMIT:
            self._accepted.popitem(last=False)
        return accepted


def literal_of(value: UserValue) -> str:
    """A variable's value as SQL. Numbers that came as text stay bare; the rest is quoted."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"_binary X'{value.hex()}'"
    if isinstance(value, str):
        return value if _NUMBER.fullmatch(value) else quote_text(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    text = repr(value)
    # A number without an exponent would be taken for a DECIMAL.
    return f"{text}e0" if isinstance(value, float) and "e" not in text else text


_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")

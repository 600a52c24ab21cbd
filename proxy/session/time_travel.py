"""At which instant a session's statements read the past, and in what transaction.

Owns what AS OF TIMESTAMP and txguard_snapshot mean: a date and time in the session's time zone, or a timestamp of the
oracle as a number. A shard works the expression out, so that it means what it means in any other statement.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from proxy.executor.parameters import quote_text
from proxy.session.errors import WrongInstant
from proxy.session.shard_questions import Shards
from tso.clock import timestamp_at
from tso.types import Timestamp

SNAPSHOT_VARIABLE: Final = "txguard_snapshot"
_LEAST_TIMESTAMP: Final = timestamp_at(1_000_000_000_000)
"""A shorter number is no timestamp of the oracle, but 20260731 or the like."""
_DATETIME: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?")


async def instant_of(expression: str, shards: Shards) -> Timestamp:
    """What an SQL expression names. Raises WrongInstant, ShardError."""
    text = await shards.evaluate(f"CAST(({expression}) AS CHAR)")
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    if text.isascii() and text.isdigit() and _LEAST_TIMESTAMP <= int(text) < 1 << 63:
        return Timestamp(int(text))
    if not _DATETIME.fullmatch(text):
        raise WrongInstant(text)
    seconds = await shards.evaluate(f"UNIX_TIMESTAMP({quote_text(text.replace('T', ' '))})")
    milliseconds = int(Decimal(str(seconds or 0)) * 1000)
    if milliseconds <= 0:
        raise WrongInstant(text)
    return timestamp_at(milliseconds)


async def session_instant(value: object, shards: Shards) -> Timestamp | None:
    """What SET txguard_snapshot names; None: the present again."""
    text = "" if value is None else str(value).strip()
    return await instant_of(quote_text(text), shards) if text else None

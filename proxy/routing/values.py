"""What a key can be made from, and what making it can come to.

Owns: `KeyValue`, the values that routing takes, and the outcomes of bringing one into canonical form
(`Canonical`).
"""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass

from proxy.errors import NotSupported
from proxy.sql.operands import Scalar

KeyValue = Scalar | datetime.date | datetime.datetime | datetime.timedelta
"""A literal's value as `proxy.sql.operands` reads it, or a decoded parameter. bytes is a binary string."""


class Verdict(enum.Enum):
    """The two ways in which a value has no canonical form."""

    UNKNOWN = "it may equal a key on any shard"
    """Of a lookup: the server might convert it in a way that is not known here. Ask every shard."""
    NO_ROW = "no row can have it"
    """No row matches it (NULL), or the server will refuse to store it: any shard's answer is right."""


@dataclass(frozen=True, slots=True)
class WeightQuestion:
    """The canonical form is the weight string of `text` under `collation`, which only a server can say."""

    collation: str
    text: str


Canonical = bytes | Verdict | WeightQuestion
"""bytes: the canonical form. Two values of a column that its own equality calls equal have the same one."""


def not_known(value: KeyValue, column: str, why: str) -> NotSupported:
    """The error for a row that cannot be placed: a wrong guess would hide it from every later look-up."""
    shown = repr(value)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    return NotSupported(f"the value {shown} for the shard key column `{column}` ({why})")

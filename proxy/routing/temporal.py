"""Canonical form of DATE and DATETIME.

Owns: `TemporalCodec`. The canonical form is `YYYY-MM-DD`, followed by ` HH:MM:SS[.f]` unless it is midnight,
so that DATE and DATETIME columns agree. Only the one form that every server and sql_mode reads alike is read
here; the relaxed forms (`2024-1-2`, 20240102), zero dates and time zone offsets are left to the server. A
fraction finer than the column's is rounded by MySQL and cut by MariaDB, so such a value is not known.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Final

from proxy.routing.values import Canonical, KeyValue, Verdict, not_known

_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_DATETIME: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?"
)
_FRACTION: Final = re.compile(r"datetime\(([0-6])\)")


_STEPS_US: Final = (1_000_000, 100_000, 10_000, 1_000, 100, 10, 1)
"""The microseconds between two moments that a column can store, by its digits."""


@dataclass(frozen=True, slots=True)
class TemporalCodec:
    """A DATE or DATETIME column; `digits` of a second's fraction are kept."""

    column: str
    date_only: bool
    digits: int

    @classmethod
    def for_type(cls, column: str, type_name: str, column_type: str) -> TemporalCodec | None:
        if type_name == "date":
            return cls(column, True, 0)
        if type_name == "datetime":
            match = _FRACTION.match(column_type.lower())
            return cls(column, False, int(match[1]) if match is not None else 0)
        return None

    @property
    def family(self) -> str:
        return "temporal"

    def lookup(self, value: KeyValue) -> Canonical:
        if value is None:
            return Verdict.NO_ROW
        moment = _read(value)
        return Verdict.UNKNOWN if moment is None or not self._fits(moment) else _text(moment)

    def insert(self, value: KeyValue, strict: bool) -> Canonical:
        """Raises NotSupported for every form that is not certain; `strict` makes no difference."""
        if value is None:
            return Verdict.NO_ROW
        moment = _read(value)
        if moment is None:
            raise not_known(value, self.column, "write it as 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS'")
        if not self._fits(moment):
            raise not_known(value, self.column, "finer than the column stores")
        return _text(moment)

    def _fits(self, moment: datetime.datetime) -> bool:
        if self.date_only:
            return moment.time() == datetime.time.min
        return moment.microsecond % _STEPS_US[self.digits] == 0


def _read(value: KeyValue) -> datetime.datetime | None:
    """The moment that a value names, None unless it is certain."""
    if isinstance(value, datetime.datetime):
        return value if value.tzinfo is None else None
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day)
    if not isinstance(value, str):
        return None
    try:
        if (match := _DATE.fullmatch(value)) is not None:
            return datetime.datetime(int(match[1]), int(match[2]), int(match[3]))
        if (match := _DATETIME.fullmatch(value)) is not None:
            year, month, day, hour, minute, second = (int(match[part]) for part in range(1, 7))
            microsecond = int((match[7] or "0").ljust(6, "0"))
            return datetime.datetime(year, month, day, hour, minute, second, microsecond)
    except ValueError:  # no such day, or no such time of day
        return None
    return None


def _text(moment: datetime.datetime) -> bytes:
    if moment.time() == datetime.time.min:
        return moment.date().isoformat().encode()
    seconds = moment.isoformat(sep=" ")
    return (seconds.rstrip("0") if moment.microsecond else seconds).encode()

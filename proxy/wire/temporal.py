"""Dates and times as MySQL knows them, which Python's datetime cannot hold: zero dates, days of 00, times up
to 838 hours.

Owns their binary form ("Binary Protocol Value": lengths 0, 4, 7, 11 and 0, 8, 12) and their text form. Every
failure is a MalformedPacket.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxy.errors import MalformedPacket

_DATETIME = re.compile(
    rb"(\d{1,4})-(\d{1,2})-(\d{1,2})(?:[ T](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{0,6}))?)?)?\Z", re.ASCII
)
_TIME = re.compile(rb"(-?)(\d{1,4}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{0,6}))?)?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class MysqlDateTime:
    """A DATE, DATETIME or TIMESTAMP."""

    year: int = 0
    month: int = 0
    day: int = 0
    hour: int = 0
    minute: int = 0
    second: int = 0
    microsecond: int = 0

    def date_text(self) -> bytes:
        return b"%04d-%02d-%02d" % (self.year, self.month, self.day)

    def text(self, decimals: int | None = None) -> bytes:
        """With `decimals` digits of the second's fraction; None: six where there is a fraction, else none."""
        clock = b"%02d:%02d:%02d" % (self.hour, self.minute, self.second)
        return self.date_text() + b" " + clock + _fraction(self.microsecond, decimals)


@dataclass(frozen=True, slots=True)
class MysqlTime:
    """A TIME: a span. `hours` goes over 24, `negative` holds for all of it."""

    negative: bool = False
    hours: int = 0
    minutes: int = 0
    seconds: int = 0
    microseconds: int = 0

    def text(self, decimals: int | None = None) -> bytes:
        sign = b"-" if self.negative else b""
        clock = b"%02d:%02d:%02d" % (self.hours, self.minutes, self.seconds)
        return sign + clock + _fraction(self.microseconds, decimals)


def _fraction(microsecond: int, decimals: int | None) -> bytes:
    if decimals is None or decimals > 6:
        decimals = 6 if microsecond else 0
    return b"." + (b"%06d" % microsecond)[:decimals] if decimals else b""


def encode_datetime(value: MysqlDateTime, *, date_only: bool = False) -> bytes:
    """The value with its length byte in front, in the shortest form."""
    date = value.year.to_bytes(2, "little") + bytes((value.month, value.day))
    clock = bytes((value.hour, value.minute, value.second))
    if value.microsecond and not date_only:
        return b"\x0b" + date + clock + value.microsecond.to_bytes(4, "little")
    if any(clock) and not date_only:
        return b"\x07" + date + clock
    return b"\x04" + date if any(date) else b"\x00"


def decode_datetime(body: bytes) -> MysqlDateTime:
    """`body` is what follows the length byte."""
    if len(body) not in (0, 4, 7, 11):
        raise MalformedPacket(f"a date of {len(body)} bytes")
    full = body.ljust(11, b"\0")
    year, micro = int.from_bytes(full[:2], "little"), int.from_bytes(full[7:11], "little")
    month, day, hour, minute, second = full[2:7]
    if year > 9999 or month > 12 or day > 31 or hour > 23 or minute > 59 or second > 59 or micro > 999_999:
        raise MalformedPacket("a date out of range")
    return MysqlDateTime(year, month, day, hour, minute, second, micro)


def encode_time(value: MysqlTime) -> bytes:
    """The value with its length byte in front, in the shortest form."""
    days, hours = divmod(value.hours, 24)
    if not (value.hours or value.minutes or value.seconds or value.microseconds):
        return b"\x00"
    head = (
        bytes((value.negative,)) + days.to_bytes(4, "little") + bytes((hours, value.minutes, value.seconds))
    )
    if not value.microseconds:
        return b"\x08" + head
    return b"\x0c" + head + value.microseconds.to_bytes(4, "little")


def decode_time(body: bytes) -> MysqlTime:
    """`body` is what follows the length byte."""
    if len(body) not in (0, 8, 12):
        raise MalformedPacket(f"a time of {len(body)} bytes")
    full = body.ljust(12, b"\0")
    days, micro = int.from_bytes(full[1:5], "little"), int.from_bytes(full[8:12], "little")
    hours, minutes, seconds = full[5:8]
    if full[0] > 1 or days > 34 or hours > 23 or minutes > 59 or seconds > 59 or micro > 999_999:
        raise MalformedPacket("a time out of range")
    return MysqlTime(bool(full[0]), days * 24 + hours, minutes, seconds, micro)


def parse_datetime(text: bytes) -> MysqlDateTime:
    """A DATE, DATETIME or TIMESTAMP as the text protocol writes it."""
    found = _DATETIME.match(text)
    if found is None:
        raise MalformedPacket(f"{text[:40]!r} is not a date")
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    micro = int((found[7] or b"").ljust(6, b"0"))
    if month > 12 or day > 31 or hour > 23 or minute > 59 or second > 59:
        raise MalformedPacket(f"{text[:40]!r} is out of range")
    return MysqlDateTime(year, month, day, hour, minute, second, micro)


def parse_time(text: bytes) -> MysqlTime:
    found = _TIME.match(text)
    if found is None:
        raise MalformedPacket(f"{text[:40]!r} is not a time")
    hours, minutes, seconds = int(found[2]), int(found[3]), int(found[4] or 0)
    if hours > 838 or minutes > 59 or seconds > 59:
        raise MalformedPacket(f"{text[:40]!r} is out of range")
    return MysqlTime(bool(found[1]), hours, minutes, seconds, int((found[5] or b"").ljust(6, b"0")))

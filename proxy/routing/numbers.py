"""Canonical form of integers and decimals.

Owns: `NumberCodec`. The canonical form is the shortest decimal text, so that INT, BIGINT and DECIMAL columns
agree with one another (5 = 5.0 = 5.00) and joins of tables sharded on different numeric types stay on one
shard.

Rule: a look-up is exact only where every conversion that MySQL or MariaDB may choose (to the column's type,
to decimal, to double) finds the same rows. Both servers compare a string with a number as doubles; MariaDB
also rounds a constant to the column's type (`int_column = '5.4'` finds 5). Stored values round half away from
zero, except that doubles go into integers half to even. Tried on MariaDB 10.11 and MySQL 9.7
(tests/integration/test_routing_hash.py).
Source: MySQL Reference Manual, 14.3 "Type Conversion", 14.24.4 "Rounding Behavior".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from typing import Final

from proxy.routing.values import Canonical, KeyValue, Verdict, not_known

_INTEGER_BITS: Final = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_DECIMAL_TYPE: Final = re.compile(r"decimal\(([0-9]+),([0-9]+)\)")
_PLAIN: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_NUMBER: Final = re.compile(_PLAIN.pattern + r"(?:[eE][+-]?[0-9]{1,3})?")
_BLANKS: Final = " \t\n\r"
_EXACT_INTEGERS: Final = 2**53
"""Below it every integer is a double of its own."""
_EXACT_DIGITS: Final = 15
"""Two decimals of at most so many significant digits are never the same double."""
_MAX_EXPONENT: Final = 100
_MAX_DIGITS: Final = 200
_ARITHMETIC: Final = Context(prec=300)


@dataclass(frozen=True, slots=True)
class NumberCodec:
    """An integer or DECIMAL column. `lowest` and `highest` are the whole numbers that it stores."""

    column: str
    minimum: Decimal
    maximum: Decimal
    lowest: int
    highest: int
    scale: int
    integer: bool
    precision: int

    @classmethod
    def for_type(cls, column: str, type_name: str, column_type: str, unsigned: bool) -> NumberCodec | None:
        """The codec of a column type, None when it is neither an integer nor a DECIMAL."""
        if (bits := _INTEGER_BITS.get(type_name)) is not None:
            low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            return cls(column, Decimal(low), Decimal(high), low, high, 0, True, len(str(high)))
        if type_name == "decimal" and (match := _DECIMAL_TYPE.match(column_type.lower())) is not None:
            precision, scale = int(match[1]), int(match[2])
            high_decimal = Decimal((0, (9,) * precision, -scale))
            low_decimal = Decimal(0) if unsigned else high_decimal.copy_negate()
            whole = (int(low_decimal), int(high_decimal))
            return cls(column, low_decimal, high_decimal, *whole, scale, False, precision)
        return None

    @property
    def family(self) -> str:
        return "number"

    def lookup(self, value: KeyValue) -> Canonical:
        """The canonical form of a value that the column is compared with."""
        if isinstance(value, int):
            return b"%d" % value if self.lowest <= value <= self.highest else Verdict.UNKNOWN
        if value is None:
            return Verdict.NO_ROW
        if isinstance(value, Decimal):
            return self._exact(value)
        if isinstance(value, float):
            return self._as_double(Decimal(repr(value)))
        if self.integer and isinstance(value, str) and len(value) <= _EXACT_DIGITS and _is_whole(value):
            return self.lookup(int(value))
        if isinstance(value, str) and _PLAIN.fullmatch(value.strip(_BLANKS)):
            return self._as_double(Decimal(value.strip(_BLANKS)))
        return Verdict.UNKNOWN

    def insert(self, value: KeyValue, strict: bool) -> Canonical:
        """The canonical form of what the column stores when it is given `value`. Raises NotSupported."""
        if isinstance(value, int) and self.lowest <= value <= self.highest:
            return b"%d" % value
        if value is None:
            return Verdict.NO_ROW
        stored = self._rounded(value)
        if stored is None:
            raise not_known(value, self.column, "what the column stores for it is not known")
        if not self.minimum <= stored <= self.maximum:
            if not strict:
                raise not_known(value, self.column, "out of the column's range")
            return Verdict.NO_ROW
        if stored == 0 and self.minimum == 0 and _negative(value):
            raise not_known(value, self.column, "a negative value that rounds to zero in an unsigned column")
        return _text(stored)

    def _exact(self, value: Decimal) -> Canonical:
        if not self.minimum <= value <= self.maximum or self._round(value, ROUND_HALF_UP) != value:
            return Verdict.UNKNOWN
        return _text(value)

    def _as_double(self, value: Decimal) -> Canonical:
        """A look-up that the server may do in doubles: exact only where no two keys share one."""
        if self.integer:
            exact = value.copy_abs() < _EXACT_INTEGERS
        else:
            exact = max(self.precision, len(value.normalize(_ARITHMETIC).as_tuple().digits)) <= _EXACT_DIGITS
        return self._exact(value) if exact else Verdict.UNKNOWN

    def _rounded(self, value: KeyValue) -> Decimal | None:
        """What is stored for `value`, before the check of the range; None: not known."""
        if isinstance(value, int):
            return Decimal(value)
        if isinstance(value, float):
            if self.integer and abs(value) >= 2**63:
                return None
            return self._round(Decimal(repr(value)), ROUND_HALF_EVEN if self.integer else ROUND_HALF_UP)
        if isinstance(value, str):
            if not _NUMBER.fullmatch(value.strip(_BLANKS)):
                return None
            value = Decimal(value.strip(_BLANKS))
        return self._round(value, ROUND_HALF_UP) if isinstance(value, Decimal) else None

    def _round(self, value: Decimal, rounding: str) -> Decimal | None:
        if len(value.as_tuple().digits) > _MAX_DIGITS or abs(value.adjusted()) > _MAX_EXPONENT:
            return None
        return value.quantize(Decimal((0, (1,), -self.scale)), rounding=rounding, context=_ARITHMETIC)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _negative(value: KeyValue) -> bool:
    return str(value).strip(_BLANKS).startswith("-")


def _text(value: Decimal) -> bytes:
    """The shortest decimal text: 5, -5, 1.5; no exponent, no trailing zeros, no negative zero."""
    if value == 0:
        return b"0"
    if value == value.to_integral_value(context=_ARITHMETIC):
        return b"%d" % int(value)
    return format(value.normalize(_ARITHMETIC), "f").encode()

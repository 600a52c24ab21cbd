"""Numbers as MySQL computes and prints them: exact decimals, its scale of a quotient, its text of a double.

Sans-IO. Source: strings/decimal.c (do_div_mod), strings/dtoa.c (my_gcvt), sql/item_func.cc (my_double_round) of
MySQL and MariaDB, which agree; MySQL 8.0 manual, "Precision Math".
"""

from __future__ import annotations

import math
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal

from proxy.wire.columns import ColumnDefinition
from proxy.wire.field_types import INTEGER_WIDTHS

Number = int | Decimal | float

_CONTEXT = Context(prec=200)
_WORD = 9
"""MySQL keeps decimal digits in words of nine."""
DEFAULT_INCREMENT = 4
"""div_precision_increment"""
NOT_FIXED = 31
"""`decimals` of a double that is printed with as many digits as it takes."""
MAX_FIXED_EXPONENT = 15


def add(left: Number, right: Number) -> Number:
    if isinstance(left, float) or isinstance(right, float):
        return float(left) + float(right)
    return left + right if isinstance(left, int) and isinstance(right, int) else _CONTEXT.add(left, right)


def subtract(left: Number, right: Number) -> Number:
    return add(left, -right)


def multiply(left: Number, right: Number) -> Number:
    if isinstance(left, float) or isinstance(right, float):
        return float(left) * float(right)
    return (
        left * right if isinstance(left, int) and isinstance(right, int) else _CONTEXT.multiply(left, right)
    )


def divide(left: Number, right: Number, target_scale: int) -> Number | None:
    """`left / right`; None for a zero divisor. A decimal quotient is cut off where MySQL's is, to be rounded later."""
    if right == 0:
        return None
    if isinstance(left, float) or isinstance(right, float):
        return float(left) / float(right)
    one, other = Decimal(left), Decimal(right)
    scale_one, scale_other = _scale(one), _scale(other)
    increment = max(DEFAULT_INCREMENT, target_scale - scale_one)
    words_one, words_other = _round_up(scale_one), _round_up(scale_other)
    increment = max(0, increment - (words_one - scale_one) - (words_other - scale_other))
    digits = _round_up(words_one + words_other + increment)
    return _CONTEXT.divide(one, other).quantize(
        Decimal(1).scaleb(-digits), rounding=ROUND_DOWN, context=_CONTEXT
    )


def _scale(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _round_up(digits: int) -> int:
    return -(-digits // _WORD) * _WORD


def round_number(value: Number, digits: int) -> Number:
    """ROUND(value, digits): half away from zero, except that a double follows the C library's rint()."""
    if isinstance(value, float):
        factor = 10.0 ** abs(digits)
        scaled = value / factor if digits < 0 else value * factor
        if not math.isfinite(scaled):
            return value
        rounded = float(round(scaled))
        return rounded * factor if digits < 0 else rounded / factor
    rounded_decimal = Decimal(value).quantize(
        Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP, context=_CONTEXT
    )
    return int(rounded_decimal) if isinstance(value, int) else rounded_decimal


def number_text(value: Number, column: ColumnDefinition) -> bytes:
    """The value as a column of that type and scale shows it in the text protocol."""
    if column.type in INTEGER_WIDTHS:
        return str(int(value)).encode()
    if isinstance(value, float):
        return double_text(value, column.decimals).encode()
    scaled = Decimal(value).quantize(
        Decimal(1).scaleb(-column.decimals), rounding=ROUND_HALF_UP, context=_CONTEXT
    )
    return f"{scaled + 0 if scaled else abs(scaled):f}".encode()


def double_text(value: float, decimals: int = NOT_FIXED) -> str:
    """As my_gcvt prints it: the shortest digits that read back the same, with an exponent beyond 15 places.

    17 digits with the point behind the 16th stay without an exponent.
    """
    if decimals < NOT_FIXED:
        return f"{value:.{decimals}f}"
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    if not isinstance(exponent, int):
        return repr(value)
    text = "".join(map(str, digits)).rstrip("0")
    point = len(digits) + exponent
    if not text:
        return "-0" if sign else "0"
    minus = "-" if sign else ""
    fits = -MAX_FIXED_EXPONENT < point <= max(MAX_FIXED_EXPONENT, len(text) - 1)
    if not fits:
        mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
        return f"{minus}{mantissa}e{point - 1}"
    if point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    if len(text) <= point:
        return minus + text.ljust(point, "0")
    return f"{minus}{text[:point]}.{text[point:]}"

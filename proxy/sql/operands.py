"""Where a plan finds a value: a literal of the statement, a parameter of a prepared one, or a constant.

Plans are shared by all statements that differ in their literals only, so a plan never holds a literal's value:
it names its index, and `Planned.literals` has the raw texts. Source: MySQL 8.0 manual, "Literal Values".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

Scalar = int | Decimal | float | str | bytes | None
"""A literal's value. bytes: a hexadecimal or bit literal; float: a number with an exponent."""


@dataclass(frozen=True, slots=True)
class Literal:
    """The literal number `index` of the statement; `negated`: a minus sign stands before it."""

    index: int
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """The parameter marker number `index` of a prepared statement."""

    index: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A word that is a value: NULL, TRUE, FALSE."""

    value: Scalar


Operand = Literal | Parameter | Constant


def resolve(operand: Operand, literals: Sequence[str], parameters: Sequence[Scalar] = ()) -> Scalar:
    """The operand's value in one execution. `parameters` are the bound values as Python has them."""
    if isinstance(operand, Literal):
        value = decode_literal(literals[operand.index])
        if operand.negated and isinstance(value, (int, float, Decimal)):
            return -value
        return value
    if isinstance(operand, Parameter):
        return parameters[operand.index]
    return operand.value


def decode_literal(raw: str) -> Scalar:
    """The value of a raw literal token, as the lexer cuts it."""
    if raw.isdigit():
        return int(raw)
    first = raw[0]
    if first in "'\"":
        return decode_string(raw)
    if first in "xX" and raw[1] == "'":
        return bytes.fromhex(raw[2:-1])
    if raw[:2] == "0x":
        digits = raw[2:]
        return bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits)
    if first in "bB" or raw[:2] == "0b":
        return _bits(raw[2:].rstrip("'"))
    if "e" in raw or "E" in raw:
        return float(raw)
    return Decimal(raw)


def _bits(digits: str) -> bytes:
    return int(digits or "0", 2).to_bytes((len(digits) + 7) // 8, "big")


_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}


def decode_string(raw: str) -> str:
    """A quoted string's value: backslash escapes, and the doubled quote."""
    quote = raw[0]
    body = raw[1:-1]
    if "\\" not in body:
        return body.replace(quote + quote, quote)
    parts: list[str] = []
    position, size = 0, len(body)
    while position < size:
        character = body[position]
        if character == "\\" and position + 1 < size:
            following = body[position + 1]
            parts.append(_ESCAPES.get(following, following))
            position += 2
        else:
            parts.append(character)
            position += 2 if character == quote else 1
    return "".join(parts)


def quote_string(value: str) -> str:
    """A value as a string literal, right in every sql_mode that the proxy accepts."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''").replace("\0", "\\0") + "'"


def quote_name(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"

"""The merge's arithmetic against the servers' own: doubles as text, quotients of decimals, rounding."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Sequence
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from proxy.executor.aggregate_numbers import divide, double_text, number_text, round_number
from proxy.wire.columns import ColumnDefinition
from proxy.wire.field_types import FieldType
from tests.fakes.clients import connect_server

DOUBLES = (
    *(0.0, 1.0, -2.5, 0.1, 0.30000000000000004, 1 / 3, 2 / 3),
    *(123456789012345.0, 999999999999999.0, 3123482174803706.5, 3123482174803706.0, 31234821748037064.0),
    *(1e14, 1e15, 1.5e15, 1e16, 1e20, 1e308, 1.7976931348623157e308),
    *(1e-4, 1e-5, 1e-14, 1e-15, 1e-16, 1.25e-20, 5e-324),
)


@pytest.fixture(scope="module")
def connection(shard_servers: Sequence[Any]) -> Iterator[Any]:
    server = shard_servers[0]
    made = connect_server(server, conv={}, use_unicode=False, autocommit=None)
    yield made
    made.close()


def ask(connection: Any, expressions: list[str]) -> tuple[list[bytes | None], list[int]]:
    """The texts and the scales of some expressions."""
    cursor = connection.cursor()
    cursor.execute("SELECT " + ", ".join(expressions))
    return list(cursor.fetchone()), [field.scale for field in cursor._result.fields]


def test_doubles_print_alike(connection: Any) -> None:
    random = Random(1)
    values = [*DOUBLES, *(random.uniform(-1, 1) * 10.0 ** random.randint(-20, 20) for _ in range(200))]
    while len(values) < 400:
        (value,) = struct.unpack("d", random.randbytes(8))
        if value == value and abs(value) != float("inf"):
            values.append(value)
    texts, _ = ask(connection, [f"{value!r}" if "e" in repr(value) else f"{value!r}e0" for value in values])
    assert [text.decode() for text in texts if text is not None] == [double_text(value) for value in values]


def test_quotients_are_alike(connection: Any) -> None:
    lefts = (
        "1",
        "2",
        "-7",
        "1.0",
        "0.05",
        "123.456",
        "0.00005",
        "1.00000",
        "99999999999.99",
        "0.123456789",
        "-0.5",
    )
    rights = ("3", "7", "6", "2", "-9", "1000000", "0.7", "1.10", "0.123456789", "3.00000")
    pairs = list(itertools.product(lefts, rights))
    texts, scales = ask(connection, [f"{left} / {right}" for left, right in pairs])
    for (left, right), text, scale in zip(pairs, texts, scales, strict=True):
        value = divide(Decimal(left), Decimal(right), scale)
        assert value is not None
        column = ColumnDefinition(b"q", FieldType.NEWDECIMAL, decimals=scale)
        assert (left, right, number_text(value, column)) == (left, right, text)


def test_rounding_is_alike(connection: Any) -> None:
    decimals = ("2.5", "-2.5", "1.005", "0.045", "155", "-1.15")
    doubles = (12345.678, 2.5, -2.5, 1.5, 1.005, 1.15, 0.045, 123456.789)
    cases: list[tuple[Decimal | float, int]] = [
        *itertools.product(map(Decimal, decimals), (0, 1, 2)),
        *itertools.product(doubles, (0, 1, 2)),
    ]
    written = [f"{value!r}e0" if isinstance(value, float) else str(value) for value, _ in cases]
    texts, scales = ask(
        connection, [f"ROUND({text}, {digits})" for text, (_, digits) in zip(written, cases, strict=True)]
    )
    for (value, digits), text, scale in zip(cases, texts, scales, strict=True):
        kind = FieldType.DOUBLE if isinstance(value, float) else FieldType.NEWDECIMAL
        column = ColumnDefinition(b"r", kind, decimals=scale)
        assert (value, digits, number_text(round_number(value, digits), column)) == (value, digits, text)

"""What the TOML file may say, how its mistakes are told, and when a value is the expected one."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from txguard.inspector.data_rules import judge
from txguard.inspector.invariants import (
    Invariant,
    InvariantError,
    is_expected,
    load_invariants,
    parse_invariants,
)
from txguard.inspector.report import Verdict

FILE = """
# a comment with [[invariant]] in it
[[invariant]]
name = "sum"
sql = "SELECT SUM(balance) FROM bank.account;"
equals = 1000000.10

[[invariant]]
name = "expression"
sql = "1 + 1"
equals = 2

[[ invariant ]]
name = "none"
no_rows = '''
SELECT id
-- [[invariant]]
FROM bank.account WHERE balance < 0'''
"""


def test_all_forms() -> None:
    total, expression, none = parse_invariants(FILE)
    assert total == Invariant("sum", "SELECT SUM(balance) FROM bank.account", Decimal("1000000.10"))
    assert expression == Invariant("expression", "SELECT 1 + 1", 2)
    assert none.expected is None
    assert none.query.startswith("SELECT id")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no [[invariant]] table"),
        ("invariant = 3", "no [[invariant]] table"),
        ("[[invariant]]\nname = x", "line 2"),
        ("\n[[invariants]]\nname = 'a'", "line 2: unknown 'invariants'"),
        (FILE + "[[invariant]]\nsql = 'SELECT 1'\nequals = 1", "line 19: the invariant has no name"),
        (FILE + "[[invariant]]\nname = 'n'\nsql = 'SELECT 1'", "line 19: give either sql and equals"),
        (FILE + "[[invariant]]\nname = 'n'\nequals = 1", "line 19: give either"),
        (
            FILE + "[[invariant]]\nname = 'n'\nsql = 'a'\nequals = 1\nno_rows = 'b'",
            "line 19: give either",
        ),
        (FILE + "[[invariant]]\nname = 'n'\n\neqals = 1", "line 22: unknown key 'eqals'"),
        (
            FILE + "[[invariant]]\nname = 'sum'\nno_rows = 'SELECT 1'",
            "line 20: there are two invariants 'sum'",
        ),
        ("[[invariant]]\nname = 'n'\nno_rows = '  '", "line 3: no_rows must be a text"),
        ("[[invariant]]\nname = 'n'\nsql = 'x'\nequals = [1]", "line 4: equals must be one value"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InvariantError) as caught:
        parse_invariants(text, "my.toml")
    assert str(caught.value).startswith("my.toml")
    assert message in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvariantError, match="nowhere"):
        load_invariants(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("1000000.00"), 1000000),
        (Decimal("1000000.00"), Decimal("1000000.0")),
        (Decimal("0.1"), Decimal("0.10")),
        (0.1, Decimal("0.1")),
        (3, "3"),
        ("3", 3),
        (b"abc", "abc"),
        (1, True),
        (datetime.date(2024, 2, 29), datetime.date(2024, 2, 29)),
        (datetime.datetime(2024, 2, 29, 12, 0), "2024-02-29 12:00:00"),
    ],
)
def test_equal(value: Any, expected: Any) -> None:
    assert is_expected(value, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, 0), (None, "NULL"), (Decimal("1000000.01"), 1000000), ("abc", "ABC"), ("", 0), (0, "")],
)
def test_not_equal(value: Any, expected: Any) -> None:
    assert not is_expected(value, expected)


NO_ROWS = Invariant("n", "q", None)
SEVEN = Invariant("n", "q", 7)


@pytest.mark.parametrize(
    ("invariant", "rows", "verdict", "detail"),
    [
        (SEVEN, [(7,)], Verdict.HOLDS, ""),
        (SEVEN, [(8,)], Verdict.VIOLATED, "8, expected 7"),
        (SEVEN, [(None,)], Verdict.VIOLATED, "NULL, expected 7"),
        (SEVEN, [], Verdict.VIOLATED, "no row, expected 7"),
        (SEVEN, [(7,), (7,)], Verdict.UNCHECKED, "2 row(s)"),
        (SEVEN, [(7, 7)], Verdict.UNCHECKED, "2 column(s)"),
        (NO_ROWS, [], Verdict.HOLDS, ""),
        (NO_ROWS, [(1, None)], Verdict.VIOLATED, "1 row(s): 1, NULL"),
        (NO_ROWS, [(n,) for n in range(9)], Verdict.VIOLATED, "9 row(s): 0; 1; 2 …"),
    ],
)
def test_judge(invariant: Invariant, rows: list[tuple[Any, ...]], verdict: Verdict, detail: str) -> None:
    assert judge(invariant, rows)[0] is verdict
    assert detail in judge(invariant, rows)[1]

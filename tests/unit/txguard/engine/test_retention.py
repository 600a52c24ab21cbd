from __future__ import annotations

import pytest

from tso.types import Timestamp
from txguard.engine.retention import TableRetention, parse_duration, set_retention_statement, together


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("600", 600), ("600s", 600), ("90m", 5_400), ("12h", 43_200), (" 7 d ", 604_800), ("2W", 1_209_600)],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0d", "-1d", "7 days", "1.5h", "d", "99999999999s", "9999999w"])
def test_what_is_no_duration_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="as in 7d"):
        parse_duration(text)


def test_what_holds_on_all_shards_is_the_shortest() -> None:
    one = TableRetention("shop", "orders", 600, Timestamp(5))
    other = TableRetention("shop", "orders", 900, Timestamp(9))
    elsewhere = TableRetention("shop", "items", 60, Timestamp(0))
    assert together([[one, elsewhere], [other]]) == [
        TableRetention("shop", "orders", 600, Timestamp(9)),
        elsewhere,
    ]


def test_a_table_begins_with_how_far_the_shard_was_cleaned_read_under_the_cleaning_s_lock() -> None:
    statement = set_retention_statement("shop", "orders", 60)
    assert "MAX(commit_ts)" in statement
    assert "LOCK IN SHARE MODE" in statement
    assert "cleaned_to = " not in statement, "a later change leaves it"

from __future__ import annotations

import pytest

from proxy.routing.collations import ASCII, COLLATIONS, WeightTable, find_collation, read_tables, table_query
from proxy.routing.values import WeightQuestion

GENERAL, LEVELS = COLLATIONS["utf8mb4_general_ci"], COLLATIONS["utf8mb4_0900_as_ci"]


def test_trailing_spaces_count_only_where_the_collation_does_not_pad() -> None:
    weights = [b"\0" + bytes([char]) for char in range(ASCII)]
    padded = WeightTable.from_weights(GENERAL, weights)
    assert padded.canonical_ascii(b"a b  ") == b"\0a\0 \0b"
    assert padded.canonical_ascii(b"  ") == b""
    counted = WeightTable.from_weights(COLLATIONS["utf8mb4_0900_ai_ci"], weights)
    assert counted.canonical_ascii(b"a ") == b"\0a\0 "


def test_a_space_is_trimmed_only_as_a_whole_weight() -> None:
    """The weight 20 02 09 holds the bytes of a space's 02 09, but is not one."""
    table = WeightTable("x", ((b"",) * ASCII,), pad=b"\x02\x09")
    assert table.trim(b"\x20\x02\x09\x20") == b"\x20\x02\x09\x20"
    assert table.trim(b"\x01\x20\x02\x09") == b"\x01\x20"
    assert table.trim(b"\x20\x02\x09") == b"\x20\x02\x09"


def test_characters_that_the_collation_ignores_do_not_hide_trailing_spaces() -> None:
    weights = [b"" if char < 9 else b"\0" + bytes([char]) for char in range(ASCII)]
    table = WeightTable.from_weights(GENERAL, weights)
    assert table.canonical_ascii(b"a \x01 ") == table.canonical_ascii(b"a")


def test_levels_are_put_together_one_after_the_other() -> None:
    def weight(char: int) -> bytes:
        return b"\0\0" if char == 1 else bytes([0x10, char]) + b"\0\0" + bytes([0x20, char])

    table = WeightTable.from_weights(LEVELS, [weight(char) for char in range(ASCII)])
    assert table.canonical_ascii(b"ab") == b"\x10a\x10b\0\0\x20a\x20b"
    assert table.canonical_ascii(b"\x01") == b"\0\0"


def test_weights_that_cannot_be_right_are_refused() -> None:
    with pytest.raises(ValueError, match="weights instead of"):
        WeightTable.from_weights(GENERAL, [b"\0a"])
    mixed = [b"\x01\x02\0\0\x03\x04"] * (ASCII - 1) + [b"\x01\x02"]
    with pytest.raises(ValueError, match="levels"):
        WeightTable.from_weights(LEVELS, mixed)


def test_the_query_for_tables_and_its_answer() -> None:
    query = table_query([GENERAL, COLLATIONS["latin1_swedish_ci"]])
    assert query.count("WEIGHT_STRING") == 2 * ASCII
    assert "CONVERT(CONVERT(x'41' USING utf8mb4) USING latin1) COLLATE latin1_swedish_ci" in query
    weights = [f"{char:04X}" for char in range(ASCII)]
    read = read_tables([[b"utf8mb4_general_ci", *weights]])
    assert read["utf8mb4_general_ci"].canonical_ascii(b"x ") == b"\0x"


def test_names() -> None:
    assert find_collation("utf8_bin") is COLLATIONS["utf8mb3_bin"]
    assert find_collation("utf8mb4_da_0900_ai_ci") is None
    assert hash(WeightQuestion("c", "é")) == hash(WeightQuestion("c", "é"))

"""Canonical forms, value by value. That they are the servers' own is tests/integration/test_routing_hash.py's claim."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

from proxy.errors import NotSupported
from proxy.routing.collations import WeightTable
from proxy.routing.keys import KeyCodec, codec_for, needed_weights
from proxy.routing.tables import Column
from proxy.routing.values import KeyValue, Verdict, WeightQuestion

UNKNOWN, NO_ROW = Verdict.UNKNOWN, Verdict.NO_ROW

FOLDED = WeightTable("utf8mb4_general_ci", (tuple(b"\0" + bytes([n]).upper() for n in range(128)),), b"\0 ")
COUNTED = WeightTable("utf8mb4_0900_ai_ci", (tuple(b"\0" + bytes([n]).upper() for n in range(128)),), b"")
WEIGHTS = {FOLDED.collation: FOLDED, COUNTED.collation: COUNTED}


def column(column_type: str, collation: str | None = None, *, generated: bool = False) -> Column:
    return Column(
        name="c",
        type_name=column_type.partition("(")[0].partition(" ")[0],
        column_type=column_type,
        unsigned="unsigned" in column_type,
        nullable=False,
        collation=collation,
        default=None,
        generated=generated,
        auto_increment=False,
    )


def codec(column_type: str, collation: str | None = None) -> KeyCodec:
    return codec_for(column(column_type, collation), WEIGHTS)


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        ("int", 5, b"5"),
        ("int", True, b"1"),
        ("int", -5, b"-5"),
        ("int", Decimal("5.00"), b"5"),
        ("int", Decimal("-0.0"), b"0"),
        ("int", 5.0, b"5"),
        ("int", "5", b"5"),
        ("int", " 005.0 ", b"5"),
        ("int", 5.5, UNKNOWN),
        ("int", Decimal("5.5"), UNKNOWN),
        ("int", "5.4", UNKNOWN),
        ("int", "5e0", UNKNOWN),
        ("int", "abc", UNKNOWN),
        ("int", "5abc", UNKNOWN),
        ("int", "", UNKNOWN),
        ("int", b"\x05", UNKNOWN),
        ("int", datetime.date(2024, 1, 2), UNKNOWN),
        ("int", None, NO_ROW),
        ("int", 2**31, UNKNOWN),
        ("int unsigned", 2**31, b"2147483648"),
        ("int unsigned", -1, UNKNOWN),
        ("tinyint(4)", 127, b"127"),
        ("bigint", 2**63 - 1, b"9223372036854775807"),
        ("bigint", str(2**53 - 1), b"9007199254740991"),
        ("bigint", str(2**53), UNKNOWN),
        ("bigint", float(2**53), UNKNOWN),
        ("decimal(10,2)", Decimal("1.50"), b"1.5"),
        ("decimal(10,2)", 1, b"1"),
        ("decimal(10,2)", 1.5, b"1.5"),
        ("decimal(10,2)", "1.50", b"1.5"),
        ("decimal(10,2)", Decimal("1.005"), UNKNOWN),
        ("decimal(10,2)", Decimal("100000000"), UNKNOWN),
        ("decimal(20,2)", Decimal("1.5"), b"1.5"),
        ("decimal(20,2)", "1.5", UNKNOWN),
        ("decimal(20,2)", 1.5, UNKNOWN),
        ("decimal(65,0)", Decimal("9" * 65), b"9" * 65),
        ("date", "2024-01-02", b"2024-01-02"),
        ("date", datetime.date(2024, 1, 2), b"2024-01-02"),
        ("date", "2024-01-02 00:00:00", b"2024-01-02"),
        ("date", "2024-01-02 10:00:00", UNKNOWN),
        ("date", "2024-1-2", UNKNOWN),
        ("date", "2024-02-30", UNKNOWN),
        ("date", 20240102, UNKNOWN),
        ("datetime", "2024-01-02", b"2024-01-02"),
        ("datetime", "2024-01-02 03:04:05", b"2024-01-02 03:04:05"),
        ("datetime", "2024-01-02 03:04:05.0", b"2024-01-02 03:04:05"),
        ("datetime", "2024-01-02 03:04:05.5", UNKNOWN),
        ("datetime(3)", "2024-01-02 03:04:05.500", b"2024-01-02 03:04:05.5"),
        ("datetime(3)", datetime.datetime(2024, 1, 2, 3, 4, 5, 1), UNKNOWN),
        ("datetime", datetime.timedelta(hours=1), UNKNOWN),
        ("varbinary(4)", b"a ", b"a "),
        ("varbinary(4)", "a ", b"a "),
        ("varbinary(4)", "é", UNKNOWN),
        ("varbinary(4)", 5, UNKNOWN),
        ("binary(4)", b"a", b"a"),
    ],
)
def test_look_ups(kind: str, value: KeyValue, form: object) -> None:
    assert codec(kind).lookup(value) == form


@pytest.mark.parametrize(
    ("kind", "value", "form"),
    [
        ("int", 5, b"5"),
        ("int", "5", b"5"),
        ("int", "5.5", b"6"),
        ("int", "-5.5", b"-6"),
        ("int", "25e-1", b"3"),
        ("int", Decimal("5.5"), b"6"),
        ("int", 2.5, b"2"),
        ("int", 3.5, b"4"),
        ("int", 2**31, NO_ROW),
        ("int", None, NO_ROW),
        ("bigint unsigned", 2**64 - 1, b"18446744073709551615"),
        ("bigint unsigned", 2**64, NO_ROW),
        ("decimal(10,2)", Decimal("1.005"), b"1.01"),
        ("decimal(10,2)", 2.675, b"2.68"),
        ("decimal(10,2)", "1e3", b"1000"),
        ("decimal(10,2)", Decimal("99999999.995"), NO_ROW),
        ("date", datetime.datetime(2024, 1, 2), b"2024-01-02"),
        ("binary(4)", b"a", b"a\0\0\0"),
        ("binary(4)", b"abcde", NO_ROW),
        ("varbinary(4)", b"a", b"a"),
    ],
)
def test_what_is_stored(kind: str, value: KeyValue, form: object) -> None:
    assert codec(kind).insert(value, strict=True) == form


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", "abc"),
        ("int", ""),
        ("int", b"\x05"),
        ("int", 1e300),
        ("int", "1e999"),
        ("int unsigned", "-0.4"),
        ("int", Decimal((0, (1,) * 300, 0))),
        ("decimal(10,2)", "1.5x"),
        ("date", "2024-1-2"),
        ("date", "2024-01-02 10:00:00"),
        ("datetime", "2024-01-02 03:04:05.5"),
        ("datetime", datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)),
        ("varbinary(4)", 5),
        ("varbinary(4)", "é"),
    ],
)
def test_a_row_whose_place_is_not_certain_is_refused_by_name(kind: str, value: KeyValue) -> None:
    with pytest.raises(NotSupported, match="for the shard key column `c`"):
        codec(kind).insert(value, strict=True)


@pytest.mark.parametrize(("kind", "value"), [("int", 2**31), ("binary(4)", b"abcde"), ("varchar(3)", "abcd")])
def test_what_a_lenient_server_would_change_is_refused(kind: str, value: KeyValue) -> None:
    made = codec(kind, "utf8mb4_bin" if kind.startswith("varchar") else None)
    assert made.insert(value, strict=True) is NO_ROW
    with pytest.raises(NotSupported):
        made.insert(value, strict=False)


def test_text_is_folded_and_padded_as_its_collation_says() -> None:
    padded, counted = codec("varchar(9)", "utf8mb4_general_ci"), codec("varchar(9)", "utf8mb4_0900_ai_ci")
    assert padded.lookup("Alice  ") == padded.lookup("aLICE") == b"\0A\0L\0I\0C\0E"
    assert counted.lookup("Alice ") == counted.lookup("ALICE ") != counted.lookup("Alice")
    assert padded.lookup("é") == WeightQuestion("utf8mb4_general_ci", "é")
    assert codec("varchar(9)", "utf8mb4_bin").lookup("é  ") == "é".encode()
    assert codec("varchar(9)", "utf8mb4_0900_bin").lookup("é  ") == "é  ".encode()
    assert padded.lookup(5) is UNKNOWN
    assert padded.insert(5, strict=True) == b"\x005"
    assert padded.lookup(b"alice") == padded.lookup("alice")


def test_char_drops_trailing_spaces_as_it_stores() -> None:
    char = codec("char(4)", "utf8mb4_0900_ai_ci")
    assert char.insert("a  ", strict=True) == char.lookup("a")
    assert char.lookup("a ") is UNKNOWN
    assert codec("varchar(2)", "utf8mb4_0900_bin").insert("ab  ", strict=True) == b"ab"


@pytest.mark.parametrize(
    ("collation", "value"),
    [
        ("latin1_bin", "日"),
        ("latin1_bin", "\x81"),
        ("latin1_bin", b"\xe9"),
        ("utf8mb3_bin", "😀"),
        ("ascii_bin", "é"),
        ("utf8mb4_bin", "\udce9"),
        ("utf8mb4_bin", b"\xff"),
        ("utf8mb4_bin", Decimal("1.0")),
    ],
)
def test_what_the_character_set_does_not_have(collation: str, value: KeyValue) -> None:
    made = codec("varchar(9)", collation)
    assert made.lookup(value) is UNKNOWN
    with pytest.raises(NotSupported):
        made.insert(value, strict=True)


@pytest.mark.parametrize(
    "refused",
    [
        column("double"),
        column("float"),
        column("timestamp"),
        column("time"),
        column("year(4)"),
        column("bit(8)"),
        column("json"),
        column("text", "utf8mb4_bin"),
        column("enum('a')", "utf8mb4_bin"),
        column("varchar(9)", "utf8mb4_uca1400_as_ci"),
        column("varchar(9)", "utf8mb4_hu_0900_ai_ci"),
        column("varchar(9)", "utf8mb4_spanish2_ci"),
        column("int", generated=True),
    ],
    ids=lambda refused: f"{refused.column_type} {refused.collation}",
)
def test_columns_that_cannot_be_a_shard_key(refused: Column) -> None:
    with pytest.raises(NotSupported):
        codec_for(refused, WEIGHTS)


def test_families_agree_where_equal_values_hash_alike() -> None:
    assert codec("int").family == codec("decimal(10,2)").family
    assert codec("date").family == codec("datetime(3)").family
    assert codec("varchar(9)", "utf8mb4_general_ci").family != codec("varchar(9)", "utf8mb4_bin").family


def test_only_folding_collations_need_weights() -> None:
    needed = needed_weights(column("varchar(9)", "utf8_general_ci"))
    assert needed is not None
    assert needed.name == "utf8mb3_general_ci"
    assert needed_weights(column("varchar(9)", "utf8mb4_bin")) is None
    assert needed_weights(column("int")) is None

"""Cutting statements: what is a literal, a comment, a name, and where one statement ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import NotSupported, ParseError
from proxy.sql.lexer import MARK, Kind, fingerprint, split_statements, tokenize
from proxy.sql.operands import decode_literal

FINGERPRINTS = [
    ("SELECT c FROM sbtest1 WHERE id=12345", "SELECT c FROM sbtest1 WHERE id=¤", ["12345"]),
    ("SELECT 'it''s', \"a\\\"b\"", "SELECT ¤, ¤", ["'it''s'", '"a\\"b"']),
    ("SELECT `a'1`, t1, @v1, @@x1", "SELECT `a'1`, t1, @v1, @@x1", []),
    ("SELECT 1.5e-3, .5, 7., 0x1F, 0b01", "SELECT ¤, ¤, ¤, ¤, ¤", ["1.5e-3", ".5", "7.", "0x1F", "0b01"]),
    ("SELECT x'4D', 1a, a1 -- 5 '\n, 2", "SELECT x¤, 1a, a1 -- 5 '\n, ¤", ["'4D'", "2"]),
    ("SELECT /* 5 ' */ 3 # 4\n", "SELECT /* 5 ' */ ¤ # 4\n", ["3"]),
    ("SELECT 5-3, 5--3, a-1", "SELECT ¤-¤, ¤--¤, a-¤", ["5", "3", "5", "3", "1"]),
    ("SELECT '\\\\', '\\'x'", "SELECT ¤, ¤", ["'\\\\'", "'\\'x'"]),
    ("SELECT ''", "SELECT ¤", ["''"]),
]


@pytest.mark.parametrize(("sql", "shape", "literals"), FINGERPRINTS)
def test_fingerprint_takes_out_the_literals_and_nothing_else(
    sql: str, shape: str, literals: list[str]
) -> None:
    key, found = fingerprint(sql)
    assert list(found) == literals
    assert key.replace(MARK, "¤") == shape


@pytest.mark.parametrize(("sql", "shape", "literals"), FINGERPRINTS)
def test_tokens_hold_the_same_literals_as_the_fingerprint(sql: str, shape: str, literals: list[str]) -> None:
    assert list(tokenize(sql).literals) == literals


PIECES = st.sampled_from(
    [
        *("'a'", "'it''s'", '"q"', "'\\''", "12", "1.5", ".5", "1e9", "0xAF", "x'4d'"),
        *("t1", "`n``'1`", "a.b", "=", "(", ")", ",", "-", "SELECT", "<=>", "1a"),
        *("-- x '1\n", "/* 2 ' */", "# 3\n", "?", "@v", "@@s.v"),
    ]
)


@given(st.lists(PIECES, max_size=20))
def test_both_readings_agree_on_any_mixture(pieces: list[str]) -> None:
    sql = " ".join(pieces)
    key, literals = fingerprint(sql)
    assert literals == tokenize(sql).literals
    for literal in literals:
        key = key.replace(MARK, literal, 1)
    assert key == sql


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("5", 5),
        ("'5'", "5"),
        ("'a\\nb\\\\\\'\\q'", "a\nb\\'q"),
        ("'a''b'", "a'b"),
        ('"a""b"', 'a"b'),
        ("'\\%\\_'", "\\%\\_"),
        ("1e2", 100.0),
        ("x'4D'", b"M"),
        ("0x4D4", b"\x04\xd4"),
        ("b'1000001'", b"A"),
    ],
)
def test_literals_have_the_value_that_mysql_gives_them(raw: str, value: object) -> None:
    assert decode_literal(raw) == value


@pytest.mark.parametrize(
    "sql", ["SELECT 'open", "SELECT `open", "SELECT \x01", "SELECT /* open", "SELECT */ 1"]
)
def test_what_cannot_be_cut_is_a_syntax_error(sql: str) -> None:
    with pytest.raises(ParseError, match="You have an error in your SQL syntax"):
        tokenize(sql)


def test_error_names_line_and_text() -> None:
    with pytest.raises(ParseError, match="near ''open' at line 2"):
        tokenize("SELECT\n 'open")


def test_old_executable_comments_are_text() -> None:
    words = [token.upper for token in tokenize("/*!40101 SET NAMES utf8 */;").tokens]
    assert words == ["SET", "NAMES", "UTF8", ";", ""]


@pytest.mark.parametrize(
    "sql", ["/*!80000 SELECT 1 */", "/*M!100100 SELECT 1 */", "SELECT /*!50110 1 /*!40000 2 */ */"]
)
def test_executable_comments_that_servers_read_differently_are_refused(sql: str) -> None:
    with pytest.raises(NotSupported, match="executable comment"):
        tokenize(sql)


def test_hint_that_could_change_the_reading_is_refused() -> None:
    with pytest.raises(NotSupported, match="SET_VAR"):
        tokenize("SELECT /*+ SET_VAR(sql_mode='ANSI_QUOTES') */ 1")


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        ("WHERE a\xa0= 5", ["WHERE", "a\xa0", "=", "5"]),
        ("\u017felect 1", ["\u017felect", "1"]),
        ("l\u0131m\u0131t 5", ["l\u0131m\u0131t", "5"]),
        ("a\u0663", ["a\u0663"]),
        ("\u0663", ["\u0663"]),
        ("\U0001f600", None),
    ],
)
def test_letters_and_spaces_are_mysqls_not_unicodes(sql: str, kinds: list[str] | None) -> None:
    if kinds is None:
        with pytest.raises(ParseError):
            tokenize(sql)
        return
    tokens = tokenize(sql).tokens[:-1]
    assert [token.text for token in tokens] == kinds
    assert all(token.upper != "SELECT" and token.upper != "LIMIT" for token in tokens)


def test_a_word_that_begins_with_a_digit_is_a_name() -> None:
    assert [token.kind for token in tokenize("1a 12").tokens] == [Kind.WORD, Kind.NUMBER, Kind.END]


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;", ["SELECT 1"]),
        (
            "SELECT ';'; SELECT `;`;-- ;\n SELECT 3 /* ; */;;",
            ["SELECT ';'", " SELECT `;`", "-- ;\n SELECT 3 /* ; */"],
        ),
    ],
)
def test_statements_are_split_at_their_semicolons(sql: str, statements: list[str]) -> None:
    assert split_statements(sql) == statements

"""From one session's settings to another's."""

from __future__ import annotations

import dataclasses

import pytest

from proxy.backend.profile import SessionProfile, intern_profile, switch_statements

PLAIN = SessionProfile()


def test_a_fresh_connection_gets_everything() -> None:
    assert switch_statements(None, PLAIN) == [
        "SET character_set_client=utf8mb4,character_set_results=utf8mb4,"
        "collation_connection=utf8mb4_general_ci,sql_mode=DEFAULT,time_zone=DEFAULT"
    ]


def test_the_same_settings_need_nothing() -> None:
    assert switch_statements(PLAIN, SessionProfile()) == []


def test_only_what_differs_is_set() -> None:
    wanted = dataclasses.replace(
        PLAIN, database="shop", sql_mode="ANSI_QUOTES,'x'", character_set_results=None
    )
    assert switch_statements(PLAIN, wanted) == [
        "USE `shop`",
        "SET character_set_results=NULL,sql_mode='ANSI_QUOTES,''x'''",
    ]
    assert switch_statements(wanted, dataclasses.replace(wanted, database="a`b")) == ["USE `a``b`"]


def test_no_database_leaves_the_last_one() -> None:
    assert switch_statements(dataclasses.replace(PLAIN, database="shop"), PLAIN) == []


def test_a_variable_that_is_not_set_any_more_goes_back_to_its_default() -> None:
    with_variable = dataclasses.replace(PLAIN, variables=(("max_statement_time", "5"),))
    assert switch_statements(PLAIN, with_variable) == ["SET max_statement_time=5"]
    assert switch_statements(with_variable, PLAIN) == ["SET max_statement_time=DEFAULT"]


def test_a_name_beyond_ascii_is_used_in_utf8() -> None:
    latin = dataclasses.replace(
        PLAIN, character_set_client="latin1", collation_connection="latin1_swedish_ci"
    )
    wanted = dataclasses.replace(latin, database="größe")
    statements = switch_statements(latin, wanted)
    assert statements[:2] == ["SET NAMES utf8mb4", "USE `größe`"]
    assert "character_set_client=latin1" in statements[2]


@pytest.mark.parametrize(
    ("charset", "encoding"), [("latin1", "cp1252"), ("utf8mb4", "utf-8"), ("dec8", "utf-8")]
)
def test_encodings(charset: str, encoding: str) -> None:
    assert dataclasses.replace(PLAIN, character_set_client=charset).encoding == encoding


def test_equal_profiles_are_one_when_interned() -> None:
    first, second = SessionProfile(database="x"), SessionProfile(database="x")
    assert first is not second
    assert first == second
    assert hash(first) == hash(second)
    assert intern_profile(first) is intern_profile(second)
    assert first != dataclasses.replace(first, found_rows=True)

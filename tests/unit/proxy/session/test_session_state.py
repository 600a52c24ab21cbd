"""What a session keeps and answers itself: character sets, values, SHOW WARNINGS, the registry, profiles."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.errors import NotSupported
from proxy.executor.warnings import Condition
from proxy.session.charsets import (
    LATIN1,
    UTF8MB4,
    charset_named,
    charset_of_collation,
    check_collation,
    login_collation,
)
from proxy.session.errors import (
    CollationMismatch,
    NotThreadOwner,
    UnknownCharacterSet,
    UnknownCollation,
    UnknownThread,
)
from proxy.session.local_shows import overlay_variables, show_processlist, show_warnings
from proxy.session.phases import Phase
from proxy.session.profiles import ServerDefaults, profile_of, reading_of
from proxy.session.registry import Holding, SessionRegistry, SessionView, parse_view
from proxy.session.results import LocalResult
from proxy.session.session_values import Identity, SessionValues
from proxy.session.state import Characteristics, fresh_state
from proxy.sql.plan import ShowWarningsPlan
from proxy.sql.template import SessionKind, SessionValue
from proxy.wire.binary_rows import parse_binary_row
from proxy.wire.capabilities import Status
from proxy.wire.columns import UTF8MB4_GENERAL_CI
from proxy.wire.text_rows import parse_text_row
from txguard.engine.branch import Isolation

# ---------------------------------------------------------------- character sets


@pytest.mark.parametrize("text", [b"plain", "Zoë 日本".encode(), b"\xff\xfe broken", bytes(range(256))])
@pytest.mark.parametrize("name", ["utf8mb4", "latin1", "ascii", "binary"])
def test_decoding_keeps_every_byte(name: str, text: bytes) -> None:
    charset = charset_named(name)
    assert charset.encode(charset.decode(text)) == text


def test_sets_in_which_a_quote_may_be_half_a_character_are_refused() -> None:
    for name in ("gbk", "sjis", "big5", "utf16"):
        with pytest.raises(NotSupported):
            charset_named(name)
    with pytest.raises(UnknownCharacterSet):
        charset_named("nonsense")


def test_collations_belong_to_a_set() -> None:
    check_collation("utf8mb4_bin", UTF8MB4)
    with pytest.raises(CollationMismatch):
        check_collation("latin1_bin", UTF8MB4)
    with pytest.raises(UnknownCollation):
        check_collation("nonsense_ci", UTF8MB4)
    assert charset_of_collation("latin1_swedish_ci") is LATIN1
    assert charset_of_collation("uca1400_ai_ci") is UTF8MB4


def test_a_login_names_its_collation_by_number() -> None:
    assert login_collation(45) == (UTF8MB4, "utf8mb4_general_ci")
    assert login_collation(8) == (LATIN1, "latin1_swedish_ci")
    assert login_collation(255) == (UTF8MB4, None)


# ---------------------------------------------------------------- state, profile, values


def test_status_flags() -> None:
    state = fresh_state(None, UTF8MB4_GENERAL_CI)
    assert state.status(in_transaction=False) == Status.AUTOCOMMIT
    state.autocommit = False
    assert state.status(in_transaction=True, read_only=True) == Status.IN_TRANS | Status.IN_TRANS_READONLY


def test_one_shot_characteristics_are_used_up_once() -> None:
    characteristics = Characteristics(next_isolation=Isolation.READ_COMMITTED, next_read_only=True)
    assert characteristics.one_shot
    assert characteristics.effective_read_only
    assert characteristics.take() == (Isolation.READ_COMMITTED, True)
    assert not characteristics.one_shot
    assert characteristics.take() == (Isolation.REPEATABLE_READ, False)


def test_how_the_levels_are_run() -> None:
    serializable = Characteristics(isolation=Isolation.SERIALIZABLE)
    assert serializable.take() == (Isolation.SERIALIZABLE, False)
    assert serializable.take(read_only=True) == (Isolation.REPEATABLE_READ, True), "a snapshot is serial"
    lax = Characteristics(snapshot_isolation=False)
    assert lax.take() == (Isolation.LAX_REPEATABLE_READ, False)
    lax.next_isolation = Isolation.READ_COMMITTED
    assert lax.take() == (Isolation.READ_COMMITTED, False)


def test_equal_sessions_have_one_profile() -> None:
    defaults = ServerDefaults({"utf8mb4": "utf8mb4_0900_ai_ci"}, variables={"innodb_lock_wait_timeout": "3"})
    state = fresh_state("app", 255)
    profile = profile_of(state, defaults, found_rows=False)
    assert profile.collation_connection == "utf8mb4_0900_ai_ci"
    assert profile.variables == (("innodb_lock_wait_timeout", "3"),)
    assert profile_of(fresh_state("app", 255), defaults, found_rows=False) is profile
    state.shard_variables = {"sql_mode": "'A,B'", "time_zone": "'+01:00'", "innodb_lock_wait_timeout": "9"}
    changed = profile_of(state, defaults, found_rows=False)
    assert (changed.sql_mode, changed.time_zone) == ("A,B", "+01:00")
    assert changed.variables == (("innodb_lock_wait_timeout", "9"),)


def test_how_values_are_read_follows_the_sql_mode() -> None:
    defaults = ServerDefaults(sql_mode="STRICT_TRANS_TABLES,NO_ZERO_DATE")
    state = fresh_state("app", 8)
    assert reading_of(state, defaults).strict
    assert reading_of(state, defaults).codec == "cp1252"
    state.shard_variables["sql_mode"] = "'NO_AUTO_VALUE_ON_ZERO'"
    assert not reading_of(state, defaults).strict
    assert reading_of(state, defaults).no_auto_value_on_zero


def values() -> SessionValues:
    state = fresh_state("app", UTF8MB4_GENERAL_CI)
    state.user_variables = {"name": "it's", "number": 5, "digits": "007", "data": b"\x00\xff"}
    return SessionValues(state, Identity(7, "root", "localhost", 4000, 1024), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hole", "literal"),
    [
        (SessionValue(SessionKind.USER_VARIABLE, "name"), "'it''s'"),
        (SessionValue(SessionKind.USER_VARIABLE, "number"), "5"),
        (SessionValue(SessionKind.USER_VARIABLE, "digits"), "'007'"),
        (SessionValue(SessionKind.USER_VARIABLE, "data"), "_binary X'00ff'"),
        (SessionValue(SessionKind.USER_VARIABLE, "never"), "NULL"),
        (SessionValue(SessionKind.SYSTEM_VARIABLE, "autocommit", "@@autocommit"), "1"),
        (SessionValue(SessionKind.SYSTEM_VARIABLE, "tx_isolation", "@@tx_isolation"), "'REPEATABLE-READ'"),
        (SessionValue(SessionKind.SYSTEM_VARIABLE, "max_allowed_packet", "@@max_allowed_packet"), "1024"),
        (SessionValue(SessionKind.SYSTEM_VARIABLE, "sql_mode", "@@SESSION.sql_mode"), "@@SESSION.sql_mode"),
        (SessionValue(SessionKind.CONNECTION_ID), "7"),
        (SessionValue(SessionKind.DATABASE), "'app'"),
        (SessionValue(SessionKind.USER), "'root@localhost'"),
        (SessionValue(SessionKind.LAST_INSERT_ID), "(0 | 0)"),
        (SessionValue(SessionKind.ROW_COUNT), "-1"),
    ],
)
def test_holes_are_filled(hole: SessionValue, literal: str) -> None:
    assert values().literal(hole) == literal


def test_found_rows_is_refused_after_an_uncounted_result() -> None:
    known = values()
    known.state.diagnostics.found_rows = None
    with pytest.raises(NotSupported, match="FOUND_ROWS"):
        known.literal(SessionValue(SessionKind.FOUND_ROWS))


# ---------------------------------------------------------------- SHOW

CONDITIONS = [Condition("Warning", 1, "a"), Condition("Error", 2, "b"), Condition("Note", 3, "c")]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("SHOW WARNINGS", [1, 2, 3]),
        ("SHOW WARNINGS LIMIT 2", [1, 2]),
        ("SHOW WARNINGS LIMIT 1, 1", [2]),
        ("SHOW WARNINGS LIMIT 1 OFFSET 2", [3]),
    ],
)
def test_show_warnings(text: str, codes: list[int]) -> None:
    result = show_warnings(ShowWarningsPlan(False, False, text), CONDITIONS)
    assert [row[1] for row in result.rows] == codes


def test_show_errors_and_counts() -> None:
    assert [
        row[1] for row in show_warnings(ShowWarningsPlan(True, False, "SHOW ERRORS"), CONDITIONS).rows
    ] == [2]
    assert show_warnings(ShowWarningsPlan(False, True, ""), CONDITIONS).rows == ((3,),)
    assert show_warnings(ShowWarningsPlan(True, True, ""), CONDITIONS).rows == ((1,),)


def test_the_proxy_s_values_stand_in_a_shard_s_list() -> None:
    rows: list[list[bytes | None]] = [
        [b"autocommit", b"OFF"],
        [b"sql_mode", b"X"],
        [b"version_comment", b"Debian"],
    ]
    assert overlay_variables(rows, values()) == [
        (b"autocommit", b"ON"),
        rows[1],
        (b"version_comment", b"TxGuard"),
    ]


def test_local_results_in_both_forms() -> None:
    result = LocalResult.of(("n", "t", "empty"), [(5, "x", None), (None, "ä", None)])
    columns = result.columns()
    assert [parse_text_row(row, 3) for row in result.text_rows()] == [
        [b"5", b"x", None],
        [None, "ä".encode(), None],
    ]
    assert [parse_binary_row(row, columns) for row in result.binary_rows()] == [
        [5, b"x", None],
        [None, "ä".encode(), None],
    ]


# ---------------------------------------------------------------- registry


@dataclass
class FakeSession:
    connection_id: int
    user: str
    killed: list[str] = field(default_factory=list)

    def view(self) -> SessionView:
        return SessionView(
            self.connection_id, self.user, "here:1", "app", Phase.IDLE, "SELECT 1" * 50, 2.5, None
        )

    def kill_query(self) -> None:
        self.killed.append("query")

    def kill_connection(self) -> None:
        self.killed.append("connection")

    def holding(self, waits_long_s: float) -> Holding | None:
        return None

    def lose(self, start_ts: int) -> None: ...


async def test_kill_reaches_sessions_of_the_same_account_only() -> None:
    registry, own, foreign = SessionRegistry(), FakeSession(1, "me"), FakeSession(2, "you")
    registry.add(own)
    registry.add(foreign)
    await registry.kill(1, query_only=True, user="me")
    await registry.kill(1, query_only=False, user="me")
    assert own.killed == ["query", "connection"]
    with pytest.raises(NotThreadOwner):
        await registry.kill(2, query_only=True, user="me")
    assert foreign.killed == []
    registry.discard(own)
    with pytest.raises(UnknownThread):
        await registry.kill(1, query_only=True, user="me")


def test_a_session_is_seen_by_colleagues_as_it_is_here() -> None:
    registry = SessionRegistry()
    registry.add(FakeSession(1, "me"))
    [told] = json.loads(json.dumps(registry.answering()["sessions"](None)))
    assert [parse_view(told)] == registry.views()


def test_the_process_list_shows_an_account_its_own() -> None:
    registry = SessionRegistry()
    registry.add(FakeSession(1, "me"))
    registry.add(FakeSession(2, "you"))
    short: Any = show_processlist(registry.views(), "me", full=False).rows
    assert [row[0] for row in short] == [1]
    assert len(short[0][7]) == 100
    assert len(str(show_processlist(registry.views(), "me", full=True).rows[0][7])) == 400

"""The system variables that a session can set, as one table: who acts on each and what it may be set to.

A variable that is not in this table is looked up on a shard: reading it answers what the shard says, setting it to
another value than the present one is refused by name, because nobody has checked what it does to statements that
the proxy rewrites or merges (proxy.errors.NotSupported); a name no server knows is error 1193.

Source: MySQL 8.0 manual, "Server System Variables"; MariaDB knowledge base, "Server System Variables".
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from proxy.errors import NotSupported
from proxy.session.errors import ReadOnlyVariable, WrongTypeForVariable, WrongValueForVariable
from proxy.sql.select_limit import NO_LIMIT

VariableValue = int | float | str | None
"""Numbers as numbers, everything else as text; None only where the variable knows NULL."""


class Holder(enum.Enum):
    PROXY = "proxy"
    """The proxy acts on it (or only remembers it): the shards never hear of it."""
    SHARD = "shard"
    """Set on every shard connection that works for the session; the shard checks the value."""
    FIXED = "fixed"
    """May be 'set' to what it already is, as drivers and dumps do; anything else is refused."""
    READ_ONLY = "read only"


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    holder: Holder
    parse: Callable[[str, VariableValue], VariableValue]
    """Checks and normalises a value. Raises the errors MySQL gives: 1231, 1232, 1238."""
    default: VariableValue = None
    """The value of a fresh session where PROXY; for the others the shard's own."""
    boolean: bool = False
    """SELECT @@x says 1 or 0, SHOW VARIABLES says ON or OFF."""


def _boolean(name: str, value: VariableValue) -> VariableValue:
    if isinstance(value, int) and value in (0, 1):
        return int(value)
    if isinstance(value, str) and value.upper() in _BOOLEAN_WORDS:
        return _BOOLEAN_WORDS[value.upper()]
    if isinstance(value, float):
        raise WrongTypeForVariable(name)
    raise WrongValueForVariable(name, value)


_BOOLEAN_WORDS = {"ON": 1, "OFF": 0, "TRUE": 1, "FALSE": 0, "1": 1, "0": 0}


def _seconds(name: str, value: VariableValue) -> VariableValue:
    """An unsigned count; MySQL clips it to the variable's range with a warning, which nobody reads here."""
    if not isinstance(value, int):
        raise WrongTypeForVariable(name)
    return max(1, min(int(value), 31_536_000))


def _unsigned(name: str, value: VariableValue) -> VariableValue:
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongTypeForVariable(name)
    return max(0, min(value, 2**64 - 1))


def _as_given(name: str, value: VariableValue) -> VariableValue:
    return value


def _read_only(name: str, value: VariableValue) -> VariableValue:
    raise ReadOnlyVariable(name)


ISOLATION_LEVELS = {
    "READ-UNCOMMITTED": "READ-COMMITTED",
    "READ-COMMITTED": "READ-COMMITTED",
    "REPEATABLE-READ": "REPEATABLE-READ",
    "SERIALIZABLE": "SERIALIZABLE",
}
"""What a client may ask for, and what it gets: never less than it asked for."""
_ISOLATION_NUMBERS = ("READ-UNCOMMITTED", "READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE")


def parse_isolation(name: str, value: VariableValue) -> VariableValue:
    if isinstance(value, int) and 0 <= value < len(_ISOLATION_NUMBERS):
        value = _ISOLATION_NUMBERS[value]
    level = str(value).upper().replace(" ", "-")
    if level not in ISOLATION_LEVELS:
        raise WrongValueForVariable(name, value)
    return ISOLATION_LEVELS[level]


def _sql_mode(name: str, value: VariableValue) -> VariableValue:
    """Modes that change how a text is cut into tokens are refused: proxy and shard must read alike."""
    text = str(value).upper() if value is not None else ""
    for mode in (
        "NO_BACKSLASH_ESCAPES",
        "ANSI_QUOTES",
        "ANSI",
        "PIPES_AS_CONCAT",
        "IGNORE_SPACE",
        "ORACLE",
        "MSSQL",
        "HIGH_NOT_PRECEDENCE",
    ):
        if mode in text.replace(" ", "").split(","):
            raise NotSupported(f"sql_mode {mode}")
    return value


def _proxy(
    name: str,
    parse: Callable[[str, VariableValue], VariableValue],
    default: VariableValue,
    boolean: bool = False,
) -> Variable:
    return Variable(name, Holder.PROXY, parse, default, boolean)


_PROXY_HELD = (
    _proxy("autocommit", _boolean, 1, boolean=True),
    _proxy("transaction_isolation", parse_isolation, "REPEATABLE-READ"),
    _proxy("tx_isolation", parse_isolation, "REPEATABLE-READ"),
    _proxy("transaction_read_only", _boolean, 0, boolean=True),
    _proxy("tx_read_only", _boolean, 0, boolean=True),
    _proxy("innodb_snapshot_isolation", _boolean, 1, boolean=True),
    _proxy("wait_timeout", _seconds, 28_800),
    _proxy("interactive_timeout", _seconds, 28_800),
    _proxy("net_write_timeout", _seconds, 60),
    _proxy("net_read_timeout", _seconds, 30),
    _proxy("session_track_schema", _boolean, 1, boolean=True),
    _proxy("session_track_state_change", _boolean, 0, boolean=True),
    _proxy("session_track_system_variables", _as_given, ""),
    _proxy("session_track_transaction_info", _as_given, "OFF"),
    _proxy("session_track_gtids", _as_given, "OFF"),
    _proxy("profiling", _boolean, 0, boolean=True),
    _proxy("insert_id", _unsigned, 0),
    _proxy("txguard_snapshot", _as_given, ""),
    _proxy("sql_select_limit", _unsigned, NO_LIMIT),
)
"""`last_insert_id` and `identity` are not here: setting them is an assignment to the session's own state."""

_SHARD_HELD = (
    "div_precision_increment",
    "default_week_format",
    "explicit_defaults_for_timestamp",
    "foreign_key_checks",
    "group_concat_max_len",
    "information_schema_stats_expiry",
    "innodb_lock_wait_timeout",
    "innodb_strict_mode",
    "join_buffer_size",
    "lc_time_names",
    "lock_wait_timeout",
    "long_query_time",
    "max_execution_time",
    "max_heap_table_size",
    "max_join_size",
    "max_length_for_sort_data",
    "max_recursive_iterations",
    "cte_max_recursion_depth",
    "max_sort_length",
    "max_statement_time",
    "optimizer_search_depth",
    "optimizer_prune_level",
    "optimizer_switch",
    "range_alloc_block_size",
    "read_buffer_size",
    "read_rnd_buffer_size",
    "sort_buffer_size",
    "note_verbosity",
    "sql_big_selects",
    "sql_notes",
    "sql_quote_show_create",
    "sql_safe_updates",
    "time_zone",
    "timestamp",
    "tmp_table_size",
    "unique_checks",
)

_FIXED = (
    "auto_increment_increment",
    "auto_increment_offset",
    "big_tables",
    "binlog_format",
    "completion_type",
    "default_storage_engine",
    "default_tmp_storage_engine",
    "sql_auto_is_null",
    "sql_log_bin",
    "sql_warnings",
    "storage_engine",
    "low_priority_updates",
    "max_error_count",
    "keep_files_on_create",
    "net_retry_count",
    "query_cache_type",
    "gtid_next",
    "resultset_metadata",
    "show_old_temporals",
    "sql_require_primary_key",
    "updatable_views_with_limit",
    "windowing_use_high_precision",
    "collation_server",
    "character_set_server",
    "character_set_filesystem",
    "collation_database",
    "character_set_database",
)

_READ_ONLY = (
    "error_count",
    "external_user",
    "hostname",
    "last_gtid",
    "license",
    "lower_case_table_names",
    "max_allowed_packet",
    "net_buffer_length",
    "port",
    "proxy_user",
    "pseudo_thread_id",
    "rand_seed1",
    "rand_seed2",
    "server_id",
    "socket",
    "txguard_start_ts",
    "version",
    "version_comment",
    "version_compile_machine",
    "version_compile_os",
    "warning_count",
)

VARIABLES: dict[str, Variable] = {
    **{variable.name: variable for variable in _PROXY_HELD},
    **{name: Variable(name, Holder.SHARD, _as_given) for name in _SHARD_HELD},
    **{name: Variable(name, Holder.FIXED, _as_given) for name in _FIXED},
    **{name: Variable(name, Holder.READ_ONLY, _read_only) for name in _READ_ONLY},
    "sql_mode": Variable("sql_mode", Holder.SHARD, _sql_mode),
}

ALIASES = {"tx_isolation": "transaction_isolation", "tx_read_only": "transaction_read_only"}
"""MariaDB's older names; one value under both."""

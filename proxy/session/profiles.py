"""From a session's state to the profile of its shard connections, and to how its values are read."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.backend.profile import SessionProfile, intern_profile
from proxy.executor.execution import Reading
from proxy.session.state import SessionState
from proxy.sql.operands import decode_literal


@dataclass(slots=True)
class ServerDefaults:
    """What a shard has when a session sets nothing; asked once, when the first shard answers."""

    collations: dict[str, str] = field(default_factory=dict)
    """The default collation of each character set."""
    sql_mode: str = "STRICT_TRANS_TABLES"
    version: str = ""
    """VERSION() of the shards; empty: none has answered yet."""
    variables: dict[str, str] = field(default_factory=dict)
    """What TxGuard sets in every session that does not set it itself: name to SQL literal."""


def profile_of(state: SessionState, defaults: ServerDefaults, *, found_rows: bool) -> SessionProfile:
    charset = state.charset
    collation = charset.collation or defaults.collations.get(
        charset.connection.name, charset.connection.default_collation
    )
    variables = {**defaults.variables, **state.shard_variables}
    sql_mode, time_zone = variables.pop("sql_mode", None), variables.pop("time_zone", None)
    profile = SessionProfile(
        database=state.database,
        character_set_client=charset.client.name,
        character_set_results=None if charset.results is None else charset.results.name,
        collation_connection=collation,
        sql_mode=None if sql_mode is None else str(decode_literal(sql_mode)),
        time_zone=None if time_zone is None else str(decode_literal(time_zone)),
        found_rows=found_rows,
        variables=tuple(sorted(variables.items())),
    )
    return intern_profile(profile)


def reading_of(state: SessionState, defaults: ServerDefaults) -> Reading:
    literal = state.shard_variables.get("sql_mode")
    modes = (defaults.sql_mode if literal is None else str(decode_literal(literal))).upper().split(",")
    return Reading(
        codec=state.charset.client.codec,
        strict="STRICT_TRANS_TABLES" in modes or "STRICT_ALL_TABLES" in modes,
        no_auto_value_on_zero="NO_AUTO_VALUE_ON_ZERO" in modes,
    )

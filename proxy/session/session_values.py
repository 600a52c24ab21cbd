"""What the session knows and a shard does not: the holes of a statement that it fills with literals.

LAST_INSERT_ID(), ROW_COUNT(), FOUND_ROWS(), CONNECTION_ID(), USER(), DATABASE(), user variables, and the system
variables that the proxy acts on itself. All other system variables are left in the text: the shard's connection has
the session's settings, so the shard answers rightly.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.errors import NotSupported
from proxy.executor.parameters import quote_text
from proxy.session.shard_questions import Shards, literal_of
from proxy.session.state import SessionState, UserValue
from proxy.session.variables import ALIASES, VARIABLES, Holder
from proxy.sql.template import SessionKind, SessionValue
from txguard.engine.shard import ShardError

ER_INCORRECT_GLOBAL_LOCAL_VAR = 1238

_HOSTNAME = socket.gethostname()


@dataclass(slots=True)
class Identity:
    """Who and where the session is; changes only with COM_CHANGE_USER."""

    connection_id: int
    user: str
    host: str
    port: int
    max_packet_bytes: int


@dataclass(slots=True)
class SessionValues:
    state: SessionState
    identity: Identity
    shards: Shards
    start_ts: Callable[[], int] = lambda: 0
    """Of the session's transaction; see SessionTransactions.start_ts."""

    def literal(self, hole: SessionValue) -> str:
        """The SQL that stands in the hole's place."""
        value = self.local(hole)
        if hole.kind is SessionKind.LAST_INSERT_ID:
            return f"({value} | 0)"  # BIGINT UNSIGNED, as the function; a literal would be signed
        return hole.text if value is NotImplemented else _sql(value)

    def local(self, hole: SessionValue) -> Any:
        """The value when it is the session's to give, else NotImplemented."""
        diagnostics = self.state.diagnostics
        match hole.kind:
            case SessionKind.USER_VARIABLE:
                return self.state.user_variables.get(hole.name)
            case SessionKind.SYSTEM_VARIABLE:
                return self.variable(hole.name)
            case SessionKind.LAST_INSERT_ID:
                return diagnostics.last_insert_id
            case SessionKind.ROW_COUNT:
                return diagnostics.row_count
            case SessionKind.FOUND_ROWS:
                if diagnostics.found_rows is None:
                    raise NotSupported("FOUND_ROWS() after a result that was passed on uncounted")
                return diagnostics.found_rows
            case SessionKind.CONNECTION_ID:
                return self.identity.connection_id
            case SessionKind.DATABASE:
                return self.state.database
            case SessionKind.USER | SessionKind.CURRENT_USER:
                return f"{self.identity.user}@{self.identity.host}"

    def variable(self, name: str) -> Any:
        """A system variable's value when the proxy holds it, else NotImplemented."""
        name = ALIASES.get(name, name)
        state = self.state
        match name:
            case "autocommit":
                return int(state.autocommit)
            case "transaction_isolation":
                return state.characteristics.isolation.value
            case "transaction_read_only":
                return int(state.characteristics.read_only)
            case "innodb_snapshot_isolation":
                return int(state.characteristics.snapshot_isolation)
            case "last_insert_id" | "identity":
                return state.diagnostics.last_insert_id
            case "warning_count":
                return len(state.diagnostics.conditions)
            case "error_count":
                return sum(condition.level == "Error" for condition in state.diagnostics.conditions)
            case "txguard_start_ts":
                return self.start_ts()
            case "pseudo_thread_id":
                return self.identity.connection_id
            case "max_allowed_packet":
                return self.identity.max_packet_bytes
            case "hostname":
                return _HOSTNAME
            case "port":
                return self.identity.port
            case "version_comment":
                return "TxGuard"
            case "auto_increment_increment" | "auto_increment_offset":
                return 1
        variable = VARIABLES.get(name)
        if variable is not None and variable.holder is Holder.PROXY:
            return state.variables.get(name, variable.default)
        return NotImplemented

    def shown(self, name: str) -> str | None:
        """The value as SHOW VARIABLES has it, when the proxy holds the variable, else None."""
        value = self.variable(name.lower())
        if value is NotImplemented:
            return None
        variable = VARIABLES.get(ALIASES.get(name.lower(), name.lower()))
        if variable is not None and variable.boolean:
            return "ON" if value else "OFF"
        return str(value)

    async def shard_value(self, name: str) -> UserValue:
        """What a shard has for a variable, with the session's settings. Raises ShardError 1193 for an unknown one."""
        held = self.variable(name)
        if held is not NotImplemented:
            value: UserValue = held
            return value
        if not name.replace("_", "").isalnum():
            raise ShardError(1193, "HY000", f"Unknown system variable '{name}'")
        try:
            return await self.shards.evaluate(f"@@SESSION.{name}")
        except ShardError as error:
            if error.errno != ER_INCORRECT_GLOBAL_LOCAL_VAR:
                raise
            return await self.shards.evaluate(f"@@GLOBAL.{name}")


def _sql(value: UserValue) -> str:
    """Numeric strings stay strings here: a user variable that holds '007' is a string."""
    return quote_text(value) if isinstance(value, str) else literal_of(value)

"""SET: checks every assignment first, then makes them all, so that a failing SET changes nothing.

Owns the meaning of each kind of variable. An assignment is a change to the `SessionState` that cannot fail any
more. What ends a transaction (autocommit from 0 to 1) is left to the caller, whom `run` tells.
Source: MySQL manual, "SET Syntax for Variable Assignment", "SET TRANSACTION Statement".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from proxy.errors import NotSupported
from proxy.session.charset_settings import CHARSET_VARIABLES, set_charset_variable, set_names
from proxy.session.errors import (
    CharacteristicsInTransaction,
    GlobalVariableDenied,
    UnknownVariable,
    WrongTypeForVariable,
)
from proxy.session.session_values import SessionValues
from proxy.session.shard_questions import SettingsMemory, Shards, literal_of
from proxy.session.state import SessionState, UserValue
from proxy.session.time_travel import SNAPSHOT_VARIABLE, session_instant
from proxy.session.variables import ALIASES, VARIABLES, Holder, Variable, VariableValue, parse_isolation
from proxy.sql.operands import Scalar
from proxy.sql.plan import (
    SetItem,
    SetNames,
    SetPlan,
    SetTransaction,
    SetUserVariable,
    SetVariable,
    VariableScope,
)
from proxy.sql.template import Bindings, SessionValue, Template
from txguard.engine.branch import Isolation
from txguard.engine.shard import ShardError

Assignment = Callable[[SessionState], None]
ER_UNKNOWN_SYSTEM_VARIABLE = 1193


@dataclass(slots=True)
class SetStatement:
    """One SET being carried out. `literals` are those of the planned statement."""

    state: SessionState
    values: SessionValues
    shards: Shards
    memory: SettingsMemory
    literals: tuple[str, ...]
    in_transaction: bool
    one_shot: bool
    """SET @@transaction_isolation = …, without SESSION: for the next transaction only."""
    usual: Mapping[str, str] = field(default_factory=dict)
    """What a shard's connection has where the session sets nothing, beside the shard's own default."""

    async def run(self, plan: SetPlan) -> bool:
        """Make all assignments. True: autocommit went from 0 to 1, so an open transaction is to be committed."""
        assignments = [await self._check(item) for item in plan.items]
        before = self.state.autocommit
        for assign in assignments:
            assign(self.state)
        return self.state.autocommit and not before

    async def _check(self, item: SetVariable | SetUserVariable | SetNames | SetTransaction) -> Assignment:
        match item:
            case SetNames():
                return await set_names(item, self.state, self.shards)
            case SetTransaction():
                return self._transaction(item)
            case SetUserVariable():
                value = await self._value(item.constant, item.value, item.expression)
                return _set_user_variable(item.name, value)
            case SetVariable():
                return await self._variable(item)

    async def _value(self, constant: bool, value: Scalar, expression: Template) -> UserValue:
        if constant:
            return value
        if len(expression.parts) == 1 and isinstance(expression.parts[0], SessionValue):
            local = self.values.local(expression.parts[0])
            if local is not NotImplemented:
                held: UserValue = local
                return held
        text = expression.render(Bindings(literals=self.literals, session=self.values.literal))
        return await self.shards.evaluate(text)

    # ------------------------------------------------------------ system variables

    async def _variable(self, item: SetVariable) -> Assignment:
        if item.scope is VariableScope.GLOBAL:
            raise GlobalVariableDenied
        name = ALIASES.get(item.name, item.name)
        if item.default:
            return await self._default(name)
        given = await self._value(item.constant, item.value, item.expression)
        if name in CHARSET_VARIABLES:
            return await set_charset_variable(name, given, self.state, self.shards)
        value = _variable_value(given)
        if name in ("last_insert_id", "identity"):
            return _set_last_insert_id(name, value)
        variable = VARIABLES.get(name) or Variable(name, Holder.FIXED, lambda _, same: same)
        value = variable.parse(name, value)
        if variable.holder is Holder.SHARD:
            return await self._shard_variable(name, literal_of(value))
        if variable.holder is Holder.FIXED:
            await self._require_present_value(name, value)
            return _nothing
        if name == SNAPSHOT_VARIABLE:
            return await self._snapshot(value)
        return self._proxy_variable(name, value)

    async def _snapshot(self, value: VariableValue) -> Assignment:
        instant = await session_instant(value, self.shards)

        def assign(state: SessionState) -> None:
            state.snapshot_ts = instant
            state.variables[SNAPSHOT_VARIABLE] = "" if instant is None else value

        return assign

    async def _default(self, name: str) -> Assignment:
        if name in CHARSET_VARIABLES:
            return await set_charset_variable(name, None, self.state, self.shards, default=True)
        variable = VARIABLES.get(name)
        if variable is None or variable.holder is Holder.FIXED:
            await self.values.shard_value(name)
            return _nothing
        if variable.holder is Holder.READ_ONLY:
            variable.parse(name, None)
        if variable.holder is Holder.SHARD:
            await self.values.shard_value(name)
            return lambda state: _drop(state.shard_variables, name)
        if name == SNAPSHOT_VARIABLE:
            return await self._snapshot(variable.default)
        return self._proxy_variable(name, variable.default)

    def _proxy_variable(self, name: str, value: VariableValue) -> Assignment:
        if name == "autocommit":
            return lambda state: setattr(state, "autocommit", bool(value))
        if name == "transaction_isolation":
            return self._characteristics(Isolation(parse_isolation(name, value)), None, self.one_shot)
        if name == "transaction_read_only":
            return self._characteristics(None, bool(value), self.one_shot)
        if name == "innodb_snapshot_isolation":
            return lambda state: setattr(state.characteristics, "snapshot_isolation", bool(value))
        if name == "insert_id" and value != 0:
            raise NotSupported("SET insert_id")
        return lambda state: state.variables.__setitem__(name, value)

    async def _shard_variable(self, name: str, literal: str) -> Assignment:
        current = self.state.shard_variables.get(name, self.usual.get(name))
        accepted = await self.memory.check(self.shards, name, literal, current)
        return lambda state: state.shard_variables.__setitem__(name, accepted)

    async def _require_present_value(self, name: str, value: VariableValue) -> None:
        try:
            present = await self.values.shard_value(name)
        except ShardError as error:
            if error.errno == ER_UNKNOWN_SYSTEM_VARIABLE:
                raise UnknownVariable(name) from None
            raise
        if _comparable(value) != _comparable(present):
            raise NotSupported(
                f"setting @@{name} to another value than its present one ({_comparable(present)})"
            )

    # ------------------------------------------------------------ SET TRANSACTION

    def _transaction(self, item: SetTransaction) -> Assignment:
        if item.scope is VariableScope.GLOBAL:
            raise GlobalVariableDenied
        isolation = None
        if item.isolation is not None:
            isolation = Isolation(parse_isolation("transaction_isolation", item.isolation))
        return self._characteristics(isolation, item.read_only, item.scope is VariableScope.DEFAULT)

    def _characteristics(self, isolation: Isolation | None, read_only: bool | None, once: bool) -> Assignment:
        if once and self.in_transaction:
            raise CharacteristicsInTransaction
        isolation_field, read_only_field = (
            ("next_isolation", "next_read_only") if once else ("isolation", "read_only")
        )

        def assign(state: SessionState) -> None:
            if isolation is not None:
                setattr(state.characteristics, isolation_field, isolation)
            if read_only is not None:
                setattr(state.characteristics, read_only_field, read_only)

        return assign


def require_for_one_statement(item: SetItem) -> None:
    """SET STATEMENT sets what the shards act on. Raises NotSupported for anything else."""
    assert isinstance(item, SetVariable)
    variable = VARIABLES.get(item.name)
    if variable is None or variable.holder is not Holder.SHARD or item.scope is VariableScope.GLOBAL:
        raise NotSupported(f"SET STATEMENT of {item.name}")


def uses_one_shot_form(sql: str) -> bool:
    """Whether `sql` writes a transaction variable as @@name without a scope, which means: once."""
    return _ONE_SHOT.search(sql) is not None


_ONE_SHOT = re.compile(r"@@\s*(?:transaction|tx)_(?:isolation|read_only)\s*:?=", re.IGNORECASE)


def _nothing(state: SessionState) -> None:
    """An assignment of what is already so."""


def _drop(mapping: dict[str, str], name: str) -> None:
    mapping.pop(name, None)


def _set_user_variable(name: str, value: UserValue) -> Assignment:
    return lambda state: state.user_variables.__setitem__(name, value)


def _set_last_insert_id(name: str, value: VariableValue) -> Assignment:
    if not isinstance(value, int):
        raise WrongTypeForVariable(name)
    return lambda state: setattr(state.diagnostics, "last_insert_id", value)


def _variable_value(given: UserValue) -> VariableValue:
    if isinstance(given, Decimal):
        return int(given) if given == given.to_integral_value() else float(given)
    return given.decode("utf-8", "replace") if isinstance(given, bytes) else given


_WORDS = {"on": "1", "true": "1", "off": "0", "false": "0", "": "0"}


def _comparable(value: UserValue) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return _WORDS.get(text.lower(), text.lower())

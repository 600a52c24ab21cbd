"""The plans of everything that is no query: session statements, SET, transaction control, DDL, KILL.

`proxy.sql.plan` gives them out beside the others.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from proxy.sql.operands import Scalar
from proxy.sql.template import Template


class VariableScope(enum.Enum):
    DEFAULT = "default"
    SESSION = "session"
    GLOBAL = "global"


@dataclass(frozen=True, slots=True)
class ShowVariablesPlan:
    """SHOW [SESSION|GLOBAL] VARIABLES [LIKE | WHERE]: a shard's answer, where the session's own values replace it."""

    text: str
    scope: VariableScope


@dataclass(frozen=True, slots=True)
class ShowWarningsPlan:
    """SHOW WARNINGS | ERRORS [LIMIT]; `count`: SHOW COUNT(*) WARNINGS."""

    errors_only: bool
    count: bool
    text: str


@dataclass(frozen=True, slots=True)
class ShowProcesslistPlan:
    full: bool


class AdminTopic(enum.Enum):
    STATUS = "STATUS"
    SHARDS = "SHARDS"
    TRANSACTIONS = "TRANSACTIONS"
    TRANSACTION = "TRANSACTION"
    """TRANSACTION n: the outcome of one, by its start_ts."""
    LOCKS = "LOCKS"
    DEADLOCKS = "DEADLOCKS"


@dataclass(frozen=True, slots=True)
class AdminShowPlan:
    topic: AdminTopic
    start_ts: int | None = None
    """Of TRANSACTION."""


@dataclass(frozen=True, slots=True)
class KillPlan:
    """KILL [CONNECTION | QUERY] id, of the proxy's own connections."""

    connection_id: int
    query_only: bool


@dataclass(frozen=True, slots=True)
class UsePlan:
    database: str


@dataclass(frozen=True, slots=True)
class DoPlan:
    """DO: its expressions as a SELECT of any one shard, whose answer is not shown."""

    template: Template


@dataclass(frozen=True, slots=True)
class EmptyPlan:
    """A statement that asks nothing of TxGuard (UNLOCK TABLES, FLUSH …, a comment): answer OK."""


# ---------------------------------------------------------------- SET


@dataclass(frozen=True, slots=True)
class SetVariable:
    """`name` in lower case. `value` is known when `constant`; otherwise `expression` is to be asked of a shard.

    `default`: SET x = DEFAULT. A bare word (SET x = ON) is a constant string.
    """

    scope: VariableScope
    name: str
    constant: bool
    value: Scalar
    expression: Template
    default: bool = False


@dataclass(frozen=True, slots=True)
class SetUserVariable:
    """SET @name = expression: as SetVariable."""

    name: str
    constant: bool
    value: Scalar
    expression: Template


@dataclass(frozen=True, slots=True)
class SetNames:
    """SET NAMES x [COLLATE y]; `character_set` None: DEFAULT. `client_only`: SET CHARACTER SET."""

    character_set: str | None
    collation: str | None
    client_only: bool = False


@dataclass(frozen=True, slots=True)
class SetTransaction:
    """SET [SESSION|GLOBAL] TRANSACTION; `scope` DEFAULT: the next transaction only. None: not mentioned."""

    scope: VariableScope
    isolation: str | None
    """As the variable has it: READ-COMMITTED, REPEATABLE-READ, …"""
    read_only: bool | None


SetItem = SetVariable | SetUserVariable | SetNames | SetTransaction


@dataclass(frozen=True, slots=True)
class SetPlan:
    items: tuple[SetItem, ...]


@dataclass(frozen=True, slots=True)
class SetStatementPlan:
    """MariaDB's SET STATEMENT … FOR: settings that hold for one statement, which is planned when they do."""

    settings: SetPlan
    statement: str


# ---------------------------------------------------------------- transactions


@dataclass(frozen=True, slots=True)
class BeginPlan:
    consistent_snapshot: bool = False
    read_only: bool | None = None
    as_of: Template | None = None
    """READ ONLY AS OF TIMESTAMP: an SQL expression."""


@dataclass(frozen=True, slots=True)
class CommitPlan:
    chain: bool = False
    release: bool = False


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    chain: bool = False
    release: bool = False


@dataclass(frozen=True, slots=True)
class SavepointPlan:
    name: str


@dataclass(frozen=True, slots=True)
class RollbackToPlan:
    name: str


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    name: str


# ---------------------------------------------------------------- DDL


class DdlKind(enum.Enum):
    CREATE_TABLE = "CREATE TABLE"
    DROP_TABLE = "DROP TABLE"
    TRUNCATE_TABLE = "TRUNCATE TABLE"
    CREATE_DATABASE = "CREATE DATABASE"
    DROP_DATABASE = "DROP DATABASE"
    CREATE_INDEX = "CREATE INDEX"
    DROP_INDEX = "DROP INDEX"
    ADOPT_TABLE = "ADOPT TABLE"
    """TxGuard's own: take a table that is on one shard already, with its rows, into the catalog."""


@dataclass(frozen=True, slots=True)
class TableName:
    schema: str
    name: str


@dataclass(frozen=True, slots=True)
class DdlPlan:
    """`conditional`: IF [NOT] EXISTS. `tables`: one, or several of a DROP TABLE. `database`: of a DATABASE statement.

    `text`: the statement without comments. `hints`: what a comment `/* txguard: reference */` or
    `/* txguard: shard_key=customer_id */` or `/* txguard: single, home=shard1 */` anywhere in it says.
    """

    kind: DdlKind
    text: str
    tables: tuple[TableName, ...]
    database: str | None
    conditional: bool
    hints: tuple[tuple[str, str], ...] = ()
    references: tuple[str, ...] = ()
    """Databases that foreign keys name."""

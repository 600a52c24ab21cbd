"""What a statement means to the proxy: the plan's variants, which the session and the executor match on.

    Planned                what `Planner.plan` returns: a shared plan + this statement's text and literals
    QueryPlan              SELECT (locking or not), UPDATE, DELETE, INSERT … SELECT on one shard
    InsertPlan             INSERT/REPLACE … VALUES | SET: rows go to their shards
    ShowPlan               SHOW …, DESCRIBE, EXPLAIN: asked of one shard (or all), the internals filtered out
    ShowVariablesPlan, ShowWarningsPlan, ShowProcesslistPlan, AdminShowPlan, KillPlan, UsePlan, DoPlan, EmptyPlan
                           answered by the session
    SetPlan                SET: variables, NAMES, CHARACTER SET, TRANSACTION, user variables
    BeginPlan, CommitPlan, RollbackPlan, SavepointPlan, RollbackToPlan, ReleasePlan
    DdlPlan                CREATE/DROP/TRUNCATE TABLE, CREATE/DROP DATABASE, CREATE/DROP INDEX

Everything else raises NotSupported or ParseError from the planner. How the executor uses a QueryPlan:
1. shards from `route` (below). Exactly one shard: send `planned.sql` when `template_only` is false, else
   `template.render(bindings)`. For a read in a view whose X is not empty: `template.render` with `too_new`.
2. several shards: `scatter` None raises NotSupported(scatter_refusal); else send `scatter.template.render(bindings)`
   (again with `too_new` where X is not empty) to each and merge the decoded rows by `scatter.merge`. Writes:
   `scatter.merge` is None: send the text to each, add the affected rows up; `replicated`: every shard does the same,
   answer with one shard's reply.
3. a prepared statement for one shard runs the client's own text as a prepared statement there; otherwise it is
   rendered with its parameters as SQL literals and runs as text.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from proxy.routing.tables import Table
from proxy.sql.merge_spec import Merge
from proxy.sql.operands import Operand, Scalar
from proxy.sql.statement_plans import (
    AdminShowPlan,
    AdminTopic,
    BeginPlan,
    CommitPlan,
    DdlKind,
    DdlPlan,
    DoPlan,
    EmptyPlan,
    KillPlan,
    ReleasePlan,
    RollbackPlan,
    RollbackToPlan,
    SavepointPlan,
    SetItem,
    SetNames,
    SetPlan,
    SetStatementPlan,
    SetTransaction,
    SetUserVariable,
    SetVariable,
    ShowProcesslistPlan,
    ShowVariablesPlan,
    ShowWarningsPlan,
    TableName,
    UsePlan,
    VariableScope,
)
from proxy.sql.template import AwayRows, SessionValue, Template
from tso.types import ShardName

__all__ = [
    "Access",
    "AdminShowPlan",
    "AdminTopic",
    "AllShards",
    "AnyShard",
    "BeginPlan",
    "ByKeys",
    "Check",
    "CommitPlan",
    "DdlKind",
    "DdlPlan",
    "DoPlan",
    "EmptyPlan",
    "FirstShard",
    "InsertPlan",
    "InsertRow",
    "KillPlan",
    "OneShard",
    "Plan",
    "Planned",
    "QueryPlan",
    "ReleasePlan",
    "RollbackPlan",
    "RollbackToPlan",
    "Route",
    "SameShard",
    "SavepointPlan",
    "Scatter",
    "SetItem",
    "SetNames",
    "SetPlan",
    "SetStatementPlan",
    "SetTransaction",
    "SetUserVariable",
    "SetVariable",
    "ShowFilter",
    "ShowPlan",
    "ShowProcesslistPlan",
    "ShowVariablesPlan",
    "ShowWarningsPlan",
    "TableName",
    "UsePlan",
    "VariableScope",
    "needs_generated",
]


class Access(enum.Enum):
    READ = "read"
    """A consistent (non-locking) read."""
    LOCKING_READ = "locking read"
    """FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE."""
    WRITE = "write"


# ---------------------------------------------------------------- routes


@dataclass(frozen=True, slots=True)
class ByKeys:
    """The shards that hold rows of `table` whose shard key equals one of `keys`.

    A NULL key matches no row. When all are NULL any one shard gives the (empty) answer. A value that the router
    cannot place (a number against a string column, a hexadecimal literal, …) makes it AllShards.
    """

    table: Table
    keys: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class SameShard:
    """Several ByKeys (of different tables, subqueries or UNION members) that must all name one and the same shard.

    If they name several, or one of them cannot be placed: NotSupported(`QueryPlan.scatter_refusal`).
    """

    members: tuple[ByKeys, ...]


@dataclass(frozen=True, slots=True)
class AnyShard:
    """Any one shard: reference tables only, or no table at all. One that the transaction already uses is best."""


@dataclass(frozen=True, slots=True)
class FirstShard:
    """The first shard by name, always the same one: locking reads of reference tables, information_schema."""


@dataclass(frozen=True, slots=True)
class AllShards:
    pass


@dataclass(frozen=True, slots=True)
class OneShard:
    """A single table's home."""

    home: ShardName


Route = ByKeys | SameShard | AnyShard | FirstShard | AllShards | OneShard


# ---------------------------------------------------------------- queries


@dataclass(frozen=True, slots=True)
class Check:
    """[R1] What the engine's ConflictCheck is made from: `where` speaks of the table's columns without qualifiers.

    `where` None: any row of the table. A rendered `where` that holds non-UTF-8 bytes (surrogate escapes) is to be
    taken as None too.
    """

    table: Table
    where: Template | None


@dataclass(frozen=True, slots=True)
class Scatter:
    """`merge` None: a write; the affected rows add up."""

    template: Template
    merge: Merge | None


@dataclass(frozen=True, slots=True)
class QueryPlan:
    access: Access
    route: Route
    tables: tuple[Table, ...]
    """All tables the statement touches, each once; `managed` ones need the engine, none at all needs no [R5]."""
    written: tuple[Table, ...]
    """Those it writes (WRITE) or locks (LOCKING_READ)."""
    template: Template
    """The statement as the client wrote it, with holes: for session values, X of [R3], conflict checks."""
    template_only: bool
    """The client's text must not be sent as it is (session values, information_schema): render `template`."""
    session_values: tuple[SessionValue, ...]
    scatter: Scatter | None
    scatter_refusal: str
    """The construct that NotSupported names when `route` gives several shards and `scatter` is None."""
    joins: bool
    """More than one managed table (or one twice) in a consistent read: wants a quiet snapshot."""
    patchable: bool
    """[R3] False: the patched form cannot be made (PARTITION selection …): X must be empty, else NotSupported."""
    checks: tuple[Check, ...]
    """[R1] to be asked after a WRITE or LOCKING_READ under a snapshot…"""
    expected_rows: int | None
    """…unless this many rows were found (matched, not changed): the statement is a point by whole primary key."""
    inserts: bool
    """INSERT … SELECT."""
    replicated: bool
    """A write of reference tables: the same on all shards (the router gives all), one reply is the answer."""
    returns_rows: bool
    """SELECT, or a write with RETURNING: one shard only."""
    shares: bool = False
    """A LOCKING_READ that takes shared locks only."""
    reads: tuple[Table, ...] = ()
    """Managed tables that a WRITE reads without writing them (INSERT … SELECT, joins, subqueries): it sees their
    undecided rows, so it must be validated like a locking read [R5] before it may stand."""
    away: tuple[AwayRows, ...] = ()
    """The holes of `template` for which other shards are to be asked before."""
    counts_all: bool = False
    """SQL_CALC_FOUND_ROWS: FOUND_ROWS() is what the shard says afterwards."""
    as_of: Template | None = None
    """AS OF TIMESTAMP: the instant, as an SQL expression; None: the present, or what the session says."""
    again: bool = False
    """[S-again] A SELECT that may look up by a unique secondary key: its templates have a form that does not wait."""
    look: Template | None = None
    """[S-again] What a WRITE that may do so locks first."""


def reads_one_row(plan: QueryPlan) -> bool:
    """A point read by the whole primary key: one row is a state of its own, whatever else is being committed."""
    route = plan.route
    return (
        type(route) is ByKeys
        and len(route.keys) == 1
        and len(plan.tables) == 1
        and not plan.joins
        and route.table.primary_key == (route.table.shard_key,)
    )


@dataclass(frozen=True, slots=True)
class InsertRow:
    """One row of VALUES. `template` is `(…)` with a Generated hole where the AUTO_INCREMENT value stands."""

    template: Template
    key: Operand | None
    """The shard key's value; None: it is the generated AUTO_INCREMENT value (or the table is not sharded)."""
    auto: Operand | None
    """What the client gave for the AUTO_INCREMENT column: None when nothing or DEFAULT; see `needs_generated`."""


@dataclass(frozen=True, slots=True)
class InsertPlan:
    """INSERT and REPLACE. Text for a shard: `head` + its rows joined by ", " + `tail`.

    `planned.sql` may be sent as it is when one shard gets all rows, no row needs a generated value and
    `template_only` is false. The AUTO_INCREMENT column, when the table has one, is in the column list of `head`
    even if the client left it out; a row that needs a value gets it by `Bindings.generated`. When every row brings
    its own value (explicit ids), the sequence must move past the greatest.
    """

    table: Table
    route: AllShards | OneShard | None
    """None: by each row's `key`. AllShards: a reference table (`replicated`)."""
    head: Template
    rows: tuple[InsertRow, ...]
    tail: Template
    auto_column: str | None
    auto_is_key: bool
    """The AUTO_INCREMENT column is the shard key: the generated value routes the row."""
    template_only: bool
    session_values: tuple[SessionValue, ...]
    replace: bool
    ignore: bool
    on_duplicate: bool
    """Affected rows are then 2 for an updated row, as the shard says."""
    replicated: bool
    returns_rows: bool
    """RETURNING: one shard only."""


def needs_generated(value: Scalar, *, no_auto_value_on_zero: bool = False) -> bool:
    """Whether an AUTO_INCREMENT column that is given `value` takes the next of the sequence instead."""
    return value is None or (not no_auto_value_on_zero and value in (0, "0", ""))


# ---------------------------------------------------------------- SHOW and the session's own


class ShowFilter(enum.Enum):
    """What must not be seen in the answer; `proxy.executor.collate.filter_show` does it."""

    NONE = "none"
    DATABASES = "databases"
    TABLES = "tables"
    COLUMNS = "columns"
    INDEXES = "indexes"
    TRIGGERS = "triggers"
    CREATE_TABLE = "create table"
    EXPLAIN = "explain"
    """Asked of one shard of the route."""
    TABLE_STATUS = "table status"
    """Of `ShowPlan.schema`; the parts' figures are added up (`proxy.executor.table_status`)."""


@dataclass(frozen=True, slots=True)
class ShowPlan:
    """SHOW, DESCRIBE, EXPLAIN: `text` is run on `route`.

    AllShards: the union of the answers without duplicates, in the order of the first column (SHOW TABLES when
    single tables live elsewhere). `filter` is applied to the merged rows.
    """

    text: str
    route: Route
    filter: ShowFilter
    tables: tuple[Table, ...] = ()
    """Those that are shown or explained."""
    schema: str | None = None
    """The database that is shown."""


Plan = (
    QueryPlan
    | InsertPlan
    | ShowPlan
    | ShowVariablesPlan
    | ShowWarningsPlan
    | ShowProcesslistPlan
    | AdminShowPlan
    | KillPlan
    | UsePlan
    | DoPlan
    | EmptyPlan
    | SetPlan
    | SetStatementPlan
    | BeginPlan
    | CommitPlan
    | RollbackPlan
    | SavepointPlan
    | RollbackToPlan
    | ReleasePlan
    | DdlPlan
)


class Planned:
    """One statement's plan. `sql` is the client's bytes as UTF-8 with surrogate escapes; encode it the same way."""

    __slots__ = ("literals", "parameters", "plan", "sql")

    def __init__(self, plan: Plan, sql: str, literals: tuple[str, ...], parameters: int) -> None:
        self.plan, self.sql, self.literals = plan, sql, literals
        self.parameters = parameters
        """How many parameter markers the statement has."""

"""How the answers of several shards become one: the plan's half of scatter-gather.

A shard is asked for the client's own columns, unchanged (so names and types are MySQL's), followed by `hidden`
columns that only the merge needs. A column is named by its index in the row: from 0 for the client's columns, and
from -hidden for the hidden ones, as Python indexes. The merge itself is `proxy.executor.merge`.

The order and equality of strings are their collation's: shards answer WEIGHT_STRING beside them. Source: MySQL 8.0
manual, "WEIGHT_STRING()", "Handling of GROUP BY", "LIMIT Query Optimization".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from proxy.sql.operands import Operand


@dataclass(frozen=True, slots=True)
class Key:
    """What orders or groups rows.

    `value`: the column itself; None when it is known to be a string. `weight`: its WEIGHT_STRING, and `space`: the
    weight of a space in its collation (empty: a NO PAD collation); None when it is known not to be a string. With
    all three the shard's answer decides by the type of `value`.
    """

    value: int | None
    weight: int | None = None
    space: int | None = None
    descending: bool = False


class Combine(enum.Enum):
    """How one column of a group's rows from several shards becomes one value."""

    SUM = "SUM"
    """SUM of sums; NULLs are passed over."""
    COUNT = "COUNT"
    """Sum of counts, never NULL."""
    COUNT_DISTINCT = "COUNT(DISTINCT)"
    """The number of different values of `key` that are not NULL: each shard answers one row for each."""
    MIN = "MIN"
    MAX = "MAX"
    BIT_AND = "BIT_AND"
    BIT_OR = "BIT_OR"
    BIT_XOR = "BIT_XOR"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`column` of the merged row by `how`. MIN and MAX compare by `key`, whose columns follow the winner's row."""

    column: int
    how: Combine
    key: Key | None = None


class Operator(enum.Enum):
    COLUMN = "column"
    NUMBER = "number"
    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    COALESCE = "COALESCE"
    ROUND = "ROUND"


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression over merged columns, computed as MySQL does: exact in decimals, IEEE in doubles.

    COLUMN: `column`. NUMBER: `number`. ROUND: the second argument is a NUMBER. DIVIDE stands at the top only, or
    under ROUND and COALESCE: MySQL's own scale for a quotient inside another operation is not reproduced.
    """

    operator: Operator
    arguments: tuple[Formula, ...] = ()
    column: int = 0
    number: Operand | None = None


@dataclass(frozen=True, slots=True)
class Computed:
    """`column` is `formula` of the merged row (AVG as SUM over COUNT, SUM(a)+1, …); its type and scale stay."""

    column: int
    formula: Formula


class Comparison(enum.Enum):
    EQUAL = "="
    NOT_EQUAL = "<>"
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    IS_NULL = "IS NULL"
    IS_NOT_NULL = "IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Condition:
    """One conjunct of HAVING: a number column of the merged row against a number."""

    column: int
    comparison: Comparison
    operand: Operand | None = None


@dataclass(frozen=True, slots=True)
class Merge:
    """How to merge. The steps, in order: group, compute, HAVING, DISTINCT, ORDER BY, LIMIT, drop hidden columns.

    `group_by` None: rows stay as they are, and each shard's are sorted by `order_by` already (merge them as they
    come). Not None: gather all rows, group (() is one group), combine, and sort anew. `distinct`: rows equal in all
    of these keys are one. `limit` None: no limit.
    """

    hidden: int = 0
    group_by: tuple[Key, ...] | None = None
    of_nothing: bool = True
    """Whether one group that has no rows is a row, as without a GROUP BY."""
    aggregates: tuple[Aggregate, ...] = ()
    computed: tuple[Computed, ...] = ()
    having: tuple[Condition, ...] = ()
    distinct: tuple[Key, ...] | None = None
    order_by: tuple[Key, ...] = ()
    limit: Operand | None = None
    offset: Operand | None = None

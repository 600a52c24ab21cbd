"""[R3] The planner's way to the patched source of a managed table.

Owns nothing but the fit between a catalog's `Table` and `txguard.engine.patch`.
"""

from __future__ import annotations

from proxy.routing.tables import Column, Table
from txguard.engine.patch import TooNew, changes_type, patched_source


def patched_table(table: Table, too_new: TooNew, alias: str) -> str:
    """The derived table that a view with too-new versions reads in place of `table`, with its alias."""
    columns = [column.name for column in table.columns]
    return patched_source(table.schema, table.name, columns, too_new, alias)


def patched_lax_table(table: Table, too_new: TooNew, alias: str) -> str:
    """As `patched_table`, in a transaction that may have written over too-new versions."""
    columns = [column.name for column in table.columns]
    return patched_source(
        table.schema, table.name, columns, too_new, alias, overwritten_by_key=table.primary_key
    )


def keeps_type(column: Column) -> bool:
    """Whether the column is the same in the derived table: ENUM and SET lose their number, ZEROFILL its zeros."""
    return not changes_type(column.type_name, column.column_type)

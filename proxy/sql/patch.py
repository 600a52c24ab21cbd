"""[R3] The planner's way to the patched source of a managed table.

Owns nothing but the fit between a catalog's `Table` and `txguard.engine.managed.patched_source`.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.routing.tables import Table
from tso.types import Timestamp
from txguard.engine.managed import patched_source


def patched_table(table: Table, too_new: Sequence[Timestamp], alias: str) -> str:
    """The derived table that a view with too-new versions reads in place of `table`, with its alias."""
    columns = [column.name for column in table.columns]
    return patched_source(table.schema, table.name, columns, too_new, alias)

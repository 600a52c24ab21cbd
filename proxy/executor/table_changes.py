"""A statement that ran while its tables were dropped, truncated or made anew may have looked in the wrong places.

The rule: a statement stands only if, when it ends, its tables are still those that it was planned with.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.errors import ProxyError
from proxy.routing.catalog_store import CatalogStore
from proxy.routing.tables import Table


class TableChanged(ProxyError):
    """A table was dropped, truncated or made anew while the statement ran; run it again.

    A transaction that was writing it has been rolled back.
    """

    errno = 1412
    sqlstate = "HY000"

    def __init__(self) -> None:
        super().__init__("Table definition has changed, please retry transaction")


def require_unchanged(store: CatalogStore, tables: Iterable[Table]) -> None:
    if not store.unchanged(tables):
        raise TableChanged

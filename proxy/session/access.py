"""Which databases a session's user may use, and which exist at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from proxy.errors import UnknownDatabase
from proxy.routing.catalog import Catalog
from proxy.routing.tables import Table
from proxy.session.errors import DatabaseDenied
from txguard.engine.install import DATABASE

SYSTEM_DATABASES = frozenset(("information_schema", "performance_schema", "mysql", "sys"))


class Access:
    """`allowed` None: all databases."""

    def __init__(
        self, user: str, host: str, allowed: frozenset[str] | None, catalog: Callable[[], Catalog]
    ) -> None:
        self._user, self._host, self._allowed = user, host, allowed
        self._catalog = catalog

    def check_database(self, database: str) -> None:
        """Raises DatabaseDenied. TxGuard's own is for nobody."""
        name = database.lower()
        denied = self._allowed is not None and database not in self._allowed and name != "information_schema"
        if denied or name == DATABASE:
            raise DatabaseDenied(self._user, self._host, database)

    def require_database(self, database: str) -> None:
        """For USE: it must exist too. Raises DatabaseDenied, UnknownDatabase."""
        self.check_database(database)
        catalog = self._catalog()
        if database.lower() not in SYSTEM_DATABASES and catalog.fold(database) not in catalog.schemas:
            raise UnknownDatabase(f"Unknown database '{database}'")

    def allows(self, tables: Iterable[Table]) -> bool:
        return self._allowed is None or all(table.schema in self._allowed for table in tables)

    def check_tables(self, tables: Iterable[Table]) -> None:
        if self._allowed is not None:
            for table in tables:
                self.check_database(table.schema)

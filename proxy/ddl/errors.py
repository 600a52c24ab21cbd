"""The errors of data definition statements, with MySQL's own numbers and texts."""

from __future__ import annotations

from proxy.errors import ProxyError


class UnknownTable(ProxyError):
    """DROP TABLE of a table that is not there."""

    errno = 1051
    sqlstate = "42S02"

    def __init__(self, tables: str) -> None:
        super().__init__(f"Unknown table '{tables}'")


class DatabaseExists(ProxyError):
    errno = 1007
    sqlstate = "HY000"

    def __init__(self, database: str) -> None:
        super().__init__(f"Can't create database '{database}'; database exists")


class NoSuchDatabase(ProxyError):
    """DROP DATABASE of a database that is not there."""

    errno = 1008
    sqlstate = "HY000"

    def __init__(self, database: str) -> None:
        super().__init__(f"Can't drop database '{database}'; database doesn't exist")


class SystemDatabase(ProxyError):
    """Data definition in a database that belongs to the server or to TxGuard."""

    errno = 1044
    sqlstate = "42000"

    def __init__(self, database: str) -> None:
        super().__init__(f"Access denied to database '{database}': it belongs to the server or to TxGuard")


class DuplicateIndex(ProxyError):
    errno = 1061
    sqlstate = "42000"

    def __init__(self, index: str) -> None:
        super().__init__(f"Duplicate key name '{index}'")


class NoSuchIndex(ProxyError):
    errno = 1091
    sqlstate = "42000"

    def __init__(self, index: str) -> None:
        super().__init__(f"Can't DROP '{index}'; check that column/key exists")


class NoSuchKeyColumn(ProxyError):
    """A hint names a shard key that is not among the table's columns."""

    errno = 1072
    sqlstate = "42000"

    def __init__(self, column: str) -> None:
        super().__init__(f"Key column '{column}' doesn't exist in table")


class ReferencedTable(ProxyError):
    """DROP or TRUNCATE of a table that another one's foreign key references."""

    errno = 1701
    sqlstate = "42000"

    def __init__(self, action: str, table: str, constraint: str, child: str) -> None:
        super().__init__(
            f"Cannot {action} table '{table}' referenced in a foreign key constraint ('{constraint}' of '{child}')"
        )


class BadHint(ProxyError):
    """A `txguard:` hint that says nothing TxGuard knows."""

    errno = 1231
    sqlstate = "42000"


class NotAdoptable(ProxyError):
    """ADOPT TABLE of a table that is not on exactly one shard, or that the catalog has already."""

    errno = 1105
    sqlstate = "HY000"

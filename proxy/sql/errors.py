"""The errors that reading a statement finds, with MySQL's own numbers and texts."""

from __future__ import annotations

from proxy.errors import ParseError, ProxyError


class SyntaxProblem(ParseError):
    """The statement cannot be read at `position`. The text is MySQL's."""

    def __init__(self, sql: str, position: int) -> None:
        line = sql.count("\n", 0, position) + 1
        near = sql[position : position + 80]
        super().__init__(
            "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server "
            f"version for the right syntax to use near '{near}' at line {line}"
        )


class EmptyQuery(ProxyError):
    """Nothing but white space and comments."""

    errno = 1065
    sqlstate = "42000"

    def __init__(self) -> None:
        super().__init__("Query was empty")


class ColumnCountMismatch(ProxyError):
    """An INSERT's row has more or fewer values than there are columns."""

    errno = 1136
    sqlstate = "21S01"

    def __init__(self, row: int) -> None:
        super().__init__(f"Column count doesn't match value count at row {row}")


class UnknownColumn(ProxyError):
    errno = 1054
    sqlstate = "42S22"

    def __init__(self, column: str, clause: str) -> None:
        super().__init__(f"Unknown column '{column}' in '{clause}'")


class ColumnSpecifiedTwice(ProxyError):
    errno = 1110
    sqlstate = "42000"

    def __init__(self, column: str) -> None:
        super().__init__(f"Column '{column}' specified twice")


class NonUniqueAlias(ProxyError):
    """Two tables of one FROM clause go by the same name."""

    errno = 1066
    sqlstate = "42000"

    def __init__(self, alias: str) -> None:
        super().__init__(f"Not unique table/alias: '{alias}'")


class MissingShardKey(ProxyError):
    """An INSERT leaves out the column by which its row finds a shard, and it has no AUTO_INCREMENT."""

    errno = 1364
    sqlstate = "HY000"

    def __init__(self, column: str) -> None:
        super().__init__(f"Field '{column}' doesn't have a default value (it is the table's shard key)")

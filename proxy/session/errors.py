"""The errors of session statements: variables, prepared statements, transactions, KILL."""

from __future__ import annotations

from proxy.errors import ProxyError


class UnknownVariable(ProxyError):
    """No server knows a system variable of this name."""

    errno = 1193
    sqlstate = "HY000"

    def __init__(self, name: str) -> None:
        super().__init__(f"Unknown system variable '{name}'")


class WrongValueForVariable(ProxyError):
    """The value is not one that the variable can have."""

    errno = 1231
    sqlstate = "42000"

    def __init__(self, name: str, value: object) -> None:
        super().__init__(
            f"Variable '{name}' can't be set to the value of '{'NULL' if value is None else value}'"
        )


class WrongTypeForVariable(ProxyError):
    """A number was expected and something else given, or the other way round."""

    errno = 1232
    sqlstate = "42000"

    def __init__(self, name: str) -> None:
        super().__init__(f"Incorrect argument type to variable '{name}'")


class ReadOnlyVariable(ProxyError):
    """The variable can be read only."""

    errno = 1238
    sqlstate = "HY000"

    def __init__(self, name: str) -> None:
        super().__init__(f"Variable '{name}' is a read only variable")


class GlobalVariableDenied(ProxyError):
    """SET GLOBAL and SET PERSIST would change one shard or all of them for everybody: an operator's task."""

    errno = 1227
    sqlstate = "42000"

    def __init__(self) -> None:
        super().__init__("Access denied; SET GLOBAL is done on the shards themselves, not through TxGuard")


class UnknownCharacterSet(ProxyError):
    """The character set's name is not known."""

    errno = 1115
    sqlstate = "42000"

    def __init__(self, name: str) -> None:
        super().__init__(f"Unknown character set: '{name}'")


class UnknownCollation(ProxyError):
    """The collation's name is not known."""

    errno = 1273
    sqlstate = "HY000"

    def __init__(self, name: str) -> None:
        super().__init__(f"Unknown collation: '{name}'")


class CollationMismatch(ProxyError):
    """The collation belongs to another character set."""

    errno = 1253
    sqlstate = "42000"

    def __init__(self, collation: str, charset: str) -> None:
        super().__init__(f"COLLATION '{collation}' is not valid for CHARACTER SET '{charset}'")


class CharacteristicsInTransaction(ProxyError):
    """SET TRANSACTION without SESSION is for the next transaction, so it is refused inside one."""

    errno = 1568
    sqlstate = "25001"

    def __init__(self) -> None:
        super().__init__("Transaction characteristics can't be changed while a transaction is in progress")


class ReadOnlyTransaction(ProxyError):
    """A write inside START TRANSACTION READ ONLY."""

    errno = 1792
    sqlstate = "25006"

    def __init__(self) -> None:
        super().__init__("Cannot execute statement in a READ ONLY transaction.")


class WrongInstant(ProxyError):
    """AS OF TIMESTAMP, or txguard_snapshot, is given what is neither a date and time nor a timestamp of the oracle."""

    errno = 1292
    sqlstate = "22007"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"Incorrect datetime value: '{text[:100]}' (a time of the past, as 2026-07-31 12:00:00)"
        )


class UnknownSavepoint(ProxyError):
    """ROLLBACK TO or RELEASE of a savepoint that is not set."""

    errno = 1305
    sqlstate = "42000"

    def __init__(self, name: str) -> None:
        super().__init__(f"SAVEPOINT {name} does not exist")


class UnknownStatement(ProxyError):
    """COM_STMT_EXECUTE, FETCH, RESET or SEND_LONG_DATA with an id that is not prepared on this connection."""

    errno = 1243
    sqlstate = "HY000"

    def __init__(self, statement_id: int, command: str) -> None:
        super().__init__(f"Unknown prepared statement handler ({statement_id}) given to {command}")


class TooManyStatements(ProxyError):
    """One session may hold this many prepared statements, so that it cannot eat the proxy's memory."""

    errno = 1461
    sqlstate = "42000"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"Can't create more than max_prepared_stmt_count statements (current value: {limit})"
        )


class WrongParameters(ProxyError):
    """The parameters of COM_STMT_EXECUTE do not fit the prepared statement."""

    errno = 1210
    sqlstate = "HY000"

    def __init__(self, command: str = "mysqld_stmt_execute") -> None:
        super().__init__(f"Incorrect arguments to {command}")


class UnknownThread(ProxyError):
    """KILL of an id that is no connection of this proxy."""

    errno = 1094
    sqlstate = "HY000"

    def __init__(self, thread_id: int) -> None:
        super().__init__(f"Unknown thread id: {thread_id}")


class NotThreadOwner(ProxyError):
    """KILL of another account's connection."""

    errno = 1095
    sqlstate = "HY000"

    def __init__(self, thread_id: int) -> None:
        super().__init__(f"You are not owner of thread {thread_id}")


class DatabaseDenied(ProxyError):
    """The account may not use the database."""

    errno = 1044
    sqlstate = "42000"

    def __init__(self, user: str, host: str, database: str) -> None:
        super().__init__(f"Access denied for user '{user}'@'{host}' to database '{database}'")

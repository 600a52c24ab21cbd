"""The proxy's own errors: one root, each with errno, SQLSTATE and whether a retry is safe."""

from __future__ import annotations

from typing import ClassVar


class ProxyError(Exception):
    """The root. `str(error)` is the text that goes into the ERR packet."""

    errno: ClassVar[int]
    sqlstate: ClassVar[str]
    retry_safe: ClassVar[bool] = True


class NotSupported(ProxyError):
    """The statement is one that TxGuard cannot answer rightly yet; the text names the construct."""

    errno = 1235
    sqlstate = "42000"

    def __init__(self, construct: str) -> None:
        super().__init__(f"TxGuard does not yet support {construct}")
        self.construct = construct


class ParseError(ProxyError):
    """The statement is not SQL that MySQL would accept."""

    errno = 1064
    sqlstate = "42000"


class NestedTooDeeply(ProxyError):
    """The statement's parentheses, operators or subqueries are nested more deeply than they can be read."""

    errno = 1436
    sqlstate = "HY000"

    def __init__(self) -> None:
        super().__init__(
            "The statement is nested too deeply for TxGuard: write it in a flatter way, IN for many ORs"
        )


class NumberOutOfRange(ProxyError):
    """An expression over aggregates has a result that its type cannot hold."""

    errno = 1690
    sqlstate = "22003"


class NoSuchTable(ProxyError):
    """No table of this name is in TxGuard's catalog."""

    errno = 1146
    sqlstate = "42S02"


class TableExists(ProxyError):
    """A table of this name is there already."""

    errno = 1050
    sqlstate = "42S01"


class NoDatabaseSelected(ProxyError):
    """The statement needs a default database: USE one, or qualify the table."""

    errno = 1046
    sqlstate = "3D000"


class UnknownDatabase(ProxyError):
    """No database of this name."""

    errno = 1049
    sqlstate = "42000"


class AccessDenied(ProxyError):
    """Unknown account or wrong password."""

    errno = 1045
    sqlstate = "28000"


class MalformedPacket(ProxyError):
    """The client sent bytes that are not the protocol; the connection is closed."""

    errno = 1835
    sqlstate = "HY000"


class PacketTooLarge(ProxyError):
    """A packet is larger than `max_packet_bytes` in txguard.toml; the connection is closed."""

    errno = 1153
    sqlstate = "08S01"


class HandshakeError(ProxyError):
    """The login packet is malformed or came too late."""

    errno = 1043
    sqlstate = "08S01"


class UnknownCommand(ProxyError):
    """A protocol command that TxGuard does not serve."""

    errno = 1047
    sqlstate = "08S01"


class OutOfMergeMemory(ProxyError):
    """A merge over shards would need more memory than the configuration allows."""

    errno = 1038
    sqlstate = "HY001"


class AutoIncrementFailed(ProxyError):
    """No AUTO_INCREMENT value can be had: the table's stored counter is missing."""

    errno = 1467
    sqlstate = "HY000"


class ConfigError(Exception):
    """txguard.toml is not valid; the text names file, line and what would be valid."""

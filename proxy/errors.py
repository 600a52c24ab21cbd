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
        super().__init__(f"TxGuard does not support {construct} yet")
        self.construct = construct


class ParseError(ProxyError):
    errno = 1064
    sqlstate = "42000"


class NoSuchTable(ProxyError):
    errno = 1146
    sqlstate = "42S02"


class TableExists(ProxyError):
    errno = 1050
    sqlstate = "42S01"


class NoDatabaseSelected(ProxyError):
    errno = 1046
    sqlstate = "3D000"


class UnknownDatabase(ProxyError):
    errno = 1049
    sqlstate = "42000"


class AccessDenied(ProxyError):
    errno = 1045
    sqlstate = "28000"


class MalformedPacket(ProxyError):
    errno = 1835
    sqlstate = "HY000"


class PacketTooLarge(ProxyError):
    errno = 1153
    sqlstate = "08S01"


class HandshakeError(ProxyError):
    errno = 1043
    sqlstate = "08S01"


class UnknownCommand(ProxyError):
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

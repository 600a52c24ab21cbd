"""What one server says about itself. One connection, held open until all shards were asked.

`Visit` is that connection: while visits to all shards are open, a user lock taken on one and seen from another
proves that the two are the same server, whatever they are called.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.config import ShardConfig
from proxy.shard_dsn import dsn_of
from txguard.engine.aiomysql_shard import AiomysqlConnection

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ServerFacts:
    shard: str
    version_text: str
    variables: Mapping[str, str]
    """SHOW GLOBAL VARIABLES."""
    grants: tuple[str, ...]
    """SHOW GRANTS of the account that the proxy uses."""
    clock_offset_ms: float
    """The server's clock less this machine's, good to half a round trip."""
    address: str
    max_connections: int
    """What the configuration lets the proxy open here."""

    @property
    def is_mariadb(self) -> bool:
        return "mariadb" in self.version_text.lower()

    @property
    def version(self) -> Version:
        """MariaDB behind a replication prefix says "5.5.5-10.11.6-MariaDB"."""
        match = _VERSION.search(self.version_text.removeprefix("5.5.5-"))
        return (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)

    @property
    def product(self) -> str:
        return f"{'MariaDB' if self.is_mariadb else 'MySQL'} {'.'.join(map(str, self.version))}"

    def is_on(self, variable: str) -> bool:
        return self.variables.get(variable, "").upper() in ("ON", "1", "TRUE", "YES")


class Visit:
    """An open connection to a shard, for the doctor's questions."""

    def __init__(self, shard: ShardConfig, connection: AiomysqlConnection) -> None:
        self.shard = shard
        self._connection = connection

    @classmethod
    async def begin(cls, shard: ShardConfig) -> Visit:
        """Raises OSError, TimeoutError or MySQLError."""
        return cls(shard, await AiomysqlConnection.connect(dsn_of(shard), shard.connect_timeout_s))

    def end(self) -> None:
        self._connection.abort()

    async def facts(self) -> ServerFacts:
        """Raises ShardError, ConnectionLost or TimeoutError."""
        timeout_s = self.shard.connect_timeout_s
        statements = ["SELECT VERSION()", "SHOW GLOBAL VARIABLES", "SHOW GRANTS"]
        version, variables, grants = await self._connection.run(statements, timeout_s)
        before = time.time()
        ((server_time,),) = (await self._connection.run(["SELECT UNIX_TIMESTAMP(NOW(6))"], timeout_s))[0].rows
        middle = (before + time.time()) / 2
        return ServerFacts(
            shard=self.shard.name,
            version_text=_text(version.rows[0][0]),
            variables={_text(name).lower(): _text(value) for name, value in variables.rows},
            grants=tuple(_text(row[0]) for row in grants.rows),
            clock_offset_ms=(float(_text(server_time)) - middle) * 1000,
            address=self.shard.address,
            max_connections=self.shard.max_connections,
        )

    async def mark(self, name: str) -> None:
        """Take a user lock that other visits to the same server can see."""
        await self._connection.run([f"DO GET_LOCK('{name}', 0)"], self.shard.connect_timeout_s)

    async def sees_mark(self, name: str) -> bool:
        rows = await self._connection.run([f"SELECT IS_USED_LOCK('{name}')"], self.shard.connect_timeout_s)
        return rows[0].rows[0][0] is not None


def _text(value: object) -> str:
    return (
        value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)
    )

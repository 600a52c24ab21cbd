"""How tools reach a configured shard: the doctor, the inspector, the oracle's service.

The proxy's own connections are raw ones, for speed; these are aiomysql's.
"""

from __future__ import annotations

import ssl
from typing import Any

from proxy.config import ServerConfig
from txguard.engine.aiomysql_shard import Dsn


def dsn_of(shard: ServerConfig) -> Dsn:
    return Dsn(
        host=shard.host,
        port=shard.port,
        user=shard.user,
        password=shard.password or "",
        unix_socket=str(shard.socket) if shard.socket is not None else None,
        tls=tls_context(shard),
    )


def connect_arguments(shard: ServerConfig) -> dict[str, Any]:
    """The arguments of `aiomysql.connect`."""
    dsn = dsn_of(shard)
    return {
        "host": dsn.host,
        "port": dsn.port,
        "user": dsn.user,
        "password": dsn.password,
        "unix_socket": dsn.unix_socket,
        "ssl": dsn.tls,
    }


def tls_context(shard: ServerConfig) -> ssl.SSLContext | None:
    """None: no TLS. `required` encrypts without asking who is there; `verify` asks."""
    if shard.tls == "off":
        return None
    context = ssl.create_default_context(cafile=str(shard.tls_ca) if shard.tls_ca is not None else None)
    if shard.tls == "required":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context

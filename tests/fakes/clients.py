"""PyMySQL clients of a proxy or of a server, in autocommit mode unless told otherwise.

Without TLS: for each connection that may use it, PyMySQL reads all the certificates that the machine trusts,
20 ms of processor time. What TLS does has tests of its own, in test_front_protocol.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymysql
from pymysql.connections import Connection

if TYPE_CHECKING:
    from tests.conftest import AnyServer


def connect_port(port: int, database: str | None = None, **options: Any) -> Connection[Any]:
    """As `root` on 127.0.0.1 unless `options`, which are pymysql.connect's, say otherwise."""
    arguments: dict[str, Any] = {"host": "127.0.0.1", "user": "root", "autocommit": True, **options}
    return pymysql.connect(port=port, database=database, ssl_disabled=True, **arguments)


def connect_server(server: AnyServer, database: str | None = None, **options: Any) -> Connection[Any]:
    return connect_port(
        server.port,
        database,
        **{"host": server.host, "user": server.user, "password": server.password, **options},
    )

"""ADOPT TABLE through the proxy: a table that a shard has had all along becomes a managed one, with its rows."""

from __future__ import annotations

import pymysql
import pytest

from tests.integration.conftest import Cluster


def test_a_table_made_behind_the_proxy_is_adopted_with_its_rows(
    proxy_cluster: Cluster, database: str
) -> None:
    with proxy_cluster.connect_shard(1, database) as shard, shard.cursor() as cursor:
        cursor.execute("CREATE TABLE old (id INT PRIMARY KEY, x INT)")
        cursor.execute("INSERT INTO old VALUES (1, 10), (2, 20)")
    with proxy_cluster.connect(database) as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.ProgrammingError) as unknown:
            cursor.execute("SELECT * FROM old")
        assert unknown.value.args[0] == 1146
        cursor.execute("ADOPT TABLE old")
        cursor.execute("SELECT * FROM old ORDER BY id")
        assert cursor.fetchall() == ((1, 10), (2, 20))
        cursor.execute("BEGIN")
        cursor.execute("UPDATE old SET x = x + 1 WHERE id = 1")
        cursor.execute("COMMIT")
        cursor.execute("SELECT SUM(x) FROM old")
        assert cursor.fetchone() == (31,)
        with pytest.raises(pymysql.MySQLError):
            cursor.execute("ADOPT TABLE old")
    with (
        proxy_cluster.connect_shard(1, database) as shard,
        shard.cursor() as cursor,
        pytest.raises(pymysql.MySQLError),
    ):
        cursor.execute("UPDATE old SET x = 0")

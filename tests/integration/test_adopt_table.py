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


def test_its_database_is_made_on_the_other_shards_as_it_is_at_home(proxy_cluster: Cluster) -> None:
    with proxy_cluster.connect_shard(1) as shard, shard.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS adopted")
        cursor.execute("CREATE DATABASE adopted CHARACTER SET latin1 COLLATE latin1_spanish_ci")
        cursor.execute("CREATE TABLE adopted.old (id INT PRIMARY KEY)")
    with proxy_cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute("ADOPT TABLE adopted.old")
        for number in range(len(proxy_cluster.servers)):
            with proxy_cluster.connect_shard(number) as shard, shard.cursor() as looking:
                looking.execute(
                    "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA "
                    "WHERE SCHEMA_NAME = 'adopted'"
                )
                assert looking.fetchall() == (("latin1", "latin1_spanish_ci"),), number
        cursor.execute("DROP DATABASE adopted")

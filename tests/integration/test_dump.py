"""Databases written by mariadb-dump through the proxy, and read back in through it."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest
from pymysql.connections import Connection

from tests.integration.conftest import USER, Cluster

MYSQLDUMP_HEAD = r"""
-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)
/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET @OLD_CHARACTER_SET_RESULTS=@@CHARACTER_SET_RESULTS */;
/*!40101 SET @OLD_COLLATION_CONNECTION=@@COLLATION_CONNECTION */;
/*!50503 SET NAMES utf8mb4 */;
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
/*!40103 SET TIME_ZONE='+00:00' */;
/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;
/*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */;
/*!99999 SET nonsense of a later version */;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!50503 SET character_set_client = utf8mb4 */;
CREATE TABLE `setting` (
  `k` varchar(20) NOT NULL,
  `v` text,
  PRIMARY KEY (`k`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='txguard: single, home=s2';
/*!40101 SET character_set_client = @saved_cs_client */;
INSERT INTO `setting` VALUES ('a','it\'s /*!80000 text */');
/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;
/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;
/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;
/*!40014 SET UNIQUE_CHECKS=@OLD_UNIQUE_CHECKS */;
/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;
/*!40101 SET CHARACTER_SET_RESULTS=@OLD_CHARACTER_SET_RESULTS */;
/*!40101 SET COLLATION_CONNECTION=@OLD_COLLATION_CONNECTION */;
/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;
"""
"""As mysqldump and mariadb-dump write it."""


def run(connection: Connection[Any], sql: str) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


def test_lines_of_a_dump_work_and_leave_the_session_as_it_was(proxy_cluster: Cluster, database: str) -> None:
    settings = "SELECT @@sql_mode, @@time_zone, @@unique_checks, @@foreign_key_checks, @@character_set_client"
    with proxy_cluster.connect(database) as client:
        before = run(client, settings)
        for line in MYSQLDUMP_HEAD.split(";\n"):
            if line.strip():
                run(client, line)
        assert run(client, settings) == before
        assert run(client, "SELECT * FROM setting") == (("a", "it's /*!80000 text */"),)


@pytest.mark.skipif(shutil.which("mariadb-dump") is None, reason="no mariadb-dump here")
@pytest.mark.mariadb_only
def test_database_is_dumped_and_loaded_again(proxy_cluster: Cluster, database: str) -> None:
    options = ["-h127.0.0.1", f"-P{proxy_cluster.port}", f"-u{USER}"]
    shape = ["--single-transaction", "--skip-add-locks", "--no-tablespaces"]
    with proxy_cluster.connect(database) as client:
        run(
            client,
            "CREATE TABLE customer (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(80), KEY (name))",
        )
        run(client, "CREATE TABLE country (code CHAR(2) PRIMARY KEY) COMMENT='txguard: reference'")
        run(
            client,
            "CREATE TABLE setting (k VARCHAR(20) PRIMARY KEY, v TEXT) COMMENT='txguard: single, home=s2'",
        )
        run(client, "INSERT INTO customer (name) VALUES ('a'), ('b''x'), ('ü'), (NULL)")
        run(client, "INSERT INTO setting VALUES ('a', 'b')")
        run(client, "INSERT INTO country VALUES ('at')")
        dump = subprocess.run(["mariadb-dump", *options, *shape, database], capture_output=True)
        assert (dump.returncode, dump.stderr) == (0, b"")
        run(client, "DROP TABLE customer, country, setting")
        load = subprocess.run(["mariadb", *options, database], input=dump.stdout, capture_output=True)
        assert (load.returncode, load.stderr) == (0, b"")
        assert run(client, "SELECT name FROM customer ORDER BY id") == (("a",), ("b'x",), ("ü",), (None,))
        assert run(client, "SELECT * FROM setting") == (("a", "b"),)
        assert run(client, "SELECT * FROM country") == (("at",),)
        tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
        assert sorted(run(client, tables)) == [("country",), ("customer",), ("setting",)]

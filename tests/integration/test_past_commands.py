"""`txguard history`, `audit` and `rollback-to` on real servers, as an operator calls them."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pymysql.connections import Connection
from typer.testing import CliRunner, Result

from proxy.cli import audit
from proxy.cli.app import build
from proxy.cli.past import settled
from proxy.config import to_toml
from tests.integration.conftest import Cluster
from txguard.engine.changes import PAGE

ROWS, COMMITS = 30, 50

Call = Callable[..., Result]


@pytest.fixture
def txguard(proxy_cluster: Cluster, tmp_path: Path) -> Call:
    config = tmp_path / "txguard.toml"
    config.write_text(to_toml(proxy_cluster.config))
    app = build()

    def call(*arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(app, [*arguments, "--config", str(config)], input=stdin)

    return call


@pytest.fixture
def dsn(proxy_cluster: Cluster) -> str:
    return f"mysql://root:@127.0.0.1:{proxy_cluster.port}"


@pytest.fixture
def one(proxy_cluster: Cluster, database: str) -> Iterator[Connection[Any]]:
    with proxy_cluster.connect(database) as connection:
        run(connection, "CREATE TABLE account (id INT PRIMARY KEY, balance INT NOT NULL)")
        run(connection, "INSERT INTO account VALUES " + ", ".join(f"({n}, 10)" for n in range(ROWS)))
        yield connection


def run(connection: Connection[Any], sql: str) -> tuple[tuple[Any, ...], ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


def changed(connection: Connection[Any], sql: str) -> int:
    with connection.cursor() as cursor:
        return int(cursor.execute(sql))


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def changes_in(answer: list[dict[str, Any]], database: str) -> list[dict[str, Any]]:
    return [line for line in answer if line.get("table", "").startswith(f"{database}.")]


# ---------------------------------------------------------------- history


def test_history_lists_the_versions_of_a_row(one: Connection[Any], database: str, txguard: Call) -> None:
    run(one, "UPDATE account SET balance = 11 WHERE id = 7")
    run(one, "BEGIN")
    run(one, "DELETE FROM account WHERE id = 7")
    run(one, "INSERT INTO account VALUES (7, 12)")
    run(one, "COMMIT")
    run(one, "DELETE FROM account WHERE id = 7")
    run(one, "BEGIN")
    run(one, "INSERT INTO account VALUES (7, 98)")
    run(one, "DELETE FROM account WHERE id = 7")
    run(one, "COMMIT")
    run(one, "INSERT INTO account VALUES (7, 13)")
    answer = lines(txguard("history", f"{database}.account", "7", "--json"))
    told = [(line["op"], line["values"] and line["values"]["balance"]) for line in answer]
    assert told == [("insert", 10), ("update", 11), ("update", 12), ("delete", None), ("insert", 13)]
    stamps = [line["commit_ts"] for line in answer]
    assert stamps == sorted(stamps)
    assert all(line["start_ts"] < line["commit_ts"] for line in answer)
    assert "update" in txguard("history", f"{database}.account", "7").stdout
    assert txguard("history", f"{database}.account", "700").exit_code == 1
    assert txguard("history", f"{database}.nothing", "7").exit_code == 2
    assert txguard("history", f"{database}.account", "7", "8").exit_code == 2


# ---------------------------------------------------------------- audit


def test_audit_tells_each_change_once_and_in_order(
    proxy_cluster: Cluster, one: Connection[Any], database: str, txguard: Call, dsn: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("txguard.engine.changes.PAGE", 40)
    run(one, "CREATE TABLE kind (id INT PRIMARY KEY, name VARCHAR(20)) COMMENT='txguard: reference'")
    start = settled(dsn)

    def transfer(seed: int) -> None:
        chance, commits = random.Random(seed), 0
        with proxy_cluster.connect(database) as connection:
            while commits < COMMITS:
                here, there, gone = chance.sample(range(2 * ROWS), 3)
                try:
                    run(connection, "BEGIN")
                    moved = changed(connection, f"UPDATE account SET balance = balance - 1 WHERE id = {here}")
                    moved += changed(
                        connection, f"UPDATE account SET balance = balance + 1 WHERE id = {there}"
                    )
                    found = run(connection, f"SELECT balance FROM account WHERE id = {gone} FOR UPDATE")
                    if found and chance.random() < 0.3:
                        run(connection, f"DELETE FROM account WHERE id = {gone}")
                        anew = chance.choice([gone, (gone + ROWS) % (2 * ROWS)])
                        run(connection, f"INSERT INTO account VALUES ({anew}, {found[0][0]})")
                    wanted = moved == 2 and chance.random() < 0.9
                    run(connection, "COMMIT" if wanted else "ROLLBACK")
                    commits += wanted
                except pymysql.err.MySQLError:
                    run(connection, "ROLLBACK")

    threads = [threading.Thread(target=transfer, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    told: list[dict[str, Any]] = []
    position = str(start)
    while any(thread.is_alive() for thread in threads):
        told += lines(txguard("audit", "--from", position))
        position = str(told[-1]["position"])
    for thread in threads:
        thread.join()
    run(one, "INSERT INTO kind VALUES (1, 'one')")
    told += lines(txguard("audit", "--from", position))
    at_once = lines(txguard("audit", "--from", str(start)))

    changes = changes_in(told, database)
    assert changes == changes_in(at_once, database), "in pieces or at once"
    assert len(changes) > 2 * 3 * COMMITS
    assert [c for c in changes if c["table"].endswith(".kind")] == changes[-1:], (
        "a reference table's change once"
    )
    names = [(change["commit_ts"], json.dumps(change["key"])) for change in changes]
    assert len(set(names)) == len(names)
    assert [at for at, _ in names] == sorted(at for at, _ in names)

    state = {n: {"id": n, "balance": 10} for n in range(ROWS)}
    for place, change in enumerate(changes[:-1]):
        key = change["key"]["id"]
        assert state.pop(key, None) == change["before"], change
        if change["after"] is not None:
            state[key] = change["after"]
        if changes[place + 1]["commit_ts"] != change["commit_ts"]:
            assert sum(row["balance"] for row in state.values()) == 10 * ROWS, change
    assert sorted((row["id"], row["balance"]) for row in state.values()) == sorted(
        run(one, "SELECT * FROM account")
    )


def test_audit_waits_for_what_is_under_way(
    proxy_cluster: Cluster, one: Connection[Any], database: str, dsn: str, txguard: Call
) -> None:
    start = settled(dsn)
    run(one, "BEGIN")
    run(one, "UPDATE account SET balance = 1")
    committing = threading.Thread(target=run, args=(one, "COMMIT"))
    waiting = threading.Thread(target=settled, args=(dsn,))
    with proxy_cluster.connect_shard(0) as locked, proxy_cluster.connect_shard(1) as free:
        run(locked, "LOCK TABLES _txguard.txn READ")
        committing.start()
        query = f"SELECT COUNT(*) FROM _txguard.txn WHERE state = 'C' AND commit_ts > {start}"
        while not run(free, query)[0][0]:
            pass
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive(), "half of a commit is there"
        run(locked, "UNLOCK TABLES")
        committing.join()
        waiting.join()
    changes = changes_in(lines(txguard("audit", "--from", str(start))), database)
    assert [change["key"]["id"] for change in changes] == sorted(range(ROWS), key=str)


async def test_audit_waits_for_no_shard_to_be_ahead() -> None:
    """Pages end where the shard that has most to tell has been read up to."""

    class Fake:
        def __init__(self, stamps: list[int]) -> None:
            self.stamps = stamps
            self.told: list[int] = []

        async def open(self, position: int) -> None:
            pass

        async def records(self, position: int, until: int) -> dict[int, int]:
            return dict([(at, at) for at in self.stamps if position < at <= until][:PAGE])

        async def changes(self, records: dict[int, int]) -> list[Any]:
            self.told += records
            return []

    many, few = Fake(list(range(1, 5300))), Fake([5, 2600, 5299, 8000])
    positions = [position async for _, position in audit.pages([many, few], 0, 6000)]  # type: ignore[list-item]
    assert positions == [2000, 4000, 6000]
    assert many.told == many.stamps
    assert few.told == [5, 2600, 5299]


def test_audit_says_when_changes_are_gone(one: Connection[Any], txguard: Call) -> None:
    result = txguard("audit", "--from", "yesterday")
    assert result.exit_code == 2
    assert "is no time" in result.stderr


# ---------------------------------------------------------------- rollback-to


@pytest.fixture
def things(one: Connection[Any]) -> Connection[Any]:
    run(
        one,
        "CREATE TABLE thing (id BIGINT AUTO_INCREMENT PRIMARY KEY, f FLOAT, d DOUBLE, n DECIMAL(30,10), t TEXT, "
        "b VARBINARY(20), bits BIT(12), e ENUM('x','y'), at DATETIME(6), ts TIMESTAMP(3) NULL, j JSON, "
        "twice DOUBLE AS (d * 2) STORED)",
    )
    with one.cursor() as cursor:
        for number in range(12):
            cursor.execute(
                "INSERT INTO thing (f, d, n, t, b, bits, e, at, ts, j) VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s,%s)",
                (
                    0.1 * number, number / 7, f"{number}.0123456789", f"it's \\ ü {number}\n", bytes([0, 255, number]),
                    number, "xy"[number % 2], f"2026-01-0{number % 9 + 1} 01:02:03.000004", "2026-03-04 05:06:07.008",
                    json.dumps({"a": [number, "ß"]}),
                ),
            )  # fmt: skip
    return one


def test_rollback_to_puts_every_kind_of_value_back(
    things: Connection[Any], database: str, txguard: Call, dsn: str
) -> None:
    exact = "SELECT id, f + 0e0, d, n, HEX(t), HEX(b), bits + 0, e, at, ts, j, twice FROM thing ORDER BY id"
    before, then = run(things, exact), settled(dsn)
    run(
        things,
        "UPDATE thing SET f = 9, d = 9, n = 9, t = NULL, b = 'x', bits = 9, e = 'x', at = NULL, ts = NULL, j = '1'",
    )
    run(things, "DELETE FROM thing WHERE id > 6")
    run(things, "INSERT INTO thing (d) VALUES (1), (2)")
    after = run(things, exact)
    table = ("--table", f"{database}.thing")
    assert txguard("rollback-to", str(then), *table, stdin="n\n").exit_code == 1
    assert run(things, exact) == after
    shown = txguard("rollback-to", str(then), *table, "--yes", "--json")
    operations = [line["op"] for line in lines(shown)]
    assert sorted(operations) == ["delete"] * 2 + ["insert"] * (len(before) - 6) + ["update"] * 6
    assert run(things, exact) == before
    assert "nothing to change" in txguard("rollback-to", str(then), *table, "--yes").stdout


def test_rollback_to_of_some_rows(one: Connection[Any], database: str, txguard: Call, dsn: str) -> None:
    then = settled(dsn)
    run(one, "UPDATE account SET balance = 500 WHERE id IN (1, 2)")
    run(one, "UPDATE account SET balance = 77 WHERE id = 3")
    run(one, "DELETE FROM account WHERE id = 4")
    run(one, "INSERT INTO account VALUES (900, 500)")
    table = ("--table", f"{database}.account", "--yes")
    result = txguard("rollback-to", str(then), *table, "--where", "balance = 500")
    assert result.exit_code == 0, result.output
    assert run(one, "SELECT * FROM account WHERE id IN (1, 2, 3, 4, 900) ORDER BY id") == (
        (1, 10),
        (2, 10),
        (3, 77),
    )
    result = txguard("rollback-to", str(then), *table, "--where", "id < 5")
    assert run(one, "SELECT SUM(balance), COUNT(*) FROM account") == ((10 * ROWS, ROWS),)
    for wrong in (("--where", "nonsense ="), ("--where", "no_column = 1")):
        assert txguard("rollback-to", str(then), *table, *wrong).exit_code == 2
    assert txguard("rollback-to", str(then), "--table", f"{database}.none", "--yes").exit_code == 2
    assert txguard("rollback-to", "2020-01-01", *table).exit_code == 2


def test_rollback_to_where_rows_changed_places(
    one: Connection[Any], database: str, txguard: Call, dsn: str
) -> None:
    run(one, "CREATE TABLE seat (id INT PRIMARY KEY, name VARCHAR(20) UNIQUE) COMMENT='txguard: single'")
    run(one, "INSERT INTO seat VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    then = settled(dsn)
    run(one, "UPDATE seat SET name = 'x' WHERE id = 1")
    run(one, "UPDATE seat SET name = 'a' WHERE id = 2")
    run(one, "UPDATE seat SET name = 'b' WHERE id = 1")
    assert txguard("rollback-to", str(then), "--table", f"{database}.seat", "--yes").exit_code == 0
    assert run(one, "SELECT * FROM seat ORDER BY id") == ((1, "a"), (2, "b"), (3, "c"))


def test_rollback_to_gives_way_to_whoever_changes_the_rows(
    one: Connection[Any], database: str, txguard: Call, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = settled(dsn)
    run(one, "UPDATE account SET balance = 0 WHERE id < 10")

    def confirm(*_: object, **__: object) -> bool:
        run(one, "UPDATE account SET balance = 1 WHERE id = 5")
        return True

    monkeypatch.setattr("typer.confirm", confirm)
    result = txguard("rollback-to", str(then), "--table", f"{database}.account")
    assert result.exit_code == 2, result.output
    assert "nothing was changed" in result.stderr
    assert run(one, "SELECT SUM(balance) FROM account") == ((10 * (ROWS - 10) + 1,),)

"""The clients people use: mariadb's command line, aiomysql, SQLAlchemy, sysbench with its prepared statements."""

from __future__ import annotations

import asyncio
import shutil
import subprocess

import aiomysql
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tests.integration.conftest import USER, Cluster


def mariadb(cluster: Cluster, database: str, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["mariadb", "-h127.0.0.1", f"-P{cluster.port}", f"-u{USER}", "--batch", *options, database]
    return subprocess.run(command, input=script, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(shutil.which("mariadb") is None, reason="no mariadb client on this machine")
def test_the_mariadb_command_line(proxy_cluster: Cluster, database: str) -> None:
    script = """
        CREATE TABLE account (id INT PRIMARY KEY, balance INT);
        INSERT INTO account VALUES (1, 10), (2, 20), (3, 30);
        BEGIN; UPDATE account SET balance = balance + 1; COMMIT;
        SELECT id, balance FROM account ORDER BY id;
        SHOW TABLES;
        delimiter //
        SELECT 'one; statement' //
    """
    done = mariadb(proxy_cluster, database, script)
    assert done.stderr == ""
    assert done.stdout.split("\n") == [
        "id\tbalance",
        "1\t11",
        "2\t21",
        "3\t31",
        f"Tables_in_{database}",
        "account",
        "one; statement",
        "one; statement",
        "",
    ]
    failed = mariadb(proxy_cluster, database, "SELECT * FROM missing")
    assert "ERROR 1146 (42S02)" in failed.stderr
    assert mariadb(proxy_cluster, database, "status").returncode == 0


async def test_aiomysql(proxy_cluster: Cluster, database: str) -> None:
    pool = await aiomysql.create_pool(
        host="127.0.0.1", port=proxy_cluster.port, user=USER, db=database, minsize=3, maxsize=3
    )
    try:
        async with pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute("CREATE TABLE account (id INT PRIMARY KEY, balance INT NOT NULL)")
            await cursor.executemany("INSERT INTO account VALUES (%s, %s)", [(n, 100) for n in range(20)])
            await connection.commit()

        async def transfer(source: int, target: int) -> None:
            async with pool.acquire() as connection, connection.cursor() as cursor:
                await cursor.execute("UPDATE account SET balance = balance - 5 WHERE id = %s", (source,))
                await cursor.execute("UPDATE account SET balance = balance + 5 WHERE id = %s", (target,))
                await connection.commit()

        await asyncio.gather(*(transfer(number, number + 10) for number in range(10)))
        async with pool.acquire() as connection, connection.cursor(aiomysql.DictCursor) as cursor:
            await cursor.execute(
                "SELECT balance, COUNT(*) AS n FROM account GROUP BY balance ORDER BY balance"
            )
            assert await cursor.fetchall() == [{"balance": 95, "n": 10}, {"balance": 105, "n": 10}]
    finally:
        pool.close()
        await pool.wait_closed()


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(30))


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column()
    total: Mapped[int]


def test_sqlalchemy(proxy_cluster: Cluster, database: str) -> None:
    engine = sa.create_engine(f"mysql+pymysql://{USER}@127.0.0.1:{proxy_cluster.port}/{database}")
    try:
        Base.metadata.create_all(engine)
        assert set(sa.inspect(engine).get_table_names()) == {"customer", "orders"}
        columns = sa.inspect(engine).get_columns("customer")
        assert [column["name"] for column in columns] == ["id", "name"]
        with Session(engine) as session:
            session.add_all([Customer(name=f"customer {n}") for n in range(10)])
            session.commit()
            session.add_all([Order(customer_id=1, total=n) for n in range(5)])
            session.commit()
        with Session(engine) as session:
            names = session.scalars(sa.select(Customer.name).order_by(Customer.id)).all()
            assert names == [f"customer {n}" for n in range(10)]
            assert session.scalar(sa.select(sa.func.sum(Order.total)).where(Order.customer_id == 1)) == 10
            customer = session.get(Customer, 1)
            assert customer is not None
            customer.name = "renamed"
            with session.begin_nested() as nested:
                session.execute(sa.update(Customer).values(name="lost"))
                nested.rollback()
            session.commit()
        with Session(engine) as session:
            assert session.scalars(sa.select(Customer.id).where(Customer.name == "renamed")).all() == [1]
            assert session.scalar(sa.select(sa.func.count()).select_from(Customer)) == 10
        with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection:
            assert connection.scalar(sa.text("SELECT @@transaction_isolation")) == "READ-COMMITTED"
    finally:
        engine.dispose()


@pytest.mark.skipif(shutil.which("sysbench") is None, reason="no sysbench on this machine")
@pytest.mark.parametrize("prepared", ["auto", "disable"])
def test_sysbench(proxy_cluster: Cluster, database: str, prepared: str) -> None:
    def sysbench(*arguments: str) -> str:
        command = [
            "sysbench",
            "--db-driver=mysql",
            "--mysql-host=127.0.0.1",
            f"--mysql-port={proxy_cluster.port}",
            f"--mysql-user={USER}",
            f"--mysql-db={database}",
            "--tables=2",
            "--table-size=200",
            f"--db-ps-mode={prepared}",
            "--time=0",
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    sysbench("oltp_read_write", "prepare")
    for workload in (
        "oltp_point_select",
        "oltp_update_index",
        "oltp_read_only",
        "oltp_read_write",
        "oltp_delete",
    ):
        out = sysbench("--threads=1", "--events=20", workload, "run")
        assert "ignored errors:                      0" in out, workload
    sysbench("oltp_read_write", "cleanup")

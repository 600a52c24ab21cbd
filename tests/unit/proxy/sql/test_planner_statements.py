"""Everything that is no query: transactions, SET, SHOW, DDL; and what is refused or wrong."""

from __future__ import annotations

import pytest

from proxy.errors import NoDatabaseSelected, NotSupported, ParseError, ProxyError, UnknownDatabase
from proxy.sql import plan as plans
from proxy.sql.errors import EmptyQuery, NonUniqueAlias, UnknownColumn
from proxy.sql.plan import DdlKind, ShowFilter, TableName, VariableScope
from tests.unit.proxy.sql.planner_catalog import SCHEMAS, FakeSchemas, plan, query, text

CONTROL = [
    ("BEGIN", plans.BeginPlan()),
    ("begin work;", plans.BeginPlan()),
    ("START TRANSACTION", plans.BeginPlan()),
    ("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", plans.BeginPlan(True, True)),
    ("START TRANSACTION READ WRITE", plans.BeginPlan(False, False)),
    ("COMMIT", plans.CommitPlan()),
    ("COMMIT AND CHAIN", plans.CommitPlan(chain=True)),
    ("COMMIT WORK AND NO CHAIN RELEASE", plans.CommitPlan(release=True)),
    ("ROLLBACK", plans.RollbackPlan()),
    ("ROLLBACK AND CHAIN NO RELEASE", plans.RollbackPlan(chain=True)),
    ("SAVEPOINT a", plans.SavepointPlan("a")),
    ("ROLLBACK TO `a b`", plans.RollbackToPlan("a b")),
    ("ROLLBACK WORK TO SAVEPOINT a", plans.RollbackToPlan("a")),
    ("RELEASE SAVEPOINT a", plans.ReleasePlan("a")),
    ("USE app", plans.UsePlan("app")),
    ("KILL 5", plans.KillPlan(5, False)),
    ("KILL QUERY 5", plans.KillPlan(5, True)),
    ("UNLOCK TABLES", plans.EmptyPlan()),
    ("SHOW TXGUARD STATUS", plans.AdminShowPlan(plans.AdminTopic.STATUS)),
    ("show txguard locks", plans.AdminShowPlan(plans.AdminTopic.LOCKS)),
    ("SHOW FULL PROCESSLIST", plans.ShowProcesslistPlan(True)),
    ("SHOW WARNINGS LIMIT 5", plans.ShowWarningsPlan(False, False, "SHOW WARNINGS LIMIT 5")),
    ("SHOW COUNT(*) ERRORS", plans.ShowWarningsPlan(True, True, "SHOW COUNT(*) ERRORS")),
    ("SHOW GLOBAL VARIABLES", plans.ShowVariablesPlan("SHOW GLOBAL VARIABLES", VariableScope.GLOBAL)),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "expected"), CONTROL)
def test_control(sql: str, expected: object) -> None:
    assert plan(sql).plan == expected


def items(sql: str) -> tuple[plans.SetItem, ...]:
    found = plan(sql).plan
    assert isinstance(found, plans.SetPlan)
    return found.items


@pytest.mark.parametrize(
    ("sql", "scope", "name", "value"),
    [
        ("SET autocommit = 0", VariableScope.DEFAULT, "autocommit", 0),
        ("SET AUTOCOMMIT=ON", VariableScope.DEFAULT, "autocommit", "ON"),
        ("SET @@autocommit := TRUE", VariableScope.SESSION, "autocommit", 1),
        ("SET SESSION sql_mode = 'ANSI'", VariableScope.SESSION, "sql_mode", "ANSI"),
        ("SET @@local.wait_timeout = -1", VariableScope.SESSION, "wait_timeout", -1),
        ("SET GLOBAL x = NULL", VariableScope.GLOBAL, "x", None),
        ("SET character_set_results = utf8mb4", VariableScope.DEFAULT, "character_set_results", "utf8mb4"),
        ("SET names = 5", VariableScope.DEFAULT, "names", 5),
    ],
)
def test_set_variable(sql: str, scope: VariableScope, name: str, value: object) -> None:
    (item,) = items(sql)
    assert isinstance(item, plans.SetVariable)
    assert (item.scope, item.name, item.constant, item.value) == (scope, name, True, value)


def test_set_several() -> None:
    planned = plan(
        "SET NAMES 'utf8mb4' COLLATE utf8mb4_bin, @A = 5 + @b, sql_mode = CONCAT(@@sql_mode, ',X'), y = DEFAULT"
    )
    assert isinstance(planned.plan, plans.SetPlan)
    names, user, mode, default = planned.plan.items
    assert names == plans.SetNames("utf8mb4", "utf8mb4_bin")
    assert isinstance(user, plans.SetUserVariable)
    assert (user.name, user.constant, text(user.expression, planned)) == ("a", False, "5 + <@b>")
    assert isinstance(mode, plans.SetVariable)
    assert text(mode.expression, planned) == "CONCAT(<@@sql_mode>, ',X')"
    assert isinstance(default, plans.SetVariable)
    assert default.default


@pytest.mark.parametrize(
    ("sql", "item"),
    [
        ("SET NAMES utf8", plans.SetNames("utf8", None)),
        ("SET NAMES DEFAULT", plans.SetNames(None, None)),
        ("SET CHARACTER SET latin1", plans.SetNames("latin1", None, True)),
        ("SET CHARSET 'utf8'", plans.SetNames("utf8", None, True)),
        ("SET TRANSACTION READ ONLY", plans.SetTransaction(VariableScope.DEFAULT, None, True)),
        (
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
            plans.SetTransaction(VariableScope.SESSION, "READ-COMMITTED", False),
        ),
        (
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            plans.SetTransaction(VariableScope.DEFAULT, "SERIALIZABLE", None),
        ),
        ("/*!40101 SET NAMES utf8 */", plans.SetNames("utf8", None)),
    ],
)
def test_set_names_and_transaction(sql: str, item: plans.SetItem) -> None:
    assert items(sql) == (item,)


SHOWS = [
    ("SHOW DATABASES", plans.FirstShard, ShowFilter.DATABASES),
    ("SHOW TABLES", plans.AllShards, ShowFilter.TABLES),
    ("SHOW FULL TABLES FROM app LIKE 'x'", plans.AllShards, ShowFilter.TABLES),
    ("SHOW COLUMNS FROM users", plans.FirstShard, ShowFilter.COLUMNS),
    ("SHOW FULL FIELDS IN users FROM app", plans.FirstShard, ShowFilter.COLUMNS),
    ("DESC settings v", plans.OneShard, ShowFilter.COLUMNS),
    ("DESCRIBE users", plans.FirstShard, ShowFilter.COLUMNS),
    ("EXPLAIN users", plans.FirstShard, ShowFilter.COLUMNS),
    ("EXPLAIN FORMAT=JSON SELECT * FROM users", plans.FirstShard, ShowFilter.EXPLAIN),
    ("EXPLAIN UPDATE users SET age = 1 WHERE id = 5", plans.ByKeys, ShowFilter.EXPLAIN),
    ("EXPLAIN SELECT * FROM settings", plans.OneShard, ShowFilter.EXPLAIN),
    ("SHOW CREATE TABLE app.users", plans.FirstShard, ShowFilter.CREATE_TABLE),
    ("SHOW KEYS FROM users", plans.FirstShard, ShowFilter.INDEXES),
    ("SHOW TRIGGERS", plans.FirstShard, ShowFilter.TRIGGERS),
    ("SHOW COLLATION", plans.FirstShard, ShowFilter.NONE),
    ("SHOW SESSION STATUS LIKE 'Ssl_cipher'", plans.FirstShard, ShowFilter.NONE),
]


@pytest.mark.parametrize(("sql", "route", "what"), SHOWS)
def test_show(sql: str, route: type, what: ShowFilter) -> None:
    found = plan(sql).plan
    assert isinstance(found, plans.ShowPlan)
    assert (type(found.route), found.filter, found.text) == (route, what, sql)


DDL = [
    ("CREATE TABLE t (id INT PRIMARY KEY)", DdlKind.CREATE_TABLE, ("app", "t"), False),
    ("CREATE TABLE IF NOT EXISTS x.t (id INT)", DdlKind.CREATE_TABLE, ("x", "t"), True),
    ("DROP TABLE t", DdlKind.DROP_TABLE, ("app", "t"), False),
    ("TRUNCATE t", DdlKind.TRUNCATE_TABLE, ("app", "t"), False),
    ("CREATE UNIQUE INDEX i ON t (x)", DdlKind.CREATE_INDEX, ("app", "t"), False),
    ("DROP INDEX i ON x.t", DdlKind.DROP_INDEX, ("x", "t"), False),
]


@pytest.mark.parametrize(("sql", "kind", "table", "conditional"), DDL)
def test_ddl(sql: str, kind: DdlKind, table: tuple[str, str], conditional: bool) -> None:
    found = plan(sql).plan
    assert found == plans.DdlPlan(kind, sql, (TableName(*table),), None, conditional)


def test_ddl_hints_and_comments() -> None:
    found = plan("CREATE TABLE t (id INT) /* txguard: kind=single, home=s2 */ COMMENT 'x' -- y\n;").plan
    assert isinstance(found, plans.DdlPlan)
    assert found.hints == (("kind", "single"), ("home", "s2"))
    assert found.text == "CREATE TABLE t (id INT) COMMENT 'x'"


@pytest.mark.parametrize(
    ("comment", "hints"),
    [
        ("txguard: reference", (("reference", ""),)),
        ("TXGUARD:single ,home = s2", (("single", ""), ("home", "s2"))),
        ("txguard: shard_key=id; by customer, of course", (("shard_key", "id"),)),
        ("of txguard: reference", ()),
    ],
)
def test_hints_of_a_statement_are_written_as_in_comment(
    comment: str, hints: tuple[tuple[str, str], ...]
) -> None:
    found = plan(f"CREATE TABLE /* {comment} */ t (id INT)").plan
    assert isinstance(found, plans.DdlPlan)
    assert found.hints == hints


def test_databases() -> None:
    assert plan("CREATE DATABASE IF NOT EXISTS x CHARACTER SET utf8mb4").plan == plans.DdlPlan(
        DdlKind.CREATE_DATABASE, "CREATE DATABASE IF NOT EXISTS x CHARACTER SET utf8mb4", (), "x", True
    )
    assert plan("DROP SCHEMA x").plan == plans.DdlPlan(DdlKind.DROP_DATABASE, "DROP SCHEMA x", (), "x", False)


REFUSED = [
    ("ALTER TABLE users ADD x INT", "ALTER TABLE"),
    ("RENAME TABLE a TO b", "RENAME TABLE"),
    ("LOCK TABLES users READ", "LOCK TABLES"),
    ("SET @a = 1, @txg_bypass = 1", "@txg_bypass"),
    ("SET @`TXG_x` := 1", "@txg_x"),
    ("XA START 'x'", "XA START"),
    ("LOAD DATA INFILE 'x' INTO TABLE users", "LOAD DATA"),
    ("HANDLER users OPEN", "HANDLER"),
    ("CALL p()", "CALL"),
    ("GRANT ALL ON *.* TO x", "GRANT"),
    ("PREPARE s FROM 'SELECT 1'", "PREPARE"),
    ("CREATE VIEW v AS SELECT 1", "CREATE VIEW"),
    ("CREATE OR REPLACE VIEW v AS SELECT 1", "CREATE OR"),
    ("CREATE TEMPORARY TABLE t (id INT)", "TEMPORARY"),
    ("CREATE TABLE t LIKE users", "LIKE"),
    ("CREATE TABLE t AS SELECT * FROM users", "SELECT"),
    ("CREATE TABLE t (_txg_ts INT)", "_txg_ts"),
    ("DROP TRIGGER x", "DROP TRIGGER"),
    ("SET PASSWORD = 'x'", "SET PASSWORD"),
    ("SET ROLE x", "SET ROLE"),
    ("SET @a = (SELECT 1)", "subquery in SET"),
    ("SHOW MASTER STATUS", "SHOW MASTER STATUS"),
    ("SHOW TABLE STATUS WHERE Rows > 1", "WHERE"),
    ("SHOW GRANTS", "SHOW GRANTS"),
    ("EXPLAIN ANALYZE SELECT 1", "EXPLAIN ANALYZE"),
    ("SELECT 1 INTO @a", "INTO"),
    ("SELECT * FROM users INTO OUTFILE '/tmp/x'", "INTO"),
    ("SELECT @a := 1", ":="),
    ("SELECT GET_LOCK('a', 1)", "GET_LOCK"),
    ("SELECT app.f(1)", "stored function app.f"),
    ("SELECT LAST_INSERT_ID(5)", "LAST_INSERT_ID"),
    ("SELECT @txg_start_ts", "txg_start_ts"),
    ("SELECT * FROM mysql.user", "mysql"),
    ("SELECT * FROM performance_schema.threads", "performance_schema"),
    ("SELECT * FROM information_schema.innodb_trx", "information_schema.innodb_trx"),
    ("SELECT * FROM users FOR SYSTEM_TIME AS OF NOW()", "FOR SYSTEM_TIME"),
    ("SELECT * FROM users FOR SYSTEM_TIME ALL", "SYSTEM_TIME"),
    ("SELECT * FROM a LEFT JOIN b JOIN c ON 1 ON 1", "ON clause"),
    ("SELECT * FROM JSON_TABLE('[]', '$' COLUMNS (x INT PATH '$')) t", "table function"),
    ("VALUES ROW(1)", "VALUES"),
    ("TABLE users", "TABLE"),
    ("UPDATE users JOIN (SELECT 1 AS x) d ON 1 SET nope = 1 WHERE users.id = 1", "derived table"),
    ("INSERT INTO users PARTITION (p0) VALUES (1)", "PARTITION"),
]


@pytest.mark.parametrize(("sql", "named"), REFUSED)
def test_refused_by_name(sql: str, named: str) -> None:
    with pytest.raises(NotSupported) as caught:
        plan(sql)
    assert named in str(caught.value)
    assert caught.value.errno == 1235


WRONG = [
    ("SELECT", "''"),
    ("SELEC 1", "'SELEC 1'"),
    ("SELECT 1 FROM", "''"),
    ("SELECT 1 2", "'2'"),
    ("SELECT * FROM users WHERE", "''"),
    ("SELECT * FROM users WHERE id = = 5", "'= 5'"),
    ("SELECT 1; SELECT 2", "'; SELECT 2'"),
    ("INSERT INTO users VALUES (1,)", "')'"),
    ("UPDATE users SET", "''"),
    ("SELECT (1", "''"),
    ("SELECT * FROM select", "'select'"),
    ("SELECT a FROM users u GROUP age", "'GROUP age'"),
    ("SELECT ?", "'?'"),
    ("COMMIT NOW", "'NOW'"),
]


@pytest.mark.parametrize(("sql", "near"), WRONG)
def test_syntax_errors_read_as_mysqls(sql: str, near: str) -> None:
    with pytest.raises(ParseError) as caught:
        plan(sql)
    assert caught.value.errno == 1064
    assert f"near {near} at line 1" in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("", EmptyQuery),
        (" -- nothing\n;", EmptyQuery),
        ("SELECT * FROM _txguard.txn", UnknownDatabase),
        ("USE _txguard", UnknownDatabase),
        ("SHOW TABLES FROM _txguard", UnknownDatabase),
        ("DROP DATABASE _txguard", UnknownDatabase),
        ("SELECT _txg_ts FROM users", UnknownColumn),
        ("UPDATE users SET _txg_ts = 1", UnknownColumn),
        ("UPDATE users SET nope = 1", UnknownColumn),
        ("SELECT * FROM users u JOIN orders u ON 1", NonUniqueAlias),
    ],
)
def test_errors_with_mysqls_numbers(sql: str, error: type[ProxyError]) -> None:
    with pytest.raises(error):
        plan(sql)


@pytest.mark.parametrize("sql", ["SELECT * FROM users", "SHOW TABLES", "CREATE TABLE t (id INT)"])
def test_no_database_selected(sql: str) -> None:
    with pytest.raises(NoDatabaseSelected):
        plan(sql, database=None)


def test_session_values_are_holes() -> None:
    planned = plan(
        "SELECT @@session.autocommit, USER(), CURRENT_USER, @A, ROW_COUNT() AS r, CONNECTION_ID() + 1"
    )
    assert isinstance(planned.plan, plans.QueryPlan)
    assert planned.plan.template_only
    assert text(planned.plan.template, planned) == (
        "SELECT <@@autocommit> AS `@@session.autocommit`, <USER()> AS `USER()`, <CURRENT_USER()> AS `CURRENT_USER`, "
        "<@a> AS `@A`, <ROW_COUNT()> AS r, <CONNECTION_ID()> + 1 AS `CONNECTION_ID() + 1`"
    )


def test_information_schema_shows_nothing_of_txguard() -> None:
    planned = plan("SELECT information_schema.c.column_name FROM information_schema.columns c", database=None)
    assert isinstance(planned.plan, plans.QueryPlan)
    assert text(planned.plan.template, planned, away=dict.fromkeys(planned.plan.away, "")) == (
        "SELECT c.column_name FROM (SELECT * FROM information_schema.COLUMNS WHERE TABLE_SCHEMA <> '_txguard' "
        "AND COLUMN_NAME <> '_txg_ts') AS `c`"
    )


def test_other_shards_are_asked_about_single_tables_of_theirs() -> None:
    planned = plan("SELECT table_name FROM information_schema.columns WHERE column_name = 'v'")
    assert isinstance(planned.plan, plans.QueryPlan)
    assert isinstance(planned.plan.route, plans.FirstShard)
    common = "SELECT * FROM information_schema.COLUMNS WHERE TABLE_SCHEMA <> '_txguard' AND COLUMN_NAME <> '_txg_ts'"
    app, settings, secrets = (f"_utf8mb4 X'{name.encode().hex()}'" for name in ("app", "settings", "secrets"))
    [away] = planned.plan.away
    assert away.questions == (
        ("s2", f"{common} AND (TABLE_SCHEMA, TABLE_NAME) IN (({app}, {settings}))"),
        ("s3", f"{common} AND (TABLE_SCHEMA, TABLE_NAME) IN (({app}, {secrets}))"),
    )
    assert text(planned.plan.template, planned, away={away: " UNION ALL SELECT 1"}) == (
        f"SELECT table_name FROM ({common} UNION ALL SELECT 1) AS `columns` WHERE column_name = 'v'"
    )


@pytest.mark.parametrize(
    ("sql", "construct"),
    [
        ("SELECT id FROM settings WHERE id IN (SELECT COUNT(*) FROM information_schema.tables)", "live away"),
        ("INSERT INTO settings SELECT 1, COUNT(*) FROM information_schema.tables", "writes"),
        ("REPLACE INTO countries SELECT 1, COUNT(*) FROM information_schema.tables", "writes"),
        ("UPDATE countries SET name = (SELECT COUNT(*) FROM information_schema.columns)", "writes"),
    ],
)
def test_other_shards_are_not_asked_for_statements_on_tables(sql: str, construct: str) -> None:
    with pytest.raises(NotSupported, match=construct):
        plan(sql)


def test_the_first_shard_knows_all_tables_when_no_single_one_lives_elsewhere() -> None:
    here = FakeSchemas(tables={name: table for name, table in SCHEMAS.tables.items() if table.home is None})
    planned = plan("SELECT * FROM information_schema.tables t", schemas=here)
    assert isinstance(planned.plan, plans.QueryPlan)
    assert isinstance(planned.plan.route, plans.FirstShard)
    assert planned.plan.away == ()


def test_plain_queries_need_no_template() -> None:
    assert not query("SELECT id, NOW(), VERSION() FROM users WHERE id = 5").template_only

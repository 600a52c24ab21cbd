"""Transaction control, USE, KILL, and the statements that ask nothing of TxGuard.

Source: MySQL 8.0 manual, "START TRANSACTION, COMMIT, and ROLLBACK Statements", "SAVEPOINT …", "KILL Statement".
"""

from __future__ import annotations

from proxy.sql.as_of import instant_template
from proxy.sql.cursor import Cursor
from proxy.sql.lexer import Kind
from proxy.sql.plan import (
    BeginPlan,
    CommitPlan,
    EmptyPlan,
    KillPlan,
    Plan,
    ReleasePlan,
    RollbackPlan,
    RollbackToPlan,
    SavepointPlan,
    UsePlan,
)
from proxy.sql.queries import QueryParser
from proxy.sql.scope import refuse_internal_schema


def read_begin(cursor: QueryParser) -> Plan:
    """BEGIN [WORK] | START TRANSACTION [characteristics] | START TRANSACTION READ ONLY AS OF TIMESTAMP …"""
    if cursor.accept("BEGIN"):
        if cursor.at("NOT"):
            cursor.refuse("BEGIN NOT ATOMIC")
        cursor.accept("WORK")
        cursor.expect_end()
        return BeginPlan()
    cursor.expect("START")
    if cursor.at("SLAVE", "REPLICA", "GROUP_REPLICATION", "ALL"):
        cursor.refuse(f"START {cursor.token.upper}")
    cursor.expect("TRANSACTION")
    snapshot, read_only = False, None
    while not cursor.at_end():
        if cursor.accept_sequence("WITH", "CONSISTENT", "SNAPSHOT"):
            snapshot = True
        else:
            cursor.expect("READ")
            read_only = cursor.expect("ONLY", "WRITE").upper == "ONLY"
            as_of = cursor.as_of() if read_only else None
            if as_of is not None:
                cursor.expect_end()
                return BeginPlan(read_only=True, as_of=instant_template(as_of, cursor.cut))
        if not cursor.at_end():
            cursor.expect(",")
    return BeginPlan(snapshot, read_only)


def read_commit(cursor: Cursor) -> Plan:
    cursor.expect("COMMIT")
    cursor.accept("WORK")
    return CommitPlan(*_completion(cursor))


def read_rollback(cursor: Cursor) -> Plan:
    cursor.expect("ROLLBACK")
    cursor.accept("WORK")
    if cursor.accept("TO"):
        cursor.accept("SAVEPOINT")
        name = cursor.name()
        cursor.expect_end()
        return RollbackToPlan(name)
    return RollbackPlan(*_completion(cursor))


def _completion(cursor: Cursor) -> tuple[bool, bool]:
    """[AND [NO] CHAIN] [[NO] RELEASE]"""
    chain = release = False
    if cursor.accept("AND"):
        chain = not cursor.accept("NO")
        cursor.expect("CHAIN")
    if cursor.accept("NO"):
        cursor.expect("RELEASE")
    elif cursor.accept("RELEASE"):
        release = True
    cursor.expect_end()
    return chain, release


def read_savepoint(cursor: Cursor) -> Plan:
    if cursor.accept("RELEASE"):
        cursor.expect("SAVEPOINT")
        name = cursor.name()
        cursor.expect_end()
        return ReleasePlan(name)
    cursor.expect("SAVEPOINT")
    name = cursor.name()
    cursor.expect_end()
    return SavepointPlan(name)


def read_use(cursor: Cursor) -> Plan:
    cursor.expect("USE")
    database = cursor.name()
    cursor.expect_end()
    if database.lower() != "information_schema":
        refuse_internal_schema(database)
    return UsePlan(database)


def read_kill(cursor: Cursor) -> Plan:
    cursor.expect("KILL")
    if cursor.at("HARD", "SOFT", "USER"):
        cursor.refuse(f"KILL {cursor.token.upper}")
    query_only = cursor.at("QUERY")
    cursor.accept("QUERY", "CONNECTION")
    token = cursor.advance()
    if token.kind is not Kind.NUMBER or not token.text.isdigit():
        cursor.refuse("KILL of anything but a connection's number")
    cursor.expect_end()
    return KillPlan(int(token.text), query_only)


def read_unlock(cursor: Cursor) -> Plan:
    """UNLOCK TABLES: nothing is ever locked, because LOCK TABLES is refused."""
    cursor.expect("UNLOCK")
    cursor.expect("TABLES", "TABLE")
    cursor.expect_end()
    return EmptyPlan()

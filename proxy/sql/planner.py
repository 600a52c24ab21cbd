"""From a statement's text to its plan, through two caches.

1. by exact text: statements that come again and again as they are (BEGIN, SET NAMES, a driver's questions);
2. by fingerprint: statements that differ in their literals only share a plan that names literals by index.

Both hold plans of one catalog version; a newer one empties them. When full the oldest plans go first. The text is
parsed once per plan; a statement that cannot be planned raises each time (ParseError, NotSupported, NoSuchTable, …).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from proxy.errors import NotSupported
from proxy.sql.alter_parser import AlterParser
from proxy.sql.change_plans import plan_change, plan_insert_select
from proxy.sql.changes import ChangeParser
from proxy.sql.control_parser import (
    read_begin,
    read_commit,
    read_kill,
    read_rollback,
    read_savepoint,
    read_unlock,
    read_use,
)
from proxy.sql.cursor import Cursor
from proxy.sql.ddl_parser import DdlParser
from proxy.sql.errors import EmptyQuery, SyntaxProblem
from proxy.sql.insert_plans import plan_insert
from proxy.sql.lexer import MARK, Kind, Tokens, fingerprint, tokenize
from proxy.sql.plan import (
    ByKeys,
    DoPlan,
    EmptyPlan,
    FirstShard,
    InsertPlan,
    OneShard,
    Plan,
    Planned,
    QueryPlan,
)
from proxy.sql.planning import Planning
from proxy.sql.scope import Schemas
from proxy.sql.select_plans import plan_select
from proxy.sql.set_parser import SetParser
from proxy.sql.show_parser import ShowParser
from proxy.sql.syntax import Delete, Insert, Query, Update
from proxy.sql.version_comments import UNKNOWN_VERSION, ServerVersion, resolve_comments

CACHED_TEXT = 4_096
"""Characters: a longer statement is planned each time."""

_CONTROL: dict[str, Callable[[ChangeParser], Plan]] = {
    "BEGIN": read_begin,
    "START": read_begin,
    "COMMIT": read_commit,
    "ROLLBACK": read_rollback,
    "SAVEPOINT": read_savepoint,
    "RELEASE": read_savepoint,
    "USE": read_use,
    "KILL": read_kill,
    "UNLOCK": read_unlock,
}
_QUERIES = frozenset(("SELECT", "WITH", "INSERT", "REPLACE", "UPDATE", "DELETE", "("))
_REFUSED = frozenset(
    """ANALYZE BACKUP BINLOG CACHE CALL CHANGE CHECK CHECKSUM CLONE DEALLOCATE DECLARE EXECUTE FLUSH GET
    GRANT HANDLER HELP IMPORT INSTALL LOAD LOCK OPTIMIZE PREPARE PURGE RENAME REPAIR RESET RESIGNAL RESTART REVOKE
    SHUTDOWN SIGNAL STOP TABLE UNINSTALL VALUES XA""".split()
)


class Planner:
    """One for the whole proxy. Not thread-safe: it lives on the event loop."""

    def __init__(
        self, version: ServerVersion = UNKNOWN_VERSION, *, texts: int = 2_048, shapes: int = 4_096
    ) -> None:
        self._version = version
        self._texts: dict[tuple[str, str | None], Planned] = {}
        self._shapes: dict[tuple[str, str | None], tuple[Plan, int]] = {}
        self._most_texts, self._most_shapes = texts, shapes
        self._catalog: tuple[int, int] = (0, 0)

    def plan(
        self, sql: bytes | str, schemas: Schemas, database: str | None, *, prepared: bool = False
    ) -> Planned:
        """The plan of one statement. `prepared`: parameter markers are allowed."""
        text = sql if isinstance(sql, str) else sql.decode("utf-8", "surrogateescape")
        catalog = (id(schemas), schemas.version)
        if catalog != self._catalog:
            self._texts.clear()
            self._shapes.clear()
            self._catalog = catalog
        known = self._texts.get((text, database))
        if known is not None:
            planned = known
        elif len(text) > CACHED_TEXT or MARK in text:
            planned, _ = self._make(text, schemas, database)
        else:
            planned = self._by_shape(text, schemas, database)
        if planned.parameters and not prepared:
            raise SyntaxProblem(text, _first_marker(text))
        if prepared and planned.sql != text:
            raise NotSupported("a comment that only some servers execute, in a prepared statement")
        return planned

    def _by_shape(self, text: str, schemas: Schemas, database: str | None) -> Planned:
        shape, literals = fingerprint(text)
        known = self._shapes.get((shape, database))
        if known is not None:
            planned = Planned(known[0], text, literals, known[1])
            if (
                not literals
            ):  # a prepared statement, say: the same text comes again, with no need of its shape
                _put(self._texts, (text, database), planned, self._most_texts)
            return planned
        planned, shareable = self._make(text, schemas, database)
        if shareable and planned.literals == literals:
            _put(self._shapes, (shape, database), (planned.plan, planned.parameters), self._most_shapes)
        else:
            _put(self._texts, (text, database), planned, self._most_texts)
        return planned

    def _make(self, text: str, schemas: Schemas, database: str | None) -> tuple[Planned, bool]:
        sql = resolve_comments(text, self._version)
        if sql != text and not sql.strip("; \t\n\r"):
            return Planned(EmptyPlan(), sql, (), 0), False
        tokens = tokenize(sql)
        _require_one_statement(tokens)
        planning = Planning(tokens, schemas, database)
        plan = plan_statement(planning)
        shareable = (
            isinstance(plan, (QueryPlan, InsertPlan))
            and sql == text
            and not planning.text_dependent
            and not _reads_differently(tokens)
        )
        return Planned(plan, sql, tokens.literals, tokens.parameters), shareable


def _require_one_statement(tokens: Tokens) -> None:
    """The shards take several statements in a packet, and some plans pass a text on as it came: what stands behind
    a semicolon would run there unseen.
    """
    end: int | None = None
    for token in tokens.tokens:
        if token.kind is Kind.OPERATOR and token.text == ";":
            end = token.start if end is None else end
        elif end is not None and token.kind is not Kind.END:
            raise SyntaxProblem(tokens.sql, end)


def plan_statement(planning: Planning) -> Plan:
    """Plan a cut statement, by its first word."""
    tokens = planning.tokens
    first = tokens.tokens[0]
    if first.kind is Kind.END or first.upper == ";":
        raise EmptyQuery
    word = first.upper
    if word == "DO":
        return _plan_do(planning)
    if word in _QUERIES:
        return _plan_query(planning)
    if word in _CONTROL:
        return _CONTROL[word](ChangeParser(tokens))
    if word == "SET":
        return SetParser(tokens).plan()
    if word == "SHOW":
        return ShowParser(tokens, planning.schemas, planning.database).show()
    if word in ("DESCRIBE", "DESC", "EXPLAIN"):
        return _explain(planning)
    if word in ("CREATE", "DROP", "TRUNCATE", "ADOPT"):
        return DdlParser(tokens, planning.database).plan()
    if word == "ALTER":
        return AlterParser(tokens, planning.database).alter()
    if word in _REFUSED:
        Cursor(tokens).refuse(f"the statement {word} {tokens.tokens[1].text}".rstrip())
    raise SyntaxProblem(tokens.sql, first.start)


def _plan_do(planning: Planning) -> Plan:
    sql = planning.tokens.sql
    start = planning.tokens.tokens[0].start
    as_select = f"{sql[:start]}SELECT{sql[start + len('DO') :]}"
    selecting = Planning(tokenize(as_select), planning.schemas, planning.database)
    plan = _plan_query(selecting)
    assert isinstance(plan, QueryPlan)
    if plan.tables or plan.away:
        raise NotSupported("DO with a subquery")
    return DoPlan(plan.template)


def _plan_query(planning: Planning) -> Plan:
    return _plan_node(ChangeParser(planning.tokens).statement_query(), planning)


def _explain(planning: Planning) -> Plan:
    """EXPLAIN is asked of the shard that the statement would go to, of the first where it would go to several.

    What a statement may not do, its EXPLAIN may not either: a server runs a part of it to find its plan.
    """
    parser = ShowParser(planning.tokens, planning.schemas, planning.database)
    node = parser.explained()
    if node is None:
        return parser.describe()
    plan = _plan_node(node, planning)
    if isinstance(plan, InsertPlan):
        return parser.plan_of(FirstShard(), (plan.table,))
    if plan.as_of is not None:
        raise NotSupported("EXPLAIN of a SELECT with AS OF TIMESTAMP")
    route = plan.route if isinstance(plan.route, OneShard | ByKeys) else FirstShard()
    return parser.plan_of(route, plan.tables)


def _plan_node(node: Query | Insert | Update | Delete, planning: Planning) -> QueryPlan | InsertPlan:
    if isinstance(node, Insert):
        return plan_insert_select(node, planning) if node.query is not None else plan_insert(node, planning)
    if isinstance(node, (Update, Delete)):
        return plan_change(node, planning)
    return plan_select(node, planning)


def _reads_differently(tokens: Tokens) -> bool:
    """Whether other literals in the same places could make the text come apart in other ways.

    x'4D' and 'a' 'b': a quoted literal right behind a word or another literal joins with it; a number would not.
    """
    previous = None
    for token in tokens.tokens:
        if token.kind is Kind.BITS and token.text[0] in "xXbB":
            return True
        if token.ordinal >= 0 and token.kind is not Kind.PARAMETER and previous is not None:
            touching = previous.end == token.start and previous.kind in (Kind.WORD, Kind.NAME)
            if touching or (previous.ordinal >= 0 and previous.kind is not Kind.PARAMETER):
                return True
            if previous.kind is Kind.WORD and (previous.text[0] == "_" or previous.upper in _PREFIXES):
                return True
        previous = token
    return False


_PREFIXES = frozenset(("DATE", "TIME", "TIMESTAMP", "N", "COLLATE"))


def _first_marker(text: str) -> int:
    return next(token.start for token in tokenize(text).tokens if token.kind is Kind.PARAMETER)


K = TypeVar("K")
V = TypeVar("V")


def _put(cache: dict[K, V], key: K, value: V, most: int) -> None:
    while len(cache) >= most:
        del cache[next(iter(cache))]
    cache[key] = value

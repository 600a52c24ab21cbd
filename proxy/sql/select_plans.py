"""Plans of SELECT, consistent and locking."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.errors import NotSupported
from proxy.routing.tables import Table
from proxy.sql.checks import check_of
from proxy.sql.lexer import Tokens
from proxy.sql.plan import Access, AllShards, Check, QueryPlan, Scatter
from proxy.sql.planning import Planning, tables_of
from proxy.sql.scatter import ScatterBuilder
from proxy.sql.scope import Block
from proxy.sql.sharding import Routing, Sharding, decide
from proxy.sql.syntax import Query, Select


def plan_select(query: Query, planning: Planning) -> QueryPlan:
    scope = planning.scope()
    scope.query(query, None, "top")
    blocks = scope.blocks
    locking = query.locking is not None
    if not locking and any(isinstance(b.node, Select) and b.node.locking for b in blocks):
        raise NotSupported("a locking clause in a subquery or UNION member")
    patchable = planning.find_holes(blocks, consistent_read=not locking)
    sharding = Sharding(blocks, planning.schemas)
    routing = decide(sharding, locking=locking)
    scatter, refusal = _scatter(query, blocks, sharding, routing, planning)
    managed = [s for b in blocks for s in b.sources if s.table is not None and s.table.managed]
    information_schema = any(s.information_schema for b in blocks for s in b.sources)
    counts_all = any("SQL_CALC_FOUND_ROWS" in b.node.options for b in blocks if isinstance(b.node, Select))
    template = planning.template(query.start, query.end)
    return QueryPlan(
        access=Access.LOCKING_READ if locking else Access.READ,
        route=routing.route,
        tables=tables_of(blocks),
        written=_locked(query, blocks) if locking else (),
        template=template,
        template_only=bool(planning.session_values)
        or information_schema
        or counts_all
        or planning.as_of is not None,
        session_values=planning.session_values,
        scatter=scatter,
        scatter_refusal=refusal,
        joins=not locking and len(managed) > 1,
        patchable=patchable,
        checks=_locking_checks(query, blocks, planning.tokens) if locking else (),
        expected_rows=None,
        inserts=False,
        replicated=False,
        returns_rows=True,
        away=template.away,
        counts_all=counts_all,
        shares=query.locking is not None and query.locking.shared,
        as_of=planning.as_of,
        again=planning.again,
    )


def _scatter(
    query: Query, blocks: Sequence[Block], sharding: Sharding, routing: Routing, planning: Planning
) -> tuple[Scatter | None, str]:
    """What several shards are asked; None with what NotSupported shall say, when they cannot be."""
    if not routing.scatterable or not isinstance(query, Select):
        return None, routing.refusal
    top = next(block for block in blocks if block.node is query)
    builder = ScatterBuilder(planning.tokens, query, top, sharding, planning.holes)
    try:
        scatter = builder.build()
    except NotSupported as error:
        if isinstance(routing.route, AllShards):
            raise
        return None, error.construct
    planning.text_dependent |= builder.text_dependent
    return scatter, routing.refusal


def _locked(query: Query, blocks: Sequence[Block]) -> tuple[Table, ...]:
    """FOR UPDATE locks what the query's own FROM names, or those after OF."""
    assert query.locking is not None
    of = {name.lower() for name in query.locking.of}
    sources = [s for b in blocks if b.kind in ("top", "member") for s in b.sources]
    chosen = [s for s in sources if not of or s.alias.lower() in of]
    return tuple(dict.fromkeys(s.table for s in chosen if s.table is not None))


def _locking_checks(query: Query, blocks: Sequence[Block], tokens: Tokens) -> tuple[Check, ...]:
    locked = _locked(query, blocks)
    checks: list[Check] = []
    for block in blocks:
        if block.kind not in ("top", "member"):
            continue
        conditions = [block.node.where] if block.node.where is not None else []
        for source in block.sources:
            if source.table is not None and source.table in locked and source.table.managed:
                checks.append(check_of(source, block, conditions, tokens))
    return tuple(checks)

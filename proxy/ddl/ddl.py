"""Data definition as the session sees it.

Owns: `Ddl`, which runs one planned statement to its end, and `DdlResult`. The session ends its transaction
before (MySQL's implicit commit) and takes `store.current` anew afterwards.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.ddl.adopt import adopt_table
from proxy.ddl.create_table import create_table
from proxy.ddl.databases import create_database, drop_database
from proxy.ddl.drop_table import drop_tables, truncate_table
from proxy.ddl.hints import Hint, read_pairs
from proxy.ddl.indexes import create_index, drop_index
from proxy.ddl.recovery import recover
from proxy.ddl.workshop import Client, Workshop
from proxy.executor.warnings import Condition
from proxy.routing.table_facts import TableId
from proxy.sql.plan import DdlKind, DdlPlan
from txguard.errors import ShardDown

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DdlResult:
    """For the OK packet and SHOW WARNINGS."""

    affected_rows: int = 0
    warnings: tuple[Condition, ...] = ()


class Ddl:
    def __init__(self, workshop: Workshop, configured: Mapping[TableId, Hint] | None = None) -> None:
        """`configured`: where the configuration wants tables to go, by (schema, name)."""
        self._workshop = workshop
        self._configured = configured or {}
        self._unfinished = False
        """The last statement failed and may have left an intent."""

    async def start(self) -> None:
        """Recover from a statement that a crash cut off; with a shard down this is left to the next statement."""
        try:
            async with self._workshop.exclusive() as left_behind:
                await recover(self._workshop, left_behind)
            self._unfinished = False
        except ShardDown as error:
            log.warning("not looking for a data definition statement that was cut off: %s", error)

    async def watch(self, interval_s: float) -> None:
        """For ever: complete what a statement of this process had to leave (open transactions held a table)."""
        while True:
            await asyncio.sleep(interval_s)
            if self._unfinished:
                try:
                    await self.start()
                except Exception as error:
                    log.warning("a data definition statement is still unfinished: %s", error)

    async def run(self, plan: DdlPlan, client: Client) -> DdlResult:
        """Raises what MySQL would (ProxyError, ShardError), NotManageable, ShardDown when any shard is down."""
        async with self._workshop.exclusive() as left_behind:
            await recover(self._workshop, left_behind)
            self._unfinished = True
            result = await self._run(plan, client)
            self._unfinished = False
            return result

    async def _run(self, plan: DdlPlan, client: Client) -> DdlResult:
        if plan.kind in (DdlKind.CREATE_DATABASE, DdlKind.DROP_DATABASE):
            return await self._run_database(plan, client)
        workshop, tables = self._workshop, [(table.schema, table.name) for table in plan.tables]
        conditional = plan.conditional
        match plan.kind:
            case DdlKind.CREATE_TABLE:
                return DdlResult(warnings=await self._create_table(plan, tables[0], client))
            case DdlKind.DROP_TABLE:
                return DdlResult(warnings=await drop_tables(workshop, tables, conditional=conditional))
            case DdlKind.TRUNCATE_TABLE:
                await truncate_table(workshop, tables[0])
                return DdlResult()
            case DdlKind.ADOPT_TABLE:
                return DdlResult(warnings=await adopt_table(workshop, tables[0]))
            case DdlKind.CREATE_INDEX:
                made = await create_index(
                    workshop, tables[0], plan.text, conditional=conditional, client=client
                )
                return DdlResult(warnings=made)
            case DdlKind.DROP_INDEX:
                dropped = await drop_index(workshop, tables[0], plan.text, conditional=conditional)
                return DdlResult(warnings=dropped)
            case _:
                raise AssertionError(plan.kind)

    async def _run_database(self, plan: DdlPlan, client: Client) -> DdlResult:
        assert plan.database is not None
        if plan.kind is DdlKind.DROP_DATABASE:
            dropped, warnings = await drop_database(
                self._workshop, plan.database, conditional=plan.conditional
            )
            return DdlResult(dropped, warnings)
        warnings = await create_database(
            self._workshop, plan.database, plan.text, conditional=plan.conditional, client=client
        )
        return DdlResult(1, warnings)

    async def _create_table(self, plan: DdlPlan, table: TableId, client: Client) -> tuple[Condition, ...]:
        return await create_table(
            self._workshop,
            table,
            plan.text,
            conditional=plan.conditional,
            hint=read_pairs(plan.hints),
            fallback=self._configured.get(table, Hint()),
            client=client,
        )

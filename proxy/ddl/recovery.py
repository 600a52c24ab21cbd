"""Finishes or undoes the statement that a crash cut off: which of the two, is this table."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from proxy.ddl.create_table import undo_create
from proxy.ddl.databases import finish_drop_database
from proxy.ddl.drop_table import finish_drop, finish_truncate
from proxy.ddl.indexes import finish_drop_index, undo_create_index
from proxy.ddl.intents import Intent, IntentKind
from proxy.ddl.workshop import Workshop

log = logging.getLogger(__name__)


_RECOVERY: Final[Mapping[IntentKind, Callable[[Workshop, Intent], Awaitable[None]]]] = {
    IntentKind.CREATE_TABLE: undo_create,
    IntentKind.DROP_TABLES: finish_drop,
    IntentKind.TRUNCATE_TABLE: finish_truncate,
    IntentKind.DROP_DATABASE: finish_drop_database,
    IntentKind.CREATE_INDEX: undo_create_index,
    IntentKind.DROP_INDEX: finish_drop_index,
}


async def recover(workshop: Workshop, intent: Intent | None) -> None:
    """The caller holds `workshop.exclusive`."""
    if intent is not None:
        names = ", ".join(f"{target.schema}.{target.name}" for target in intent.tables)
        log.warning(
            "recovering from a %s of %s that was cut off", intent.kind.value, names or intent.database
        )
        await _RECOVERY[intent.kind](workshop, intent)
        await workshop.store.load()

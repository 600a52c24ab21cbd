"""COM_FIELD_LIST: the columns of a table, as old clients ask for them (`mysql` at its start, mysql_list_fields)."""

from __future__ import annotations

from proxy.executor.parameters import quote_text
from proxy.session.conversation import Conversation
from proxy.sql.operands import quote_name
from proxy.sql.scope import INTERNAL_PREFIX, ScopeBuilder
from proxy.wire.columns import make_column_definition
from proxy.wire.lenenc import lenenc_bytes

_NULL = b"\xfb"


async def field_list(talk: Conversation, name: str, pattern: str) -> list[bytes]:
    """A definition for each column LIKE `pattern` ("": all), with its default. Raises NoSuchTable and the like."""
    catalog = talk.process.services.catalog_store.current
    table = ScopeBuilder(catalog, talk.state.database).table(None, name)
    talk.access.check_tables((table,))
    shard = table.home if table.home is not None else catalog.all_shards[0]
    qualified = f"{quote_name(table.schema)}.{quote_name(table.name)}"
    like = f" LIKE {quote_text(pattern)}" if pattern else ""
    shown = (await talk.executor.ask(shard, f"SHOW COLUMNS FROM {qualified}{like}")).rows()
    everything = (await talk.executor.ask(shard, f"SELECT * FROM {qualified} LIMIT 0")).columns()
    defaults = {row[0]: row[4] for row in shown if not (row[0] or b"").startswith(INTERNAL_PREFIX.encode())}
    return [
        make_column_definition(column) + _default(defaults[column.name])
        for column in everything
        if column.name in defaults
    ]


def _default(value: bytes | None) -> bytes:
    return _NULL if value is None else lenenc_bytes(value)

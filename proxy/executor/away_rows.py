"""What other shards know of the single tables that live there, as rows beside what the first shard knows.

The rule: a value keeps its type as far as a literal can have it; an ENUM becomes the text that it shows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from proxy.backend.profile import PYTHON_ENCODINGS
from proxy.backend.reply import RelayReply
from proxy.executor.answers import Row
from proxy.sql.template import AwayRows
from proxy.wire.columns import ColumnDefinition
from proxy.wire.field_types import INTEGER_WIDTHS, FieldType
from tso.types import ShardName

_TIMES = frozenset((FieldType.DATETIME, FieldType.TIMESTAMP))


async def away_rows(
    part: AwayRows, ask: Callable[[ShardName, str], Awaitable[RelayReply]], results: str | None
) -> str:
    """`results`: the character set in which the shards answer; None or binary: each column's own, which is UTF-8."""
    encoding = "utf-8" if results in (None, "binary") else PYTHON_ENCODINGS[str(results)]
    text = ""
    for shard, question in part.questions:
        reply = await ask(shard, question)
        columns = reply.columns()
        names = [column.name.decode().upper() for column in columns]
        table = names.index("TABLE_NAME") if "TABLE_NAME" in names else None
        for row in reply.rows():
            if table is None or (row[table] or b"").decode(encoding) in part.tables:
                text += f" UNION ALL SELECT {_literals(columns, row, encoding)}"
    return text


def _literals(columns: list[ColumnDefinition], row: Row, encoding: str) -> str:
    return ", ".join(_literal(column, value, encoding) for column, value in zip(columns, row, strict=True))


def _literal(column: ColumnDefinition, value: bytes | None, encoding: str) -> str:
    if value is None:
        return "NULL"
    if column.type in INTEGER_WIDTHS:
        number = value.decode("ascii")
        return f"CAST({number} AS UNSIGNED)" if column.unsigned else number
    if column.type in _TIMES:
        return f"TIMESTAMP'{value.decode('ascii')}'"
    # In the character set of its columns, so that a query's COLLATE fits; they hold no letter beyond it.
    text = "".join(letter if letter <= "\uffff" else "?" for letter in value.decode(encoding, "replace"))
    return f"_utf8mb3 X'{text.encode().hex()}'"

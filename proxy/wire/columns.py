"""Column definitions ("Protocol::ColumnDefinition41")."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.errors import MalformedPacket
from proxy.wire.capabilities import ColumnFlag
from proxy.wire.field_types import FieldType
from proxy.wire.lenenc import PayloadReader, lenenc_bytes

UTF8MB4_GENERAL_CI = 45
BINARY_COLLATION = 63


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """One column of a result. `character_set` is a collation id; `column_length` is in bytes at most."""

    name: bytes
    type: int = FieldType.VAR_STRING
    character_set: int = UTF8MB4_GENERAL_CI
    column_length: int = 1024
    flags: int = 0
    decimals: int = 0
    schema: bytes = b""
    table: bytes = b""
    org_table: bytes = b""
    org_name: bytes = b""
    catalog: bytes = b"def"

    @property
    def unsigned(self) -> bool:
        return bool(self.flags & ColumnFlag.UNSIGNED)


def text_column(name: str, *, column_length: int = 1024) -> ColumnDefinition:
    return ColumnDefinition(name.encode(), column_length=column_length)


def integer_column(name: str, *, unsigned: bool = False) -> ColumnDefinition:
    flags = ColumnFlag.NUM | ColumnFlag.BINARY | (ColumnFlag.UNSIGNED if unsigned else 0)
    return ColumnDefinition(name.encode(), FieldType.LONGLONG, BINARY_COLLATION, 21, int(flags))


def make_column_definition(column: ColumnDefinition) -> bytes:
    names = (column.catalog, column.schema, column.table, column.org_table, column.name, column.org_name)
    return b"".join(
        (
            *map(lenenc_bytes, names),
            b"\x0c",
            column.character_set.to_bytes(2, "little"),
            column.column_length.to_bytes(4, "little"),
            bytes((column.type,)),
            column.flags.to_bytes(2, "little"),
            bytes((column.decimals, 0, 0)),
        )
    )


def parse_column_definition(payload: bytes) -> ColumnDefinition:
    reader = PayloadReader(payload)
    catalog, schema, table, org_table, name, org_name = (reader.lenenc_bytes() for _ in range(6))
    if reader.lenenc_int() < 12:
        raise MalformedPacket("column definition without its fixed fields")
    return ColumnDefinition(
        character_set=reader.integer(2),
        column_length=reader.integer(4),
        type=reader.integer(1),
        flags=reader.integer(2),
        decimals=reader.integer(1),
        name=name,
        schema=schema,
        table=table,
        org_table=org_table,
        org_name=org_name,
        catalog=catalog,
    )

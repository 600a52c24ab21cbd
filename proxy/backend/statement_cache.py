"""The statements that one shard connection has prepared, least recently used first out.

A statement belongs to the profile under which it was prepared (its database and sql_mode are bound then), so
the SQL is looked up under the profile. All of a connection's statements count against one limit, because a
server has one for all connections (`max_prepared_stmt_count`, 16,382 by default).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from proxy.backend.profile import SessionProfile

DEFAULT_LIMIT = 64


@dataclass(slots=True)
class CachedStatement:
    statement_id: int
    num_params: int
    sent_types: bytes | None = None
    """The parameter types that the shard was last told; None: none yet."""


class StatementCache:
    __slots__ = ("_entries", "limit")

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._entries: OrderedDict[tuple[bytes, SessionProfile | None], CachedStatement] = OrderedDict()
        self.limit = limit

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, sql: bytes, profile: SessionProfile | None) -> CachedStatement | None:
        key = (sql, profile)
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, sql: bytes, profile: SessionProfile | None, statement: CachedStatement) -> None:
        self._entries[sql, profile] = statement

    def make_room(self) -> list[int]:
        """Forget as many as a further one needs; their ids are to be closed at the shard."""
        gone: list[int] = []
        while len(self._entries) >= self.limit:
            gone.append(self._entries.popitem(last=False)[1].statement_id)
        return gone

    def discard(self, sql: bytes, profile: SessionProfile | None) -> int | None:
        """Forget one; its id, if it was there."""
        found = self._entries.pop((sql, profile), None)
        return None if found is None else found.statement_id

    def clear(self) -> list[int]:
        """Forget all; their ids are to be closed at the shard."""
        gone = [entry.statement_id for entry in self._entries.values()]
        self._entries.clear()
        return gone

"""The idle connections of a pool: last in, first out, those with the wanted profile first."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.backend.connection import BackendConnection
from proxy.backend.profile import SessionProfile


class IdleConnections:
    __slots__ = ("_by_profile", "_count")

    def __init__(self) -> None:
        self._by_profile: dict[SessionProfile | None, list[BackendConnection]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[BackendConnection]:
        return (connection for stack in self._by_profile.values() for connection in stack)

    def push(self, connection: BackendConnection) -> None:
        stack = self._by_profile.get(connection.profile)
        if stack is None:
            stack = self._by_profile[connection.profile] = []
        stack.append(connection)
        self._count += 1

    def pop(self, profile: SessionProfile) -> BackendConnection | None:
        """One that has the profile, or else one that can be switched to it."""
        stack = self._by_profile.get(profile)
        if stack:
            self._count -= 1
            return stack.pop()
        return self._pop_other(profile.found_rows)

    def pop_unlike(self, found_rows: bool) -> BackendConnection | None:
        """One that cannot be switched: its place is worth more than it is."""
        return self._pop_other(not found_rows)

    def remove(self, connection: BackendConnection) -> bool:
        """False: it was not idle."""
        stack = self._by_profile.get(connection.profile, [])
        if connection not in stack:
            return False
        stack.remove(connection)
        self._count -= 1
        return True

    def _pop_other(self, found_rows: bool) -> BackendConnection | None:
        empty: list[SessionProfile | None] = []
        found: BackendConnection | None = None
        for profile, stack in self._by_profile.items():
            if not stack:
                empty.append(profile)
            elif stack[-1].found_rows == found_rows:
                found = stack.pop()
                self._count -= 1
                break
        for profile in empty:
            del self._by_profile[profile]
        return found

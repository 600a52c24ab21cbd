"""The connections of a pool to and fro: the idle ones, and who waits in line for one. The hot path of `pool.py`."""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from dataclasses import dataclass

from proxy.backend.connection import BackendConnection
from proxy.backend.idle import IdleConnections
from proxy.backend.profile import SessionProfile


class Grant(enum.Enum):
    """What someone in line may get in place of a connection."""

    ROOM = "room"
    """Room for a new connection, already counted."""
    LOOK = "look"
    """Things have changed: begin again."""


Granted = BackendConnection | Grant


@dataclass(slots=True)
class Waiter:
    future: asyncio.Future[Granted]
    profile: SessionProfile


class Lending:
    __slots__ = ("closed", "idle", "waiters")

    def __init__(self) -> None:
        self.idle = IdleConnections()
        self.waiters: deque[Waiter] = deque()
        self.closed = False

    def take(self, profile: SessionProfile) -> BackendConnection | None:
        """An idle connection, or None: none is idle, or others wait in line."""
        if self.waiters:
            return None
        connection = self.idle.pop(profile)
        if connection is not None:
            applied = connection.profile
            connection.wanted_profile = profile if applied is not profile and applied != profile else applied
        return connection

    def give_back(self, connection: BackendConnection) -> None:
        """Give back. One that cannot be used again is dropped; a closed one is already forgotten."""
        if connection.closed:
            return
        if self.closed or not connection.reusable:
            connection.abort()
            return
        while self.waiters:
            waiter = self.waiters.popleft()
            if waiter.future.done():
                continue
            if waiter.profile.found_rows == connection.found_rows:
                connection.wanted_profile = waiter.profile
                waiter.future.set_result(connection)
            else:
                self.waiters.appendleft(waiter)
                connection.close()
            return
        connection.idle_rounds = 0
        self.idle.push(connection)

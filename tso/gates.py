"""Gates: hold back new commits on some shards, for a quiet snapshot. Sans-IO.

Rules. A shard has one gate at a time, and a gate closes on all of its shards at once or not at all, so
gates never wait for each other in a circle. A commit that was held back once is counted on all of its
participants until it went through; no other gate closes there before that, so that gates in a row cannot
starve it. Who is to be held waits before it is outstanding, so a gate never waits for whom it holds.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Collection

from tso.types import ShardName
from tso.waiter import Waiter, WaitingPlace


class GateState(enum.Enum):
    CLOSED = "closed"
    """Commits are held back."""
    OPEN = "open"
    """Let go by its owner: the shards were quiet all the time."""
    EXPIRED = "expired"
    """Let go early: commits may have gone through since."""


class Gate:
    __slots__ = ("held", "shards", "state")

    def __init__(self, shards: frozenset[ShardName]) -> None:
        self.shards = shards
        self.state = GateState.CLOSED
        self.held = WaitingPlace()


class HeldCommit(Waiter):
    """A `begin_commit` that a gate holds back. Goes to `Gates.release_held` in the end, whatever happened."""

    __slots__ = ("counted", "participants")

    def __init__(self, participants: frozenset[ShardName]) -> None:
        super().__init__()
        self.participants = participants
        self.counted = True


class Gates:
    __slots__ = ("_changed", "_closed", "_held")

    def __init__(self) -> None:
        self._closed: dict[ShardName, Gate] = {}
        self._held: Counter[ShardName] = Counter()
        self._changed = WaitingPlace()

    @property
    def any_closed(self) -> bool:
        return bool(self._closed)

    def close(self, shards: Collection[ShardName]) -> Gate | Waiter:
        """Close a gate on `shards`; or wait until it is worth trying again."""
        if any(shard in self._closed or self._held[shard] for shard in shards):
            waiter = Waiter()
            waiter.join(self._changed)
            return waiter
        gate = Gate(frozenset(shards))
        for shard in gate.shards:
            self._closed[shard] = gate
        return gate

    def open(self, gate: Gate) -> bool:
        """Let go. True when the gate held all the time; idempotent."""
        self._let_go(gate, GateState.OPEN)
        return gate.state is GateState.OPEN

    def expire(self, gate: Gate) -> None:
        """The bound on holding back commits passed."""
        self._let_go(gate, GateState.EXPIRED)

    def expire_on(self, shards: Collection[ShardName]) -> None:
        """A commit turned up on `shards` that could not be held back."""
        for gate in {self._closed[shard] for shard in shards if shard in self._closed}:
            self.expire(gate)

    def hold(self, participants: Collection[ShardName]) -> HeldCommit | None:
        """Wait until no gate is closed on a participant. None: none is."""
        if not self._closed:
            return None
        gates = {self._closed[shard] for shard in participants if shard in self._closed}
        if not gates:
            return None
        held = HeldCommit(frozenset(participants))
        for gate in gates:
            held.join(gate.held)
        for shard in held.participants:
            self._held[shard] += 1
        return held

    def release_held(self, held: HeldCommit) -> None:
        """The commit went through or gave up. Idempotent."""
        held.withdraw()
        if not held.counted:
            return
        held.counted = False
        for shard in held.participants:
            self._held[shard] -= 1
            if not self._held[shard]:
                del self._held[shard]
        self._changed.release()

    def _let_go(self, gate: Gate, state: GateState) -> None:
        if gate.state is not GateState.CLOSED:
            return
        gate.state = state
        for shard in gate.shards:
            del self._closed[shard]
        gate.held.release()
        self._changed.release()

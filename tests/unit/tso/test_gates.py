"""Gates: all shards at once, one gate a shard, and no commit starved by gates in a row."""

from __future__ import annotations

from tso.gates import Gate, Gates, GateState, HeldCommit
from tso.types import ShardName
from tso.waiter import Waiter, WaiterState

A, B, C = ShardName("a"), ShardName("b"), ShardName("c")


def close(gates: Gates, *shards: ShardName) -> Gate:
    gate = gates.close(shards)
    assert isinstance(gate, Gate)
    return gate


def refused(gates: Gates, *shards: ShardName) -> Waiter:
    waiter = gates.close(shards)
    assert isinstance(waiter, Waiter)
    return waiter


def hold(gates: Gates, *participants: ShardName) -> HeldCommit:
    held = gates.hold(participants)
    assert held is not None
    return held


def test_holds_commits_on_its_shards_only() -> None:
    gates = Gates()
    assert gates.hold((A,)) is None
    gate = close(gates, A, B)
    assert gates.hold((C,)) is None
    held = hold(gates, B, C)
    assert gates.open(gate)
    assert held.state is WaiterState.READY
    assert gates.hold((A, B)) is None


def test_expired() -> None:
    gates = Gates()
    gate = close(gates, A)
    held = hold(gates, A)
    gates.expire(gate)
    assert held.state is WaiterState.READY
    assert not gates.open(gate)
    assert gate.state is GateState.EXPIRED


def test_expiry_after_opening_changes_nothing() -> None:
    gates = Gates()
    gate = close(gates, A)
    assert gates.open(gate)
    later = close(gates, A)
    gates.expire(gate)
    assert gates.open(gate)
    assert later.state is GateState.CLOSED


def test_a_commit_that_cannot_be_held_expires_it() -> None:
    gates = Gates()
    gate = close(gates, A, B)
    other = close(gates, C)
    gates.expire_on((B,))
    assert gate.state is GateState.EXPIRED
    assert other.state is GateState.CLOSED


def test_one_gate_a_shard_and_all_or_nothing() -> None:
    gates = Gates()
    first = close(gates, A, B)
    waiter = refused(gates, B, C)
    assert gates.hold((C,)) is None, "nothing is held by a gate that did not close"
    gates.open(first)
    assert waiter.state is WaiterState.READY
    close(gates, B, C)


def test_a_held_commit_waits_for_all_gates_in_its_way() -> None:
    gates = Gates()
    first, second = close(gates, A), close(gates, B)
    held = hold(gates, A, B)
    gates.open(first)
    assert held.state is WaiterState.WAITING
    gates.open(second)
    assert held.state is WaiterState.READY


def test_no_further_gate_before_held_commits_went_through() -> None:
    gates = Gates()
    first = close(gates, A)
    held = hold(gates, A, B)
    elsewhere = refused(gates, B)
    gates.open(first)
    assert elsewhere.state is WaiterState.READY
    again = refused(gates, A, B)
    gates.release_held(held)
    assert again.state is WaiterState.READY
    close(gates, A, B)


def test_a_held_commit_that_gave_up_is_in_nobodys_way() -> None:
    gates = Gates()
    first = close(gates, A)
    held = hold(gates, A)
    gates.release_held(held)
    gates.release_held(held)
    gates.open(first)
    close(gates, A)

"""Whether a shard is worth trying."""

from __future__ import annotations

import pytest

from proxy.backend.circuit import LONGEST_PAUSE_S, Circuit, CircuitState


def fail(circuit: Circuit, now: float) -> None:
    circuit.probing()
    circuit.failed("refused", now)


def test_the_first_connection_is_a_probe() -> None:
    circuit = Circuit()
    assert circuit.state is CircuitState.DOWN
    assert circuit.may_probe(0.0)
    circuit.probing()
    assert not circuit.may_probe(0.0)
    circuit.succeeded()
    assert circuit.state is CircuitState.UP


def test_pauses_double_up_to_a_second() -> None:
    circuit, now, pauses = Circuit(), 100.0, []
    for _ in range(8):
        fail(circuit, now)
        pause = 0.0
        while not circuit.may_probe(now + pause):
            pause = round(pause + 0.01, 2)
        pauses.append(pause)
        now += pause
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, LONGEST_PAUSE_S]


def test_many_failures_at_once_are_one() -> None:
    circuit = Circuit()
    circuit.probing()
    circuit.succeeded()
    for _ in range(50):
        circuit.failed("refused", 10.0)
    assert not circuit.may_probe(10.04)
    assert circuit.may_probe(10.051)


def test_success_forgets_the_pauses() -> None:
    circuit = Circuit()
    for now in range(10):
        fail(circuit, float(now * 2))
    circuit.probing()
    circuit.succeeded()
    circuit.failed("refused", 50.0)
    assert circuit.may_probe(50.06)
    assert circuit.last_error == "refused"


def test_a_given_up_probe_lets_the_next_one_try() -> None:
    circuit = Circuit()
    circuit.probing()
    circuit.abandoned()
    assert circuit.may_probe(0.0)


def test_two_probes_at_once_are_a_mistake() -> None:
    circuit = Circuit()
    circuit.probing()
    with pytest.raises(ValueError):
        circuit.probing()


def test_who_hears_that_the_shard_is_up_may_try_at_once() -> None:
    circuit = Circuit()
    fail(circuit, 100.0)
    fail(circuit, 200.0)
    assert not circuit.may_probe(200.0)
    circuit.encouraged()
    assert circuit.may_probe(200.0)

"""What is said when a pool is exhausted: who is to blame must be right."""

from __future__ import annotations

from proxy.backend.shortage import Shortage


def test_a_shard_that_answers_nobody_is_named() -> None:
    text = Shortage(100, [12.04] + [5.0] * 99, 0).text("s2", 5.0)
    assert text.startswith("shard s2 does not answer: 100 wait for its answer, the longest for 12.0 s")
    assert "max_connections" not in text


def test_connections_that_are_being_opened_wait_for_it_too() -> None:
    text = Shortage(4, [3.0], 3).text("s2", 2.0)
    assert "does not answer: 1 wait for its answer, the longest for 3.0 s, 3 are being opened" in text


def test_one_answer_in_the_meantime_makes_it_an_overload() -> None:
    text = Shortage(3, [9.0, 9.0, 0.2], 0).text("s2", 5.0)
    assert "all 3 connections are in use and none became free within 5 s" in text
    assert "3 wait for its answer, the longest for 9.0 s" in text
    assert "raise max_connections" in text


def test_transactions_that_hold_connections_are_no_fault_of_the_shard() -> None:
    assert "2 wait for its answer" in Shortage(3, [9.0, 9.0], 0).text("s2", 5.0)
    assert "open transactions hold them" in Shortage(3, [], 0).text("s2", 5.0)
    assert "does not answer" not in Shortage(3, [9.0, 9.0], 0).text("s2", 5.0)

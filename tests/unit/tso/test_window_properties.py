"""Random schedules of the window against a naive oracle, that of the protocol's model.

The naive one keeps every transaction for ever and answers each question by looking at all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tso.errors import DependencyRolledBack
from tso.types import Outcome, ShardName, Timestamp
from tso.waiter import Waiter, WaiterState
from tso.window import Window

SHARDS = tuple(map(ShardName, "abc"))
PARTICIPANTS = st.sets(st.sampled_from(SHARDS), min_size=1).map(lambda shards: tuple(sorted(shards)))
CHOICE = st.randoms(use_true_random=False)


@dataclass
class Naive:
    start_ts: int
    floor: int
    commit_ts: int | None = None
    participants: tuple[ShardName, ...] = ()
    outcome: Outcome | None = None
    ended: bool = False

    @property
    def outstanding(self) -> bool:
        return self.commit_ts is not None and not self.ended

    @property
    def cross(self) -> bool:
        return len(self.participants) > 1


@dataclass
class Expectation:
    """A waiter and what it must wait for: the ends, or the decisions, of these."""

    waiter: Waiter
    on: list[Naive] = field(default_factory=list)
    decisions: bool = False

    def expected(self) -> WaiterState:
        if not self.decisions:
            return WaiterState.READY if all(t.ended for t in self.on) else WaiterState.WAITING
        if any(t.outcome is Outcome.ROLLED_BACK for t in self.on):
            return WaiterState.FAILED
        return WaiterState.READY if all(t.outcome for t in self.on) else WaiterState.WAITING


class WindowAgainstNaive(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.window = Window()
        self.now = 0
        self.all: dict[int, Naive] = {}
        self.expectations: list[Expectation] = []
        self.rollbacks = dict.fromkeys(SHARDS, 0)

    def tick(self) -> Timestamp:
        self.now += 1
        return Timestamp(self.now)

    def some(self, *, outstanding: bool) -> list[int]:
        return [
            t.start_ts for t in self.all.values() if not t.ended and (t.commit_ts is not None) is outstanding
        ]

    @rule()
    def begin(self) -> None:
        start_ts = self.tick()
        floor = self.window.begin(start_ts)
        active = [t.start_ts for t in self.all.values() if not t.ended]
        assert floor == min([*active, start_ts])
        self.all[start_ts] = Naive(start_ts, floor)

    @precondition(lambda self: self.some(outstanding=False))
    @rule(random=CHOICE, participants=PARTICIPANTS)
    def begin_commit(self, random, participants) -> None:  # type: ignore[no-untyped-def]
        naive = self.all[random.choice(self.some(outstanding=False))]
        naive.commit_ts, naive.participants = self.tick(), participants
        self.window.begin_commit(Timestamp(naive.start_ts), Timestamp(naive.commit_ts), participants)

    @precondition(lambda self: self.some(outstanding=True))
    @rule(random=CHOICE, outcome=st.sampled_from(Outcome))
    def decide(self, random, outcome) -> None:  # type: ignore[no-untyped-def]
        naive = self.all[random.choice(self.some(outstanding=True))]
        naive.outcome = naive.outcome or outcome
        self.window.decide(Timestamp(naive.start_ts), naive.outcome)

    @precondition(lambda self: self.some(outstanding=True))
    @rule(random=CHOICE, outcome=st.sampled_from(Outcome))
    def end_commit(self, random, outcome) -> None:  # type: ignore[no-untyped-def]
        naive = self.all[random.choice(self.some(outstanding=True))]
        naive.outcome = naive.outcome or outcome
        naive.ended = True
        if naive.outcome is Outcome.ROLLED_BACK:
            for shard in naive.participants:
                self.rollbacks[shard] += 1
        self.window.end_commit(Timestamp(naive.start_ts), naive.outcome)

    @precondition(lambda self: self.some(outstanding=False))
    @rule(random=CHOICE)
    def end(self, random) -> None:  # type: ignore[no-untyped-def]
        naive = self.all[random.choice(self.some(outstanding=False))]
        naive.ended = True
        self.window.end(Timestamp(naive.start_ts))

    @rule(shards=PARTICIPANTS, back=st.integers(0, 5))
    def barrier(self, shards, back) -> None:  # type: ignore[no-untyped-def]
        read_ts = Timestamp(max(0, self.now + 1 - back))
        expected = [
            t
            for t in self.all.values()
            if t.outstanding and (t.commit_ts or 0) < read_ts and set(t.participants) & set(shards)
        ]
        self.expect(self.window.wait_barrier(shards, read_ts), expected, decisions=False)

    @precondition(lambda self: self.some(outstanding=False))
    @rule(random=CHOICE, inserted=st.sets(st.sampled_from(SHARDS)))
    def dependencies(self, random, inserted) -> None:  # type: ignore[no-untyped-def]
        naive = self.all[random.choice(self.some(outstanding=False))]
        # What a transaction can depend on: writers from its floor on that asked to commit.
        writers = [
            t for t in self.all.values() if t.start_ts >= naive.floor and t.commit_ts is not None and t.cross
        ]
        chosen = random.sample(writers, min(len(writers), 2))
        there = [t for t in self.all.values() if t.outstanding and t.cross and inserted & set(t.participants)]
        doomed = any(t.outcome is Outcome.ROLLED_BACK for t in [*chosen, *there])
        try:
            waiter = self.window.wait_dependencies([Timestamp(t.start_ts) for t in chosen], inserted)
        except DependencyRolledBack:
            assert doomed
            return
        assert not doomed
        undecided = [t for t in [*chosen, *there] if t.outcome is None]
        self.expect(waiter, undecided, decisions=True)

    @rule(shard=st.sampled_from(SHARDS), stale=st.integers(0, 1))
    def validate(self, shard, stale) -> None:  # type: ignore[no-untyped-def]
        there = [t for t in self.all.values() if t.outstanding and t.cross and shard in t.participants]
        answer = self.window.validate_read(shard, self.rollbacks[shard] - stale)
        if stale or any(t.outcome is Outcome.ROLLED_BACK for t in there):
            assert answer is False
        elif undecided := [t for t in there if t.outcome is None]:
            assert isinstance(answer, Waiter)
            self.expect(answer, undecided, decisions=True)
        else:
            assert answer is True

    def expect(self, waiter: Waiter | None, on: list[Naive], *, decisions: bool) -> None:
        assert (waiter is None) is (not on)
        if waiter is not None:
            self.expectations.append(Expectation(waiter, on, decisions))

    @invariant()
    def waiters_are_settled_exactly_when_they_must_be(self) -> None:
        for expectation in self.expectations:
            assert expectation.waiter.state is expectation.expected()
        self.expectations = [e for e in self.expectations if e.waiter.state is WaiterState.WAITING]

    @invariant()
    def the_index_agrees(self) -> None:
        for shard in SHARDS:
            there = {t.start_ts for t in self.all.values() if t.outstanding and shard in t.participants}
            assert {c.start_ts for c in self.window.commits.before((shard,), Timestamp(1 << 60))} == there
            cross = any(t.outstanding and t.cross and shard in t.participants for t in self.all.values())
            assert self.window.needs_dependencies((shard,)) is cross

    @invariant()
    def nothing_that_is_needed_is_below_the_safe_point(self) -> None:
        safe_point = self.window.safe_point(Timestamp(self.now))
        for t in self.all.values():
            if not t.ended:
                assert safe_point <= t.floor
        assert safe_point == min([self.now, *(t.floor for t in self.all.values() if not t.ended)])


TestWindowAgainstNaive = WindowAgainstNaive.TestCase
TestWindowAgainstNaive.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)

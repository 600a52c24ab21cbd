"""Where the oracle persists its epoch, its bound and its lease: on a majority of one or more copies.

Rule: what a majority has taken holds. A leader may serve below a bound only once a majority has it; whoever leads
next has claimed a majority, so that no earlier leader gets one again, and begins above every bound that it found
there. One server is a majority of one. Source: Gifford, "Weighted Voting for Replicated Data" (1979); the epoch is
Paxos' ballot.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple, Protocol

from tso.copies import Claim, MySQLCopy, Read, Release, Renew, Reply, Request, Row
from tso.errors import BoundStoreError, Deposed
from tso.types import Timestamp

STRAGGLER_S: Final = 0.1
"""How much later than a majority a copy may answer and still be heard."""
CLAIM_TRIES: Final = 20
CLAIM_PAUSE_S: Final = 0.02


class Term(NamedTuple):
    """A leader's term: its epoch, and the bound below which earlier leaders may have served."""

    epoch: int
    bound: Timestamp


class BoundStore(Protocol):
    """Every method raises BoundStoreError when the store fails; what it was asked may still happen then."""

    async def begin_term(self, lease_ms: int) -> Term:
        """Take the lead at once, whoever has it: from now on no earlier leader can raise the bound."""
        ...

    async def raise_bound(self, epoch: int, bound: Timestamp, lease_ms: int) -> None:
        """Persist a bound, durably. Raises Deposed when `epoch` is not the newest."""
        ...

    async def release(self, epoch: int, bound: Timestamp) -> None:
        """The end of a term: `bound` is above all that was served and may be lower than the one persisted."""
        ...

    async def aclose(self) -> None: ...


class Candidacy(NamedTuple):
    """Which rows a candidate may replace, by the number of the copy, and what it makes of them."""

    rows: Mapping[int, Row]
    epoch: int
    bound: Timestamp
    needed: int
    """How many copies must agree."""


def make_candidacy(
    rows: Mapping[int, Row], replaceable: Mapping[int, Row], copies: int, newest_epoch: int = 0
) -> Candidacy:
    """`rows` are all that could be read; `newest_epoch` is one that was seen earlier.

    A copy that was never claimed knows nothing of leaders there may have been without it (it was added, or its
    server was made anew): beside one, no majority is to be trusted, only all copies together.
    """
    blank = any(row.epoch == 0 for row in rows.values())
    newest_epoch = max(newest_epoch, *(row.epoch for row in rows.values()))
    bound = max(row.bound for row in rows.values())
    return Candidacy(replaceable, newest_epoch + 1, bound, copies if blank else majority(copies))


def majority(copies: int) -> int:
    return copies // 2 + 1


Answers = Mapping[int, Reply | BoundStoreError]


class Copies(Protocol):
    """All copies, numbered from 0."""

    def __len__(self) -> int: ...

    async def ask(self, requests: Mapping[int, Request]) -> Answers:
        """Ask these copies, at once; each answers or fails."""
        ...

    async def settle(self) -> None:
        """Wait for requests that are under way still, though nobody waits for their answers, as long as for answers."""
        ...

    async def aclose(self) -> None: ...


class MajorityStore:
    """`name` tells people who it is that leads."""

    def __init__(self, copies: Copies, name: str) -> None:
        self._copies = copies
        self._name = name

    @property
    def copies(self) -> int:
        return len(self._copies)

    async def read(self) -> Mapping[int, Row]:
        """The rows of the copies that answer, a majority at least."""
        answers = await self._ask(Read())
        rows = {number: row for number, row in answers.items() if isinstance(row, Row)}
        self._require_majority(rows, answers)
        return rows

    async def claim(self, candidacy: Candidacy, lease_ms: int) -> Term | None:
        """Begin the term; None when somebody else was faster, or too few copies answered.

        A crash in the middle leaves copies claimed by nobody who serves: the next candidate waits a lease for them.
        Without any chance nothing is claimed: a copy that was never claimed must go on to look like one.
        """
        if len(candidacy.rows) < candidacy.needed:
            return None
        row = Row(candidacy.epoch, candidacy.bound, lease_ms, self._name)
        requests = {number: Claim(seen, row) for number, seen in candidacy.rows.items()}
        answers = await self._copies.ask(requests)
        granted = [number for number, reply in answers.items() if reply is None]
        return Term(candidacy.epoch, candidacy.bound) if len(granted) >= candidacy.needed else None

    async def begin_term(self, lease_ms: int) -> Term:
        for _ in range(CLAIM_TRIES):
            rows = await self.read()
            candidacy = make_candidacy(rows, rows, len(self._copies))
            if term := await self.claim(candidacy, lease_ms):
                return term
            await asyncio.sleep(random.uniform(0, CLAIM_PAUSE_S))
        raise BoundStoreError(
            f"{len(rows)} of {len(self._copies)} copies of the oracle's bound answer, but {candidacy.needed} did not "
            "agree: other oracles start at the same time, or a copy that is new is to be used while another is down"
        )

    async def raise_bound(self, epoch: int, bound: Timestamp, lease_ms: int) -> None:
        answers = await self._ask(Renew(Row(epoch, bound, lease_ms, self._name)))
        taken = [number for number, reply in answers.items() if reply is None]
        newer = [reply for reply in answers.values() if isinstance(reply, Row)]
        if len(newer) > len(self._copies) - majority(len(self._copies)):
            newest = max(newer)
            raise Deposed(f"epoch {epoch} was deposed by epoch {newest.epoch}: {newest.leader} leads")
        self._require_majority(taken, answers)

    async def release(self, epoch: int, bound: Timestamp) -> None:
        await self._copies.settle()
        answers = await self._ask(Release(epoch, bound))
        self._require_majority([number for number, reply in answers.items() if reply is None], answers)

    async def aclose(self) -> None:
        await self._copies.aclose()

    async def _ask(self, request: Request) -> Answers:
        return await self._copies.ask(dict.fromkeys(range(len(self._copies)), request))

    def _require_majority(self, agreeing: Collection[int], answers: Answers) -> None:
        if len(agreeing) < majority(len(self._copies)):
            failures = [str(answer) for answer in answers.values() if isinstance(answer, BoundStoreError)]
            failures += [
                f"a newer epoch, {answer.epoch}" for answer in answers.values() if isinstance(answer, Row)
            ]
            raise BoundStoreError("; ".join(failures))


class MySQLCopies:
    """`timeout_s`: how long to wait for their answers at all."""

    def __init__(self, copies: Collection[MySQLCopy], timeout_s: float) -> None:
        self._copies = tuple(copies)
        self._timeout_s = timeout_s

    def __len__(self) -> int:
        return len(self._copies)

    async def ask(self, requests: Mapping[int, Request]) -> Answers:
        """A copy that is much slower than a majority counts as one that failed, lest it hold up everything."""
        answers: dict[int, Reply | BoundStoreError] = {}
        tasks: dict[asyncio.Task[Reply | BoundStoreError], int] = {}
        for number, request in requests.items():
            copy = self._copies[number]
            answers[number] = BoundStoreError(f"no answer from {copy.place} within {self._timeout_s:g} s")
            if task := copy.start(request):
                tasks[task] = number
        loop = asyncio.get_running_loop()
        until, pending, answered = loop.time() + self._timeout_s, set(tasks), 0
        while pending and (left_s := until - loop.time()) > 0:
            done, pending = await asyncio.wait(pending, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                answers[tasks[task]] = reply = task.result()
                answered += not isinstance(reply, BoundStoreError)
            if answered >= majority(len(self._copies)):
                until = min(until, loop.time() + STRAGGLER_S)
        return answers

    async def settle(self) -> None:
        if running := [copy.running for copy in self._copies if copy.running is not None]:
            await asyncio.wait(running, timeout=self._timeout_s)

    async def aclose(self) -> None:
        async with asyncio.TaskGroup() as group:
            for copy in self._copies:
                group.create_task(copy.aclose())


class MySQLBoundStore(MajorityStore):
    """On these servers, each given as the arguments of `aiomysql.connect`."""

    def __init__(self, *servers: Mapping[str, Any], name: str = "an oracle", timeout_s: float = 1.0) -> None:
        super().__init__(MySQLCopies([MySQLCopy(server, timeout_s) for server in servers], timeout_s), name)

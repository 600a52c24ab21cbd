"""The oracle's service and its client over real sockets: batching, sessions, lost connections, the secret."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from tests.fakes.tso_store import ManualClock, MemoryBoundStore
from tests.torture.faults.links import Link
from tests.torture.faults.toxics import BlackHole
from tso import messages as m
from tso.api import Leader
from tso.client import RemoteTso
from tso.connection import Connection
from tso.embedded import EmbeddedTso
from tso.errors import (
    DependencyRolledBack,
    QuietExpired,
    StandsBy,
    TransactionUnknown,
    TsoError,
    TsoTimeout,
    TsoUnavailable,
)
from tso.service import TsoServer
from tso.types import Orphan, Outcome, ShardName, Timestamp
from tso.wire import Decoder, encode_frame

A, B = ShardName("a"), ShardName("b")
COMMITTED, ROLLED_BACK = Outcome.COMMITTED, Outcome.ROLLED_BACK
SECRET = "the test's secret"


@pytest.fixture
async def oracle() -> AsyncIterator[EmbeddedTso]:
    async with await EmbeddedTso.open(MemoryBoundStore()) as oracle:
        yield oracle


@pytest.fixture
async def server(oracle: EmbeddedTso) -> AsyncIterator[TsoServer]:
    async with await TsoServer.listen(oracle, secret=SECRET, session_timeout_s=0.6) as server:
        yield server


@pytest.fixture
async def tso(server: TsoServer) -> AsyncIterator[RemoteTso]:
    async with await connect(server.port) as tso:
        yield tso


async def connect(port: int, answer_timeout_s: float = 2.0) -> RemoteTso:
    return await RemoteTso.connect(("127.0.0.1", port), secret=SECRET, answer_timeout_s=answer_timeout_s)


async def committing(tso: RemoteTso, *participants: ShardName) -> tuple[Timestamp, Timestamp]:
    start_ts = (await tso.begin()).start_ts
    commit_ts = await tso.begin_commit(start_ts, participants, (), (), 1.0)
    assert commit_ts is not None
    return start_ts, commit_ts


async def until_active(oracle: EmbeddedTso, *start_ts: Timestamp) -> None:
    """Wait until exactly these have not ended."""
    async with asyncio.timeout(5):
        while (await oracle.statistics()).active != start_ts:
            await asyncio.sleep(0.005)


class TestCalls:
    async def test_a_transaction(self, tso: RemoteTso, oracle: EmbeddedTso) -> None:
        assert tso.epoch == oracle.epoch
        start_ts, floor = await tso.begin()
        assert floor == start_ts
        read_ts = await tso.read_ts(start_ts)
        await tso.wait_barrier((A, B), read_ts, 1.0)
        commit_ts = await tso.begin_commit(start_ts, (A, B), None, (A,), 1.0)
        assert commit_ts is not None
        assert start_ts < read_ts < commit_ts
        await tso.end_commit(start_ts, COMMITTED)
        await until_active(oracle)

    async def test_many_callers_share_round_trips(self, tso: RemoteTso, oracle: EmbeddedTso) -> None:
        begun = await asyncio.gather(*[tso.begin() for _ in range(500)])
        assert len({b.start_ts for b in begun}) == 500
        assert {b.floor for b in begun} == {begun[0].start_ts}
        reads = await asyncio.gather(*[tso.read_ts(b.start_ts) for b in begun])
        assert len(set(reads)) == 500
        assert min(reads) > max(b.start_ts for b in begun)
        for b in begun:
            await tso.end(b.start_ts)
        await until_active(oracle)

    async def test_an_unknown_transaction_is_only_its_own_callers_problem(self, tso: RemoteTso) -> None:
        start_ts = (await tso.begin()).start_ts
        good, bad = await asyncio.gather(
            tso.read_ts(start_ts), tso.read_ts(Timestamp(5)), return_exceptions=True
        )
        assert isinstance(good, int)
        assert isinstance(bad, TransactionUnknown)

    async def test_another_sessions_transaction(self, tso: RemoteTso, server: TsoServer) -> None:
        start_ts = (await tso.begin()).start_ts
        async with await connect(server.port) as other:
            with pytest.raises(TransactionUnknown):
                await other.read_ts(start_ts)
            with pytest.raises(TransactionUnknown):
                await other.begin_commit(start_ts, (A,), None, (), 1.0)

    async def test_waits_and_their_deadlines(self, tso: RemoteTso) -> None:
        writer, _ = await committing(tso, A, B)
        reader = (await tso.begin()).start_ts
        read_ts = await tso.read_ts(reader)
        with pytest.raises(TsoTimeout, match=str(writer)):
            await tso.wait_barrier((A,), read_ts, 0.05)
        assert await tso.begin_commit(reader, (A,), None, (), 1.0) is None
        with pytest.raises(TsoTimeout):
            await tso.begin_commit(reader, (A,), (writer,), (), 0.05)
        async with asyncio.TaskGroup() as group:
            group.create_task(tso.wait_barrier((A,), read_ts, 5.0))
            await asyncio.sleep(0.02)
            await tso.end_commit(writer, COMMITTED)
        assert await tso.begin_commit(reader, (A,), (writer,), (), 1.0) is not None

    async def test_a_dependency_that_is_rolled_back(self, tso: RemoteTso) -> None:
        writer, _ = await committing(tso, A, B)
        other = (await tso.begin()).start_ts
        await tso.decide(writer, ROLLED_BACK)
        with pytest.raises(DependencyRolledBack, match=str(writer)):
            await tso.begin_commit(other, (A,), (writer,), (), 1.0)

    async def test_validated_reads(self, tso: RemoteTso) -> None:
        assert tso.read_token_nowait(A) is None
        token = await tso.read_token(A)
        assert tso.validate_read_nowait(A, token) is None
        assert await tso.validate_read(A, token, 1.0)
        writer, _ = await committing(tso, A, B)
        async with asyncio.TaskGroup() as group:
            valid = group.create_task(tso.validate_read(A, token, 5.0))
            await asyncio.sleep(0.02)
            await tso.end_commit(writer, ROLLED_BACK)
        assert valid.result() is False
        assert not await tso.validate_read(A, token, 1.0)

    async def test_orphans_and_the_rest(self, tso: RemoteTso, oracle: EmbeddedTso) -> None:
        start_ts, commit_ts = await committing(tso, A, B)
        async with asyncio.TaskGroup() as group:
            janitor = group.create_task(tso.next_orphan())
            await asyncio.sleep(0.02)
            await tso.orphan(start_ts)
        assert janitor.result() == Orphan(start_ts, commit_ts, (A, B))
        await tso.adopt(Timestamp(7), Timestamp(8), (A, B))
        assert await tso.next_orphan() == Orphan(Timestamp(7), Timestamp(8), (A, B))
        assert await tso.safe_point(0) == 7
        statistics = await tso.statistics()
        assert statistics.epoch == oracle.epoch
        assert [c.start_ts for c in statistics.outstanding] == [start_ts, 7]

    async def test_a_long_poll_for_orphans_that_finds_none(
        self, tso: RemoteTso, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tso.client.ORPHAN_POLL_S", 0.02)
        start_ts, _ = await committing(tso, A)
        async with asyncio.TaskGroup() as group:
            janitor = group.create_task(tso.next_orphan())
            await asyncio.sleep(0.1)
            await tso.orphan(start_ts)
        assert janitor.result().start_ts == start_ts

    async def test_quiet(self, tso: RemoteTso, server: TsoServer) -> None:
        reader, late = (await tso.begin()).start_ts, (await tso.begin()).start_ts
        async with asyncio.TaskGroup() as group, tso.quiet(reader, (A,), 5.0) as read_ts:
            held = group.create_task(tso.begin_commit(late, (A,), (), (), 5.0))
            await asyncio.sleep(0.01)
            assert not held.done()
        commit_ts = held.result()
        assert commit_ts is not None
        assert commit_ts > read_ts
        await tso.end_commit(late, COMMITTED)
        with pytest.raises(QuietExpired):
            async with tso.quiet(reader, (A,), 5.0):
                await asyncio.sleep(0.1)
        with pytest.raises(ZeroDivisionError):
            async with tso.quiet(reader, (A,), 5.0):
                raise ZeroDivisionError


class TestSessions:
    async def test_a_session_that_dies_leaves_its_commits_to_the_janitor(
        self, tso: RemoteTso, server: TsoServer, oracle: EmbeddedTso
    ) -> None:
        async with await connect(server.port) as dying:
            await dying.begin()
            start_ts, commit_ts = await committing(dying, A, B)
        async with asyncio.timeout(5):
            assert await tso.next_orphan() == Orphan(start_ts, commit_ts, (A, B))
        await until_active(oracle, start_ts)
        await tso.end_commit(start_ts, ROLLED_BACK)
        await until_active(oracle)

    async def test_an_orphan_goes_to_the_next_janitor_when_the_first_dies(
        self, tso: RemoteTso, server: TsoServer
    ) -> None:
        start_ts, _ = await committing(tso, A, B)
        await tso.orphan(start_ts)
        async with await connect(server.port) as dying:
            assert (await dying.next_orphan()).start_ts == start_ts
        async with asyncio.timeout(5):
            assert (await tso.next_orphan()).start_ts == start_ts

    async def test_a_gate_does_not_outlive_its_session(
        self, tso: RemoteTso, server: TsoServer, oracle: EmbeddedTso
    ) -> None:
        start_ts = (await tso.begin()).start_ts
        with pytest.raises(QuietExpired):
            async with await connect(server.port) as dying:
                reader = (await dying.begin()).start_ts
                async with dying.quiet(reader, (A,), 5.0):
                    await dying.aclose()
                    await until_active(oracle, start_ts)
                    assert not oracle._window.gates.any_closed
        assert await tso.begin_commit(start_ts, (A,), (), (), 1.0) is not None

    async def test_what_waits_in_a_session_that_dies_never_becomes_outstanding(
        self, tso: RemoteTso, server: TsoServer, oracle: EmbeddedTso
    ) -> None:
        writer, _ = await committing(tso, A, B)
        async with await connect(server.port) as dying:
            start_ts = (await dying.begin()).start_ts
            call = asyncio.gather(
                dying.begin_commit(start_ts, (A,), (writer,), (), 5.0), return_exceptions=True
            )
            await asyncio.sleep(0.05)
        [answer] = await call
        assert isinstance(answer, TsoUnavailable)
        await tso.end_commit(writer, COMMITTED)
        await until_active(oracle)

    async def test_a_lost_connection_is_made_again(self, server: TsoServer, oracle: EmbeddedTso) -> None:
        async with Link("tso", server.port) as link, await connect(link.port) as tso:
            old = (await tso.begin()).start_ts
            start_ts, _ = await committing(tso, A, B)
            await link.cut()
            new = await retried_begin(tso)
            with pytest.raises(TransactionUnknown):
                await tso.read_ts(old)
            with pytest.raises(TransactionUnknown):
                await tso.begin_commit(old, (A,), None, (), 1.0)
            assert (await tso.next_orphan()).start_ts == start_ts
            await tso.read_ts(new)
            await tso.end_commit(start_ts, COMMITTED)  # its coordinator may still know
            await until_active(oracle, new)

    async def test_a_half_open_connection_hangs_nobody(self, server: TsoServer, oracle: EmbeddedTso) -> None:
        async with Link("tso", server.port) as link, await connect(link.port, answer_timeout_s=0.3) as tso:
            writer, _ = await committing(tso, A, B)
            reader = (await tso.begin()).start_ts
            link.poison(BlackHole(None))
            calls = [
                tso.begin(),
                tso.read_ts(reader),
                tso.decide(writer, COMMITTED),
                tso.safe_point(0),
            ]
            async with asyncio.timeout(3):
                answers = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(answer, TsoUnavailable) for answer in answers)
            await until_active(oracle, writer)  # the server heard nothing either and ended the session
            assert (await oracle.next_orphan()).start_ts == writer
            link.cure()
            assert await retried_begin(tso)

    async def test_an_idle_session_is_kept_alive(self, tso: RemoteTso) -> None:
        start_ts = (await tso.begin()).start_ts
        await asyncio.sleep(1.3)  # more than two session time-outs
        await tso.read_ts(start_ts)

    async def test_interrupted_callers_leave_nothing_behind(
        self, tso: RemoteTso, oracle: EmbeddedTso
    ) -> None:
        for turns in range(4):
            begins = [asyncio.get_running_loop().create_task(tso.begin()) for _ in range(3)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for begin in begins:
                begin.cancel()
            await asyncio.gather(*begins, return_exceptions=True)
        await until_active(oracle)
        start_ts = (await tso.begin()).start_ts
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await tso.begin_commit(start_ts, (A,), (), (), 1.0)
        async with asyncio.timeout(5):
            assert (await tso.next_orphan()).start_ts == start_ts

    async def test_a_server_that_ends(self, oracle: EmbeddedTso) -> None:
        server = await TsoServer.listen(oracle, secret=SECRET)
        async with await connect(server.port, answer_timeout_s=0.3) as tso:
            start_ts = (await tso.begin()).start_ts
            await server.aclose()
            with pytest.raises(TsoUnavailable):
                await tso.begin()
            with pytest.raises(TsoUnavailable):
                await tso.read_ts(start_ts)
            await tso.end(start_ts)
            assert (await oracle.statistics()).active == ()

    async def test_no_server(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        with pytest.raises(TsoUnavailable, match=str(port)):
            await connect(port)


async def retried_begin(tso: RemoteTso) -> Timestamp:
    """A new transaction, once the client has noticed and mended the loss of its connection."""
    async with asyncio.timeout(5):
        while True:
            try:
                return (await tso.begin()).start_ts
            except TsoUnavailable:
                await asyncio.sleep(0.01)


class TestSecret:
    @pytest.mark.parametrize("secret", [None, "", "the test's Secret"])
    async def test_a_wrong_one(self, server: TsoServer, oracle: EmbeddedTso, secret: str | None) -> None:
        with pytest.raises(TsoError, match="secret"):
            await RemoteTso.connect(("127.0.0.1", server.port), secret=secret)

    async def test_a_server_that_does_not_know_it(self, oracle: EmbeddedTso) -> None:
        async with await TsoServer.listen(oracle) as open_to_all:
            with pytest.raises(TsoUnavailable, match="does not know the secret"):
                await connect(open_to_all.port)

    async def test_nobody_is_served_before(self, server: TsoServer, oracle: EmbeddedTso) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        begin = encode_frame([(1, m.Begin(1))])
        writer.write(begin)
        async with asyncio.timeout(5):
            answer = await reader.read()
        [(_, challenge)] = Decoder().feed(answer)
        assert isinstance(challenge, m.Challenge)
        assert (await oracle.statistics()).timestamps_served <= 1, "its own"
        writer.close()

    async def test_a_request_behind_a_wrong_hello(self, server: TsoServer, oracle: EmbeddedTso) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(encode_frame([(0, m.Hello(1, bytes(32), b""))]) + encode_frame([(1, m.Begin(1))]))
        async with asyncio.timeout(5):
            answer = await reader.read()
        assert [type(message) for _, message in Decoder().feed(answer)] in (
            [m.Challenge, m.Failed],
            [m.Challenge],
        )
        assert (await oracle.statistics()).active == ()
        writer.close()

    async def test_a_huge_frame_before_it(self, server: TsoServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(struct.pack(">I", 1 << 30))
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()


class TestStandby:
    async def test_refuses_until_it_leads_and_again_afterwards(self, oracle: EmbeddedTso) -> None:
        async with await TsoServer.listen(None, secret=SECRET) as server:
            with pytest.raises(TsoUnavailable, match="stands by"):
                await connect(server.port)
            server.lead(oracle)
            async with await connect(server.port) as tso:
                await tso.begin()
                await server.stand_by()
                assert (await oracle.statistics()).active == ()
            with pytest.raises(StandsBy):
                await Connection.open("127.0.0.1", server.port, SECRET, 1.0)

    async def test_a_client_follows_the_leader_and_never_goes_back(self) -> None:
        store = MemoryBoundStore()
        async with (
            await TsoServer.listen(None, secret=SECRET) as one,
            await TsoServer.listen(None, secret=SECRET) as two,
            await EmbeddedTso.open(store) as old,
        ):
            one.lead(old)
            addresses = ("127.0.0.1", one.port), ("127.0.0.1", two.port)
            async with await RemoteTso.connect(*addresses, secret=SECRET) as tso:
                assert (tso.leader, tso.epoch) == (f"127.0.0.1:{one.port}", 1)
                prepared: list[int] = []

                async def prepare(leader: Leader) -> None:
                    prepared.append(leader.epoch)

                tso.on_new_epoch(prepare)
                before = (await tso.begin()).start_ts
                async with await EmbeddedTso.open(store) as new:
                    two.lead(new)
                    await one.stand_by()
                    assert await retried_begin(tso) > before
                    assert (tso.leader, tso.epoch, prepared) == (f"127.0.0.1:{two.port}", 2, [2])
                    await two.stand_by()
                    one.lead(old)  # it does not know yet that it was deposed
                    with pytest.raises(TsoUnavailable):
                        async with asyncio.timeout(5):
                            while True:
                                await tso.begin()

    async def test_who_hangs_does_not_hold_up_who_leads(self, oracle: EmbeddedTso, server: TsoServer) -> None:
        with socket.socket() as hanging:
            hanging.bind(("127.0.0.1", 0))
            hanging.listen()
            async with asyncio.timeout(1):
                addresses = ("127.0.0.1", hanging.getsockname()[1]), ("127.0.0.1", server.port)
                async with await RemoteTso.connect(*addresses, secret=SECRET) as tso:
                    await tso.begin()

    async def test_sessions_end_with_the_lease(self) -> None:
        store, clock = MemoryBoundStore(), ManualClock()
        async with (
            await EmbeddedTso.open(store, clock=clock, window_ms=20) as oracle,
            await TsoServer.listen(oracle, secret=SECRET) as server,
            await connect(server.port, answer_timeout_s=0.3) as tso,
        ):
            await tso.begin()
            store.failing = True
            clock.advance(20)
            await until_active(oracle)
            with pytest.raises(TsoUnavailable):
                await tso.begin()
            store.failing = False
            assert await retried_begin(tso)


class TestMalformed:
    async def test_what_is_no_request_ends_the_session_and_no_other(
        self, tso: RemoteTso, server: TsoServer, oracle: EmbeddedTso
    ) -> None:
        mine = (await tso.begin()).start_ts
        async with await connect(server.port) as bad:
            await bad.begin()
            connection = bad._connection
            assert connection is not None
            connection.tell(m.Begun(Timestamp(1), Timestamp(1)))
            await until_active(oracle, mine)
        await tso.read_ts(mine)

    async def test_a_request_without_sense_is_refused(self, tso: RemoteTso) -> None:
        start_ts = (await tso.begin()).start_ts
        with pytest.raises(TsoError, match="at least one participant"):
            await tso.begin_commit(start_ts, (), (), (), 1.0)
        await tso.read_ts(start_ts)


@pytest.mark.parametrize("turns", range(7))
def test_a_client_that_comes_at_the_very_end_leaves_no_socket(turns: int) -> None:
    """Open sockets make the collection of garbage warn, which fails the test."""

    async def serve() -> socket.socket:
        async with await TsoServer.listen(None) as server:
            client = socket.create_connection(("127.0.0.1", server.port))
            for _ in range(turns):
                await asyncio.sleep(0)
            return client

    with asyncio.run(serve()):
        gc.collect()

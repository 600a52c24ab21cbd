"""The wire codec: what is written is read, however the stream is cut; anything else is a WireError."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tso import errors as tso_errors
from tso import fields as f
from tso import messages as m
from tso.errors import TsoError
from tso.fields import Field, WireError
from tso.types import Orphan, Outcome, OutstandingCommit, ShardName, Timestamp, TsoStatistics
from tso.wire import MAX_FRAME_BYTES, Decoder, encode_frame

U64 = st.integers(0, 2**64 - 1)
TIMESTAMPS = st.lists(U64.map(Timestamp), max_size=5).map(tuple)
SHARDS = st.lists(st.text(max_size=8).map(ShardName), max_size=4).map(tuple)
OUTCOMES = st.sampled_from(Outcome)
ORPHANS = st.builds(Orphan, U64, U64, SHARDS)
OUTSTANDING = st.builds(
    OutstandingCommit, U64, U64, SHARDS, st.floats(0, 1e9), st.none() | OUTCOMES, st.booleans()
)
STATISTICS = st.builds(
    TsoStatistics,
    U64,
    U64,
    TIMESTAMPS,
    st.lists(OUTSTANDING, max_size=3).map(tuple),
    st.lists(st.tuples(st.text(max_size=8), U64), max_size=3).map(tuple),
    U64,
    U64,
)
STRATEGIES: dict[Field, st.SearchStrategy[object]] = {
    f.U8: st.integers(0, 255),
    f.U16: st.integers(0, 2**16 - 1),
    f.U32: st.integers(0, 2**32 - 1),
    f.U64: U64,
    f.FLAG: st.booleans(),
    f.BYTES: st.binary(max_size=40),
    f.TEXT: st.text(max_size=40),
    f.OUTCOME: OUTCOMES,
    f.TIMESTAMPS: TIMESTAMPS,
    f.SHARDS: SHARDS,
    f.STATISTICS: STATISTICS,
}
OPTIONAL = {m.BeginCommit: TIMESTAMPS, m.OrphanFound: ORPHANS}


def strategy(message: type[m.Message], fields: tuple[Field, ...]) -> st.SearchStrategy[m.Message]:
    values = [STRATEGIES[field] if field in STRATEGIES else st.none() | OPTIONAL[message] for field in fields]
    return st.tuples(*values).map(lambda taken: message(*taken))


MESSAGES = st.one_of([strategy(message, fields) for message, fields in m.LAYOUTS.values()])
REQUEST_IDS = st.integers(0, 2**32 - 1)
FRAMES = st.lists(st.lists(st.tuples(REQUEST_IDS, MESSAGES), max_size=4), max_size=4)


def decoder() -> Decoder:
    return Decoder(MAX_FRAME_BYTES)


@given(FRAMES, st.lists(st.integers(1, 30)))
def test_what_is_written_is_read_however_the_stream_is_cut(
    frames: list[list[tuple[int, m.Message]]], cuts: list[int]
) -> None:
    stream = b"".join(map(encode_frame, frames))
    reading = decoder()
    got: list[tuple[int, m.Message]] = []
    for cut in cuts:
        got += reading.feed(stream[:cut])
        stream = stream[cut:]
    got += reading.feed(stream)
    sent = [pair for frame in frames for pair in frame]
    assert got == sent
    assert [type(message) for _, message in got] == [type(message) for _, message in sent]


@given(st.binary(max_size=200))
def test_garbage_is_a_wire_error(garbage: bytes) -> None:
    framed = struct.pack(">I", len(garbage)) + garbage
    try:
        list(decoder().feed(framed))
    except WireError:
        pass


@given(st.one_of(MESSAGES), st.data())
def test_a_message_cut_short_is_a_wire_error(message: m.Message, data: st.DataObject) -> None:
    body = encode_frame([(1, message)])[4:]
    short = body[: data.draw(st.integers(1, len(body) - 1))]
    with pytest.raises(WireError):
        list(decoder().feed(struct.pack(">I", len(short)) + short))


def test_a_frame_that_is_too_long_is_refused_before_it_has_come() -> None:
    with pytest.raises(WireError, match="at most 1024"):
        list(Decoder().feed(struct.pack(">I", 1025)))


def test_a_count_that_cannot_be_true_takes_no_memory() -> None:
    body = struct.pack(">BII", 3, 1, 0xFFFFFFFF)  # ReadTs of four thousand million
    with pytest.raises(WireError):
        list(decoder().feed(struct.pack(">I", len(body)) + body))


def test_an_unknown_kind() -> None:
    body = struct.pack(">BI", 63, 1)
    with pytest.raises(WireError, match="unknown kind 63"):
        list(decoder().feed(struct.pack(">I", len(body)) + body))


def test_every_message_has_a_kind() -> None:
    classes = {
        value
        for value in vars(m).values()
        if isinstance(value, type) and value.__module__ == m.__name__ and issubclass(value, tuple)
    }
    assert classes == {message for message, _ in m.LAYOUTS.values()}
    for message, fields in m.LAYOUTS.values():
        assert len(message._fields) == len(fields)  # type: ignore[attr-defined]


def test_every_error_crosses_the_wire() -> None:
    classes = [
        value
        for value in vars(tso_errors).values()
        if isinstance(value, type) and issubclass(value, TsoError)
    ]
    assert len(classes) > 8
    for error in classes:
        back = m.error_of(m.failed(error("what happened")))
        assert type(back) is error
        assert str(back) == "what happened"

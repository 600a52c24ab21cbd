"""COM_STMT_EXECUTE and the answer to COM_STMT_PREPARE."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import MalformedPacket
from proxy.wire.binary_values import BinaryValue
from proxy.wire.columns import parse_column_definition, text_column
from proxy.wire.field_types import FieldType
from proxy.wire.packets import split_packets
from proxy.wire.response_scanner import PrepareScanner
from proxy.wire.responses import is_eof
from proxy.wire.statements import bound_types, make_execute, make_prepare_ok, parse_execute, with_types
from proxy.wire.temporal import MysqlDateTime, MysqlTime

values = st.lists(
    st.none()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=300)
    | st.just(MysqlDateTime(2024, 1, 2, 3, 4, 5, 6))
    | st.just(MysqlTime(True, 30, 1, 2)),
    max_size=20,
)


@given(values)
def test_bound_values_come_back(bound: list[BinaryValue | None]) -> None:
    payload = make_execute(7, bound)
    request = parse_execute(payload, len(bound), None)
    assert request.statement_id == 7
    assert list(request.values) == bound
    assert request.param_types == bound_types(payload, len(bound))


def test_types_are_remembered_between_executes() -> None:
    first = make_execute(1, [5, b"a"])
    types = parse_execute(first, 2, None).param_types
    second = make_execute(1, [6, None], bind=False)
    assert bound_types(second, 2) is None
    assert parse_execute(second, 2, types).values == (6, None)
    assert with_types(second, 2, types) == make_execute(
        1, [6, None], [(FieldType.LONGLONG, False), (0xFD, False)]
    )
    with pytest.raises(MalformedPacket):
        parse_execute(second, 2, None)


def test_long_data_stands_for_a_value_that_is_not_in_the_packet() -> None:
    """The parameter is not NULL in the bitmap, and no bytes of it follow."""
    payload = make_execute(1, [b"", 5], [(FieldType.BLOB, False), (FieldType.LONG, True)])
    payload = payload[:-5] + payload[-4:]
    request = parse_execute(payload, 2, None, {0: b"long"})
    assert request.values == (b"long", 5)


@pytest.mark.parametrize("size", range(5, 24))
def test_a_cut_execute_is_malformed(size: int) -> None:
    payload = make_execute(1, [5, b"abc"])
    assert len(payload) > 23
    with pytest.raises(MalformedPacket):
        parse_execute(payload[:size], 2, None)


def test_an_unknown_type_is_malformed() -> None:
    payload = make_execute(1, [5]).replace(b"\x01\x08\x00", b"\x01\x99\x00")
    with pytest.raises(MalformedPacket):
        parse_execute(payload, 1, None)


def test_without_parameters_nothing_follows() -> None:
    assert parse_execute(make_execute(3, []), 0, None).values == ()


def test_the_answer_to_prepare_has_two_lists() -> None:
    packets = make_prepare_ok(9, [text_column("?")] * 2, [text_column("a")], status=2)
    payloads = list(split_packets(packets))
    assert [is_eof(payload) for payload in payloads] == [False, False, False, True, False, True]
    assert parse_column_definition(payloads[4]).name == b"a"
    scanner = PrepareScanner()
    assert not scanner.scan(packets[:-1])
    assert scanner.scan(packets)
    assert (scanner.statement_id, scanner.params, scanner.columns) == (9, 2, 1)
    assert [packets[mark] for mark in scanner.marks] == [2, 2]


def test_the_answer_to_prepare_without_lists_is_its_head() -> None:
    packets = make_prepare_ok(9, [], [])
    scanner = PrepareScanner()
    assert scanner.scan(packets)
    assert scanner.position == len(packets) == 16

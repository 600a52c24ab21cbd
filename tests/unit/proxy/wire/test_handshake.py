"""The packets of the connection phase, both ways."""

from __future__ import annotations

import pytest

from proxy.errors import HandshakeError, MalformedPacket
from proxy.wire.capabilities import Capability
from proxy.wire.handshake import (
    AuthSwitchRequest,
    HandshakeResponse41,
    HandshakeV10,
    SslRequest,
    is_ssl_request,
    make_auth_switch,
    make_handshake,
    make_handshake_response,
    make_ssl_request,
    parse_auth_switch,
    parse_change_user,
    parse_handshake,
    parse_handshake_response,
    parse_ssl_request,
)

NONCE = bytes(range(1, 21))
ALL = int(
    Capability.PROTOCOL_41
    | Capability.SECURE_CONNECTION
    | Capability.PLUGIN_AUTH
    | Capability.CONNECT_WITH_DB
    | Capability.CONNECT_ATTRS
    | Capability.PLUGIN_AUTH_LENENC_CLIENT_DATA
)


def response(capabilities: int = ALL) -> HandshakeResponse41:
    return HandshakeResponse41(
        capabilities=capabilities,
        max_packet_bytes=1 << 24,
        collation=45,
        user=b"app",
        auth_response=b"x" * 32,
        database=b"shop",
        auth_plugin="caching_sha2_password",
        attributes={"_client_name": "pymysql", "größe": "1"},
    )


def test_the_greeting_comes_back() -> None:
    greeting = HandshakeV10("8.0.36-TxGuard", 77, NONCE, 0xFFFF_FFFF & ALL, 45, "caching_sha2_password")
    assert parse_handshake(make_handshake(greeting)) == greeting


def test_the_greeting_of_a_mariadb_is_read() -> None:
    """Caught from MariaDB 10.11: its upper capabilities lie in the reserved bytes, its scramble is 20 + 1 bytes."""
    payload = (
        b"\x0a5.5.5-10.11.19-MariaDB\x00\x05\x00\x00\x00abcdefgh\x00\xfe\xf7\x2d\x02\x00\xff\x81\x15"
        + bytes(6)
        + b"\x1d\x00\x00\x00ijklmnopqrst\x00mysql_native_password\x00"
    )
    greeting = parse_handshake(payload)
    assert greeting.nonce == b"abcdefghijklmnopqrst"
    assert greeting.connection_id == 5
    assert greeting.auth_plugin == "mysql_native_password"


def test_another_protocol_version_is_refused() -> None:
    with pytest.raises(HandshakeError):
        parse_handshake(b"\x09old")


def test_the_response_comes_back() -> None:
    assert parse_handshake_response(make_handshake_response(response())) == response()


@pytest.mark.parametrize(
    "missing",
    [
        Capability.CONNECT_WITH_DB,
        Capability.PLUGIN_AUTH,
        Capability.CONNECT_ATTRS,
        Capability.PLUGIN_AUTH_LENENC_CLIENT_DATA,
    ],
)
def test_a_field_is_there_only_with_its_flag(missing: Capability) -> None:
    parsed = parse_handshake_response(make_handshake_response(response(ALL & ~int(missing))))
    assert parsed.user == b"app"
    assert parsed.auth_response == b"x" * 32
    assert parsed.database == (None if missing is Capability.CONNECT_WITH_DB else b"shop")
    assert parsed.auth_plugin == ("" if missing is Capability.PLUGIN_AUTH else "caching_sha2_password")
    assert bool(parsed.attributes) == (missing is not Capability.CONNECT_ATTRS)


def test_a_client_of_before_4_1_is_refused() -> None:
    payload = make_handshake_response(response(ALL & ~int(Capability.PROTOCOL_41)))
    with pytest.raises(HandshakeError):
        parse_handshake_response(payload)
    with pytest.raises(HandshakeError):
        parse_handshake_response(b"\x05\xa6\x00\x00\x00\x01root\x00")


def test_every_cut_response_is_refused_or_read_without_its_end() -> None:
    payload = make_handshake_response(response())
    for size in range(len(payload)):
        try:
            parse_handshake_response(payload[:size])
        except (HandshakeError, MalformedPacket):
            pass


def test_an_ssl_request_is_told_from_a_response() -> None:
    request = SslRequest(ALL | int(Capability.SSL), 1 << 24, 45)
    payload = make_ssl_request(request)
    assert is_ssl_request(payload)
    assert parse_ssl_request(payload) == request
    assert not is_ssl_request(make_handshake_response(response()))


def test_an_auth_switch_comes_back() -> None:
    request = AuthSwitchRequest("mysql_native_password", NONCE)
    assert parse_auth_switch(make_auth_switch(request)) == request
    with pytest.raises(HandshakeError):
        parse_auth_switch(b"\xfe")


def test_change_user() -> None:
    payload = b"\x11app\x00\x02xyshop\x00\x2d\x00mysql_native_password\x00"
    request = parse_change_user(payload, ALL)
    assert (request.user, request.auth_response, request.database) == (b"app", b"xy", b"shop")
    assert (request.collation, request.auth_plugin) == (45, "mysql_native_password")
    assert parse_change_user(b"\x11app\x00\x00\x00", ALL).database is None


def test_secrets_do_not_show() -> None:
    assert "xxxx" not in repr(response())

"""The packets of the connection phase, both ways ("Connection Phase Packets").

Owns HandshakeV10, SSLRequest, HandshakeResponse41, AuthSwitchRequest, AuthMoreData and COM_CHANGE_USER. What
is proven with their contents is `proxy.auth`'s matter. A wrong one raises HandshakeError or MalformedPacket.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.errors import HandshakeError
from proxy.wire.capabilities import Capability, Status
from proxy.wire.lenenc import PayloadReader, lenenc_bytes, lenenc_int

PROTOCOL_VERSION = 10
NONCE_BYTES = 20
FILLER_BYTES = 23
RESPONSE_FIXED_BYTES = 32
MAX_ATTRIBUTES_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class HandshakeV10:
    """The server's greeting. `nonce` is the 20 bytes that both plugins scramble with."""

    server_version: str
    connection_id: int
    nonce: bytes = field(repr=False)
    capabilities: int
    collation: int
    auth_plugin: str
    status: int = int(Status.AUTOCOMMIT)


@dataclass(frozen=True, slots=True)
class HandshakeResponse41:
    """The client's answer; the SSLRequest is its first 32 bytes alone."""

    capabilities: int
    max_packet_bytes: int
    collation: int
    user: bytes
    auth_response: bytes = field(repr=False)
    database: bytes | None = None
    auth_plugin: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SslRequest:
    capabilities: int
    max_packet_bytes: int
    collation: int


@dataclass(frozen=True, slots=True)
class AuthSwitchRequest:
    auth_plugin: str
    nonce: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChangeUser:
    """COM_CHANGE_USER."""

    user: bytes
    auth_response: bytes = field(repr=False)
    database: bytes | None
    collation: int
    auth_plugin: str
    attributes: Mapping[str, str]


def make_handshake(greeting: HandshakeV10) -> bytes:
    capabilities = greeting.capabilities.to_bytes(4, "little")
    return b"".join(
        (
            bytes((PROTOCOL_VERSION,)),
            greeting.server_version.encode("ascii") + b"\0",
            (greeting.connection_id & 0xFFFFFFFF).to_bytes(4, "little"),
            greeting.nonce[:8] + b"\0",
            capabilities[:2],
            bytes((greeting.collation & 0xFF,)),
            greeting.status.to_bytes(2, "little"),
            capabilities[2:],
            bytes((NONCE_BYTES + 1,)),
            bytes(10),
            greeting.nonce[8:] + b"\0",
            greeting.auth_plugin.encode("ascii") + b"\0",
        )
    )


def parse_handshake(payload: bytes) -> HandshakeV10:
    reader = PayloadReader(payload)
    version = reader.integer(1)
    if version != PROTOCOL_VERSION:
        raise HandshakeError(f"the server speaks protocol version {version}, not 10")
    server_version = reader.null_terminated().decode("ascii", "replace")
    connection_id = reader.integer(4)
    nonce = reader.take(8)
    reader.take(1)
    capabilities = reader.integer(2)
    collation, status = reader.integer(1), reader.integer(2)
    capabilities |= reader.integer(2) << 16
    nonce_bytes = reader.integer(1)
    reader.take(10)
    nonce += reader.take(max(12, nonce_bytes - 9))[:12]
    if reader.remaining and reader.data[reader.position] == 0:
        reader.take(1)
    plugin = reader.null_terminated().decode("ascii", "replace") or "mysql_native_password"
    return HandshakeV10(server_version, connection_id, nonce, capabilities, collation, plugin, status)


def make_ssl_request(request: SslRequest) -> bytes:
    return b"".join(
        (
            (request.capabilities | Capability.SSL).to_bytes(4, "little"),
            request.max_packet_bytes.to_bytes(4, "little"),
            bytes((request.collation & 0xFF,)),
            bytes(FILLER_BYTES),
        )
    )


def is_ssl_request(payload: bytes) -> bool:
    """An SSLRequest is a response that stops after its fixed fields."""
    return len(payload) == RESPONSE_FIXED_BYTES and bool(
        int.from_bytes(payload[:4], "little") & Capability.SSL
    )


def parse_ssl_request(payload: bytes) -> SslRequest:
    reader = PayloadReader(payload)
    return SslRequest(reader.integer(4), reader.integer(4), reader.integer(1))


def make_handshake_response(response: HandshakeResponse41) -> bytes:
    """Which optional fields are there follows from `response.capabilities`."""
    flags = response.capabilities
    parts = [
        flags.to_bytes(4, "little"),
        response.max_packet_bytes.to_bytes(4, "little"),
        bytes((response.collation & 0xFF,)),
        bytes(FILLER_BYTES),
        response.user + b"\0",
    ]
    if flags & Capability.PLUGIN_AUTH_LENENC_CLIENT_DATA:
        parts.append(lenenc_bytes(response.auth_response))
    else:
        parts.append(bytes((len(response.auth_response),)) + response.auth_response)
    if flags & Capability.CONNECT_WITH_DB:
        parts.append((response.database or b"") + b"\0")
    if flags & Capability.PLUGIN_AUTH:
        parts.append(response.auth_plugin.encode("ascii") + b"\0")
    if flags & Capability.CONNECT_ATTRS:
        parts.append(_make_attributes(response.attributes))
    return b"".join(parts)


def parse_handshake_response(payload: bytes) -> HandshakeResponse41:
    reader = PayloadReader(payload)
    if len(payload) < RESPONSE_FIXED_BYTES:
        raise HandshakeError("the client's handshake is too short: it must speak the 4.1 protocol")
    flags, max_packet_bytes, collation = reader.integer(4), reader.integer(4), reader.integer(1)
    if not flags & Capability.PROTOCOL_41:
        raise HandshakeError("the client does not speak the 4.1 protocol")
    reader.take(FILLER_BYTES)
    user = reader.null_terminated()
    if flags & Capability.PLUGIN_AUTH_LENENC_CLIENT_DATA:
        auth_response = reader.lenenc_bytes()
    elif flags & Capability.SECURE_CONNECTION:
        auth_response = reader.take(reader.integer(1))
    else:
        auth_response = reader.null_terminated()
    database = reader.null_terminated() if flags & Capability.CONNECT_WITH_DB and reader.remaining else None
    plugin = b""
    if flags & Capability.PLUGIN_AUTH and reader.remaining:
        plugin = reader.null_terminated()
    attributes = _parse_attributes(reader) if flags & Capability.CONNECT_ATTRS else {}
    return HandshakeResponse41(
        capabilities=flags,
        max_packet_bytes=max_packet_bytes,
        collation=collation,
        user=user,
        auth_response=auth_response,
        database=database or None,
        auth_plugin=plugin.decode("ascii", "replace"),
        attributes=attributes,
    )


def parse_change_user(payload: bytes, capabilities: int) -> ChangeUser:
    """`payload` begins with the command byte; `capabilities` are those of the connection."""
    reader = PayloadReader(payload, 1)
    user = reader.null_terminated()
    auth_response = reader.take(reader.integer(1))
    database = reader.null_terminated()
    collation = reader.integer(2) if reader.remaining >= 2 else 0
    plugin = b""
    if capabilities & Capability.PLUGIN_AUTH and reader.remaining:
        plugin = reader.null_terminated()
    attributes = _parse_attributes(reader) if capabilities & Capability.CONNECT_ATTRS else {}
    return ChangeUser(
        user, auth_response, database or None, collation, plugin.decode("ascii", "replace"), attributes
    )


def make_auth_switch(request: AuthSwitchRequest) -> bytes:
    return b"\xfe" + request.auth_plugin.encode("ascii") + b"\0" + request.nonce + b"\0"


def parse_auth_switch(payload: bytes) -> AuthSwitchRequest:
    """A lone 0xFE asks for the password scheme of before 4.1, which nobody should speak."""
    reader = PayloadReader(payload)
    if reader.integer(1) != 0xFE or not reader.remaining:
        raise HandshakeError("the server asks for an authentication of before MySQL 4.1")
    plugin = reader.null_terminated().decode("ascii", "replace")
    return AuthSwitchRequest(plugin, reader.rest().removesuffix(b"\0")[:NONCE_BYTES])


def make_auth_more_data(data: bytes) -> bytes:
    return b"\x01" + data


def _make_attributes(attributes: Mapping[str, str]) -> bytes:
    pairs = b"".join(
        lenenc_bytes(key.encode()) + lenenc_bytes(value.encode()) for key, value in attributes.items()
    )
    return lenenc_int(len(pairs)) + pairs


def _parse_attributes(reader: PayloadReader) -> dict[str, str]:
    if not reader.remaining:
        return {}
    block = reader.lenenc_bytes()
    if len(block) > MAX_ATTRIBUTES_BYTES:
        raise HandshakeError("connection attributes are larger than 64 KiB")
    pairs, attributes = PayloadReader(block), {}
    while pairs.remaining:
        key, value = pairs.lenenc_bytes(), pairs.lenenc_bytes()
        attributes[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
    return attributes

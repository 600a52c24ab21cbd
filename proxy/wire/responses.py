"""OK, ERR and EOF packets ("Generic Response Packets"): values, make and parse.

Payloads only; `proxy.wire.packets` frames them. What OK carries depends on the capabilities of the
connection: PROTOCOL_41 is required of everyone here, SESSION_TRACK and DEPRECATE_EOF are asked about.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.errors import MalformedPacket
from proxy.wire.capabilities import Capability, Status
from proxy.wire.lenenc import PayloadReader, lenenc_bytes, lenenc_int

OK_HEADER = 0x00
EOF_HEADER = 0xFE
ERR_HEADER = 0xFF
SESSION_TRACK_SYSTEM_VARIABLES = b"\x00"

AUTOCOMMIT = int(Status.AUTOCOMMIT)


@dataclass(frozen=True, slots=True)
class OkPacket:
    affected_rows: int = 0
    last_insert_id: int = 0
    status: int = AUTOCOMMIT
    warnings: int = 0
    info: bytes = b""
    session_state: bytes = b""
    """The raw state changes of SESSION_TRACK; empty unless that was agreed."""


@dataclass(frozen=True, slots=True)
class ErrPacket:
    errno: int
    sqlstate: str
    message: str


@dataclass(frozen=True, slots=True)
class EofPacket:
    status: int = AUTOCOMMIT
    warnings: int = 0


def make_ok(ok: OkPacket, capabilities: int = 0, *, ends_rows: bool = False) -> bytes:
    """`ends_rows`: the OK that ends a result set under DEPRECATE_EOF, which has the header of an EOF."""
    parts = [
        bytes((EOF_HEADER if ends_rows else OK_HEADER,)),
        lenenc_int(ok.affected_rows),
        lenenc_int(ok.last_insert_id),
        ok.status.to_bytes(2, "little"),
        min(ok.warnings, 0xFFFF).to_bytes(2, "little"),
    ]
    if capabilities & Capability.SESSION_TRACK:
        if ok.info or ok.session_state:
            parts.append(lenenc_bytes(ok.info))
        if ok.status & Status.SESSION_STATE_CHANGED:
            parts.append(lenenc_bytes(ok.session_state))
    else:
        parts.append(ok.info)
    return b"".join(parts)


def make_variable_change(name: str, value: str) -> bytes:
    """A state change of SESSION_TRACK_SYSTEM_VARIABLES, for `session_state`."""
    change = lenenc_bytes(name.encode()) + lenenc_bytes(value.encode())
    return SESSION_TRACK_SYSTEM_VARIABLES + lenenc_bytes(change)


def parse_ok(payload: bytes, capabilities: int = 0) -> OkPacket:
    reader = PayloadReader(payload)
    if reader.integer(1) not in (OK_HEADER, EOF_HEADER):
        raise MalformedPacket("not an OK packet")
    affected_rows, last_insert_id = reader.lenenc_int(), reader.lenenc_int()
    status, warnings = reader.integer(2), reader.integer(2)
    if not capabilities & Capability.SESSION_TRACK:
        return OkPacket(affected_rows, last_insert_id, status, warnings, reader.rest())
    info = reader.lenenc_bytes() if reader.remaining else b""
    changed = status & Status.SESSION_STATE_CHANGED and reader.remaining
    state = reader.lenenc_bytes() if changed else b""
    return OkPacket(affected_rows, last_insert_id, status, warnings, info, state)


def make_err(error: ErrPacket, *, greeted: bool = True) -> bytes:
    """The SQLSTATE is padded or cut to its five letters; in place of a greeting it is left out."""
    sqlstate = error.sqlstate.encode("ascii", "replace")[:5].ljust(5, b"0")
    message = error.message.encode("utf-8", "replace")[:4096]
    state = b"#" + sqlstate if greeted else b""
    return b"\xff" + error.errno.to_bytes(2, "little") + state + message


def parse_err(payload: bytes) -> ErrPacket:
    """Before the handshake is over a server leaves out the SQLSTATE."""
    reader = PayloadReader(payload)
    if reader.integer(1) != ERR_HEADER:
        raise MalformedPacket("not an ERR packet")
    errno = reader.integer(2)
    rest = reader.rest()
    if rest[:1] == b"#" and len(rest) >= 6:
        return ErrPacket(errno, rest[1:6].decode("ascii", "replace"), rest[6:].decode("utf-8", "replace"))
    return ErrPacket(errno, "HY000", rest.decode("utf-8", "replace"))


def make_eof(eof: EofPacket) -> bytes:
    return b"\xfe" + min(eof.warnings, 0xFFFF).to_bytes(2, "little") + eof.status.to_bytes(2, "little")


def parse_eof(payload: bytes) -> EofPacket:
    reader = PayloadReader(payload)
    if reader.integer(1) != EOF_HEADER:
        raise MalformedPacket("not an EOF packet")
    warnings = reader.integer(2)
    return EofPacket(reader.integer(2), warnings)


def is_eof(payload: bytes) -> bool:
    """True for an EOF of old: an 0xFE that is too short to begin a row."""
    return len(payload) < 9 and payload[:1] == b"\xfe"


def is_err(payload: bytes) -> bool:
    return payload[:1] == b"\xff"


def is_ok(payload: bytes) -> bool:
    return payload[:1] == b"\x00"

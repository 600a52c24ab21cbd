"""Two TLS channels joined without a socket."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from proxy.errors import HandshakeError
from proxy.wire.tls import TlsChannel
from tests.fakes.certificates import make_certificate


@pytest.fixture
def channels(tmp_path: Path) -> tuple[TlsChannel, TlsChannel]:
    certificate, key = make_certificate(tmp_path)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate, key)
    client = ssl.create_default_context(cafile=str(certificate))
    return (
        TlsChannel(client, server_side=False, server_hostname="localhost"),
        TlsChannel(server, server_side=True),
    )


def exchange(client: TlsChannel, server: TlsChannel) -> tuple[bytes, bytes]:
    """Carry bytes to and fro until none is left; what either got."""
    to_client = to_server = b""
    while True:
        up, down = client.take_output(), server.take_output()
        if not up and not down:
            return to_client, to_server
        if up:
            to_server += server.feed(up)
        if down:
            to_client += client.feed(down)


def test_both_ways(channels: tuple[TlsChannel, TlsChannel]) -> None:
    client, server = channels
    client.start()
    server.write(b"written before the handshake is over")
    assert exchange(client, server)[0] == b"written before the handshake is over"
    assert client.established
    assert server.established
    client.write(b"x" * 1_000_000)
    assert exchange(client, server)[1] == b"x" * 1_000_000


def test_what_is_no_tls_is_refused(channels: tuple[TlsChannel, TlsChannel]) -> None:
    with pytest.raises(HandshakeError):
        channels[1].feed(b"GET / HTTP/1.1\r\n\r\n")

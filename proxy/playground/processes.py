"""Child processes that do not outlive this one, and free loopback ports for them.

On Linux the kernel kills a child when its parent ends, however the parent ended (PR_SET_PDEATHSIG, prctl(2)).
Elsewhere a clean exit of the parent is needed. Children get a session of their own, so that Ctrl-C in the
terminal reaches only the parent, which stops them in order. They must be started from the main thread:
the kernel's parent is a thread.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
_GREETING = 10  # the protocol version that HandshakeV10 begins with
# Below Linux's range for outgoing connections (32768 up): none takes a server's port while it is down.
_PORTS = range(20_000, 32_000)
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def spawn(
    command: Sequence[str],
    *,
    output: Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child that is killed when this process ends; it appends stdout and stderr to `output`."""
    parent = os.getpid()

    def die_with_parent() -> None:
        assert _libc is not None
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    with output.open("ab") as sink:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=environment,
            start_new_session=True,
            preexec_fn=die_with_parent if _libc is not None else None,
        )


async def wait_ended(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Wait for a child's end; False when it still runs at the deadline. Bound to no event loop."""
    deadline = time.monotonic() + timeout_s
    while process.poll() is None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


async def terminate(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """SIGTERM, and SIGKILL at the deadline; also for a child that is stopped (SIGSTOP)."""
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
    try:
        ended = await wait_ended(process, timeout_s)
    except BaseException:  # cancelled: do not leave it running
        process.kill()
        raise
    if not ended:
        process.kill()
        await wait_ended(process, 10)


def free_port() -> int:
    """A loopback TCP port that nobody listens on now."""
    for port in random.sample(_PORTS, 200):
        if port_is_free("127.0.0.1", port):
            return port
    raise OSError("no free TCP port on 127.0.0.1")


def port_is_free(host: str, port: int) -> bool:
    return why_not_free(host, port) is None


def why_not_free(host: str, port: int) -> str | None:
    """The system's reason why nobody could listen there now; None: one could."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
        return None


async def greets(connecting: Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> bool:
    """Whether a MySQL server or proxy is there and lets clients in: it speaks first, with protocol version 10."""
    try:
        async with asyncio.timeout(5):
            reader, writer = await connecting
            try:
                packet = await reader.readexactly(5)
            finally:
                writer.close()
    except (OSError, asyncio.IncompleteReadError):
        return False
    return packet[4] == _GREETING


def tail(path: Path, lines: int = 25) -> str:
    """The end of a log, for an error's text."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(empty log)"

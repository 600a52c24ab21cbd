"""`txguard tso` as a process: serves, refuses a wrong secret, ends on SIGTERM, and steps above its last term."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from proxy.playground.processes import free_port
from proxy.playground.servers import Server

ROOT = Path(__file__).parents[2]
CONFIG = """\
[[users]]
name = "root"
password = ""
[[shards]]
name = "s1"
port = {shard_port}
user = "root"
[tso]
embedded = false
address = "127.0.0.1:{port}"
secret = "between us"
[log]
format = "json"
"""


def start(folder: Path, config: str) -> tuple[subprocess.Popen[bytes], Path]:
    path, log = folder / "txguard.toml", folder / f"{time.monotonic_ns()}.log"
    path.write_text(config)
    command = [sys.executable, "-c", "from proxy.cli import main; main()", "tso", "--config", str(path)]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stderr=sink, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return process, log


def wait_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 30
    while "tso_ready" not in (text := log.read_text()):
        assert process.poll() is None, text
        assert time.monotonic() < deadline, text
        time.sleep(0.05)
    return text


def test_a_service_starts_ends_and_starts_above_its_last_term(
    shard_servers: Sequence[Server], tmp_path: Path
) -> None:
    config = CONFIG.format(shard_port=shard_servers[0].port, port=free_port())
    epochs = []
    for _ in range(2):
        process, log = start(tmp_path, config)
        text = wait_ready(process, log)
        epochs.append(int(text.split('"epoch": ')[1].split(",")[0].rstrip("}")))
        assert "between us" not in text
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert epochs[1] == epochs[0] + 1


def test_a_service_that_was_deposed_ends_with_status_1(
    shard_servers: Sequence[Server], tmp_path: Path
) -> None:
    shard_port = shard_servers[0].port
    deposed, log = start(tmp_path, CONFIG.format(shard_port=shard_port, port=free_port()))
    wait_ready(deposed, log)
    other, other_log = start(tmp_path, CONFIG.format(shard_port=shard_port, port=free_port()))
    assert deposed.wait(20) == 1
    text = log.read_text()
    assert "the oracle stops serving" in text
    assert "txguard: the oracle ends: epoch" in text
    assert "Traceback" not in text
    wait_ready(other, other_log)
    other.send_signal(signal.SIGTERM)
    assert other.wait(20) == 0


def test_without_its_store_it_says_which_shard_is_missing(tmp_path: Path) -> None:
    process, log = start(tmp_path, CONFIG.format(shard_port=free_port(), port=free_port()))
    assert process.wait(20) == 1
    assert "shard s1 cannot keep the oracle's bound" in log.read_text()

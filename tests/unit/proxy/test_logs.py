"""Logs come out in one form, above their level, without secrets."""

from __future__ import annotations

import errno
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from proxy.config import LogConfig
from proxy.logs import configure


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_has_event_level_time_and_keys() -> None:
    stream = io.StringIO()
    configure(LogConfig(level="info", format="json"), stream)
    log = structlog.get_logger("proxy.test")
    log.debug("not_shown")
    log.info("shard_lost", shard="s1", attempts=3)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "shard_lost", "level": "info", "shard": "s1", "attempts": 3}


def test_a_logger_made_before_configure_obeys_it() -> None:
    log = structlog.get_logger("early")
    stream = io.StringIO()
    configure(LogConfig(format="json"), stream)
    log.warning("told")
    assert lines(stream)[0]["event"] == "told"


def test_secrets_are_redacted() -> None:
    stream = io.StringIO()
    configure(LogConfig(format="json"), stream)
    structlog.get_logger().error("login", user="u", password="p1", tso_secret="p2", auth_response=b"p3")
    assert "p1" not in stream.getvalue()
    assert lines(stream)[0]["tso_secret"] == "***"
    assert lines(stream)[0]["user"] == "u"


def test_library_logs_and_tracebacks_take_the_same_form() -> None:
    stream = io.StringIO()
    configure(LogConfig(format="json"), stream)
    try:
        raise ValueError("deep down")
    except ValueError:
        logging.getLogger("asyncio").exception("never retrieved")
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == ("never retrieved", "error", "asyncio")
    assert "ValueError: deep down" in line["exception"]


class FullDisk(io.StringIO):
    full = False

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    stream = FullDisk()
    configure(LogConfig(level="info", format="json"), stream)
    log = structlog.get_logger("proxy.test")
    stream.full = True
    log.warning("shard_down", shard="s1")
    logging.getLogger("library").warning("lost, too")
    stream.full = False
    log.info("shard_up", shard="s1")
    told, line = lines(stream)
    assert (told["event"], told["count"] >= 2, line["event"]) == ("log_lines_lost", True, "shard_up")


def test_console_is_for_people() -> None:
    stream = io.StringIO()
    configure(LogConfig(format="console"), stream)
    structlog.get_logger().info("ready", port=4000)
    assert "ready" in stream.getvalue()
    assert "port=4000" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()

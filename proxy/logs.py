"""Structured logs: one event a line on stderr, as JSON or for people, with nothing secret in them.

Call `configure` once, at start. Modules write `log = structlog.get_logger(__name__)` and
`log.info("shard_lost", shard=name)`: the event is a constant in snake_case, what varies goes into keys. What
libraries log through `logging` (asyncio's "exception was never retrieved") comes out in the same form.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

from proxy.config import LogConfig

_SECRET_WORDS = ("password", "passwd", "secret", "token", "auth_response", "scramble", "credential")
REDACTED = "***"


def configure(config: LogConfig, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's logs to `stream` (default: stderr)."""
    stream = cast(TextIO, _Lossy(stream if stream is not None else sys.stderr))
    level = logging.getLevelNamesMapping()[config.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact_secrets,
    ]
    last = _renderers(config, stream)
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,  # modules made their loggers before this was called
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.INFO))  # libraries' debug output is of no use here


class _Lossy:
    """A stream whose failures cost lines, never the service: a full disk, a pipe that nobody reads any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0

    def write(self, text: str) -> None:
        try:
            if self._lost:
                self._stream.write(
                    f'{{"event": "log_lines_lost", "level": "warning", "count": {self._lost}}}\n'
                )
                self._stream.flush()
                self._lost = 0
            self._stream.write(text)
        except (OSError, ValueError):
            self._lost += 1

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._lost += 1

    def isatty(self) -> bool:
        return self._stream.isatty()


def redact_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last line of defence: a key that names a secret loses its value."""
    for key in event:
        if key != "event" and any(word in key.lower() for word in _SECRET_WORDS):
            event[key] = REDACTED
    return event


def _renderers(config: LogConfig, stream: TextIO) -> list[structlog.typing.Processor]:
    if config.format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    return [
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]

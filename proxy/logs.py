"""Structured logs: one event a line on stderr, as JSON or for people, with nothing secret in them.

Call `configure` once, at start. Modules write `log = structlog.get_logger(__name__)` and
`log.info("shard_lost", shard=name)`: the event is a constant in snake_case, what varies goes into keys. What
libraries log through `logging` (asyncio's "exception was never retrieved") comes out in the same form.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from proxy.config import LogConfig

_SECRET_WORDS = ("password", "passwd", "secret", "token", "auth_response", "scramble", "credential")
REDACTED = "***"


def configure(config: LogConfig, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's logs to `stream` (default: stderr)."""
    stream = stream if stream is not None else sys.stderr
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

"""`txguard proxy`, also `python -m proxy`: serve clients until told to end."""

from __future__ import annotations

import gc
from typing import Annotated

import structlog
import typer

from proxy.cli.running import DEFAULT_CONFIG, ConfigPath, fail, load_or_exit, run_until_signalled
from proxy.config import Config
from proxy.errors import ConfigError
from proxy.logs import configure

log = structlog.get_logger(__name__)

GC_THRESHOLD = 50_000
"""Python's 700 has the cycle collector run every few dozen statements, which leave hardly any cycles."""


def command(
    config: ConfigPath = DEFAULT_CONFIG,
    doctor: Annotated[bool, typer.Option("--doctor/--no-doctor", help="examine the shards first")] = True,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="how many processes serve clients, all on the one port")
    ] = 1,
    link: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve MySQL clients in front of the shards.

    With several workers this process supervises them: it starts again one that dies, and ends them with itself.
    Ends on SIGTERM and Ctrl-C, and with status 1 when another oracle has taken over from the embedded one.
    """
    loaded = load_or_exit(config)
    configure(loaded.log)
    from proxy.playground.processes import why_not_free
    from proxy.server.main import serve
    from proxy.workers import WorkersFailed, run_worker, supervise
    from tso.errors import Deposed

    # First of all: a proxy that opened the oracle and then could not listen would have deposed a running one.
    if link is None and (reason := why_not_free(loaded.proxy.host, loaded.proxy.port)) is not None:
        fail(f"cannot serve on {loaded.proxy.listen}: {reason}")

    async def run() -> None:
        if link is not None:
            await run_worker(loaded, link)
            return
        if doctor:
            await _examine(loaded)
        if workers > 1:
            await supervise(loaded, ["--config", str(config)], workers)
        else:
            await serve(loaded)

    gc.set_threshold(GC_THRESHOLD)
    try:
        run_until_signalled(run, fast=True)
    except WorkersFailed as error:
        fail(str(error), status=error.status)
    except ConfigError as error:  # what only the shards themselves could tell
        fail(str(error), status=2)
    except Deposed as error:
        fail(f"the proxy ends: {error}")
    except OSError as error:  # the address is in use, a socket's folder does not exist, …
        fail(f"cannot serve on {loaded.proxy.listen}: {error}")


async def _examine(config: Config) -> None:
    """Log what the doctor finds; do not start on an error. Shards that are down may come back."""
    from proxy.doctor import Severity, examine, refuses_start

    levels = {
        Severity.OK: "info",
        Severity.WARNING: "warning",
        Severity.UNKNOWN: "warning",
        Severity.ERROR: "error",
    }
    findings = await examine(config)
    for finding in findings:
        details = {
            "shard": finding.shard,
            "check": finding.check,
            "text": finding.text,
            "remedy": finding.remedy,
        }
        tell = getattr(log, levels[finding.severity])
        tell("doctor", **{key: value for key, value in details.items() if value})
    if refuses_start(findings):
        fail(
            "the shards are not fit to be served: see the errors above (txguard doctor shows them as a table)"
        )

"""What the demo shows: in a terminal a live panel under a scrolling log, elsewhere a plain line every few
seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from proxy.demo.tally import Tally

LINE_EVERY_S: Final = 3.0
_REFRESH_PER_S: Final = 4


class View:
    """A context manager; `refresh` a few times a second, `tell` for what happens."""

    def __init__(self, tally: Tally, length_s: float, console: Console) -> None:
        self._tally, self._length_s, self._console = tally, length_s, console
        self._started: float | None = None
        self._last_line = float("-inf")
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=_REFRESH_PER_S, transient=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the last panel standing; `tell` goes on to work."""
        if self._live is not None:
            self._live.update(self._panel())
            self._live.stop()
            self._live = None

    def begin(self) -> None:
        """The clients run: count the time from now on."""
        self._started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return 0.0 if self._started is None else min(time.monotonic() - self._started, self._length_s)

    def tell(self, text: str) -> None:
        clock = f"{self.elapsed_s:5.1f} s" if self._started is not None else "       "
        self._console.print(f"{clock}  {text}", highlight=False, markup=False, soft_wrap=True)

    def refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._panel())
        elif self._started is not None and time.monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.monotonic()
            self.tell(plain_line(self._tally, time.time()))

    def _panel(self) -> Panel:
        table = Table.grid(padding=(0, 3))
        for label, value in figures(self._tally, time.time()):
            table.add_row(Text(label, style="dim"), value)
        bar = ProgressBar(total=self._length_s, completed=self.elapsed_s, width=60)
        return Panel(Group(bar, Text(), table), title="TxGuard: three servers, one bank", width=78)


def figures(tally: Tally, now: float) -> list[tuple[str, Text]]:
    transfers_per_s, snapshots_per_s = tally.rates(now)
    (local_p50, local_p99), (cross_p50, cross_p99) = tally.latencies_ms()
    bad = "bold red" if tally.violations else "bold green"
    odd = "yellow" if tally.unexpected else ""
    return [
        ("transfers", Text(f"{tally.transfers:>8}   {transfers_per_s:7.0f}/s")),
        (
            "  across shards",
            Text(f"{tally.cross_shard:>8}   p50 {cross_p50:6.1f} ms   p99 {cross_p99:6.1f} ms"),
        ),
        (
            "  within a shard",
            Text(
                f"{tally.transfers - tally.cross_shard:>8}   p50 {local_p50:6.1f} ms   p99 {local_p99:6.1f} ms"
            ),
        ),
        ("conflicts", Text(f"{tally.conflicts:>8}   outcome unknown {tally.unknown}")),
        ("sums of all accounts", Text(f"{tally.snapshots:>8}   {snapshots_per_s:7.0f}/s")),
        ("inspections", Text(f"{tally.inspections:>8}   {tally.unchecked} while something was down")),
        ("kills", Text(f"{tally.kills:>8}   {tally.expected_errors} errors around them")),
        ("other errors", Text(f"{len(tally.unexpected):>8}", style=odd)),
        ("violations", Text(f"{len(tally.violations):>8}", style=bad)),
    ]


def plain_line(tally: Tally, now: float) -> str:
    transfers_per_s, _ = tally.rates(now)
    (_, local_p99), (_, cross_p99) = tally.latencies_ms()
    return (
        f"transfers={tally.transfers} ({transfers_per_s:.0f}/s) cross_shard={tally.cross_shard} "
        f"p99_local={local_p99:.0f}ms p99_cross={cross_p99:.0f}ms conflicts={tally.conflicts} "
        f"snapshots={tally.snapshots} inspections={tally.inspections} violations={len(tally.violations)}"
    )


Tell = Callable[[str], None]

"""Named places where a test may crash, delay or fail the engine, and switches that leave out a rule.

Set by `TXGUARD_FAILPOINTS="name=action[:argument][@from][*count][%probability];…"` in the environment or by
`enable`. `@2` leaves the first passing alone, `*1` acts once.
Actions: `panic` (the process dies as by kill -9), `error` (raises FailpointError), `sleep:SECONDS`, `on` (a
switch, asked by `active`). Names are listed in NAMES; an unknown one is refused. Costs one dict look-up when off.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass

PLACES = frozenset(
    {
        "commit_before_begin",
        "commit_after_begin",
        "prewrite_before_send",
        "prewrite_one_done",
        "commit_before_end",
        "commit_after_end",
        "decided_mark_before_rise",
        "resolve_before_tombstone",
        "resolve_one_tombstone",
        "resolve_after_decide",
        "resolve_one_undone",
        "resolve_before_end",
    }
)
"""Where a coordinator or a resolver passes."""
SWITCHES = frozenset(
    {"without_R1", "without_R2", "without_R3", "without_R4", "without_R5", "without_S-again"}
)
"""A rule of docs/protocol.md is left out, so that a test can show that it is needed."""
NAMES = PLACES | SWITCHES


class FailpointError(Exception):
    """Raised where a failpoint's action is `error`."""


@dataclass(slots=True)
class _Action:
    kind: str
    argument: float = 0.0
    skip: int = 0
    left: int = -1
    probability: float = 1.0


armed: dict[str, _Action] = {}
"""Empty where no failpoint is: who passes often looks here first."""


def enable(name: str, action: str) -> None:
    """Arm one failpoint, e.g. `enable("commit_point", "sleep:0.5*1")`."""
    if name not in NAMES:
        raise ValueError(f"unknown failpoint {name!r}; known: {', '.join(sorted(NAMES))}")
    text, _, probability = action.partition("%")
    text, _, count = text.partition("*")
    text, _, first = text.partition("@")
    kind, _, argument = text.partition(":")
    if kind not in {"panic", "error", "sleep", "on"}:
        raise ValueError(f"unknown failpoint action {kind!r}")
    armed[name] = _Action(
        kind, float(argument or 0), int(first or 1) - 1, int(count or -1), float(probability or 1)
    )


def disable(name: str) -> None:
    armed.pop(name, None)


def clear() -> None:
    armed.clear()


def load_environment() -> None:
    for item in os.environ.get("TXGUARD_FAILPOINTS", "").split(";"):
        if item.strip():
            name, _, action = item.strip().partition("=")
            enable(name, action)


def active(name: str) -> bool:
    """Whether a switch is on."""
    return name in armed


async def reach(name: str) -> None:
    """Pass a failpoint: nothing unless it is armed."""
    action = _due(name)
    if action is None:
        return
    if action.kind == "error":
        raise FailpointError(name)
    if action.kind == "sleep":
        await asyncio.sleep(action.argument)


def passing(name: str, go_on: Callable[[Exception | None], None]) -> None:
    """Pass a failpoint outside a coroutine: `go_on(None)`, at once unless it is armed; with the action's error."""
    action = _due(name) if armed else None
    if action is None or action.kind == "on":
        go_on(None)
    elif action.kind == "error":
        go_on(FailpointError(name))
    else:
        asyncio.get_running_loop().call_later(action.argument, go_on, None)


def _due(name: str) -> _Action | None:
    """The action to take now. A panic does not return."""
    action = armed.get(name)
    if action is None or action.left == 0 or random.random() >= action.probability:
        return None
    if action.skip > 0:
        action.skip -= 1
        return None
    action.left -= 1
    if action.kind == "panic":
        os.kill(os.getpid(), signal.SIGKILL)
    return action


load_environment()

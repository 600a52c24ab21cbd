"""Writes docs/errors.md from the error classes: `python -m proxy.cli.error_docs`; a test checks that it is current."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import proxy
import txguard
from proxy.errors import ProxyError
from txguard.errors import TxGuardError

TARGET = Path("docs/errors.md")

_HEAD = """# Errors

Written from the code by `python -m proxy.cli.error_docs`; do not edit.

Errors of a shard (1062, 1146, …) come through as the shard gave them. The numbers below are TxGuard's own use of
MySQL's errors, and, from 9100, errors that only TxGuard has. *Retry*: whether running the whole transaction again
can do no harm; "no" stands only where the outcome is not known, "as sent" where the same statement would fail again.
9106 is raised by the triggers on a shard: somebody wrote a managed table around TxGuard.
"""

_PERMANENT = frozenset({"42", "3D", "28"})
"""SQLSTATE classes that speak of the statement, not of the moment."""


def errors(root: type[Exception]) -> list[type[Exception]]:
    """Every class below `root` that carries a number, by number, name and module."""
    found: set[type[Exception]] = set()
    waiting = [root]
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        if isinstance(getattr(one, "errno", None), int):
            found.add(one)
    return sorted(found, key=lambda error: (getattr(error, "errno", 0), error.__name__, error.__module__))


def render() -> str:
    """The whole page."""
    for package in (txguard, proxy):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    return "\n".join(
        [
            _HEAD,
            "## Transactions and the engine\n",
            *_table(TxGuardError),
            "\n## The proxy\n",
            *_table(ProxyError),
            "",
        ]
    )


def _table(root: type[Exception]) -> list[str]:
    lines = ["| errno | SQLSTATE | name | retry | meaning |", "|---|---|---|---|---|"]
    for error in errors(root):
        meaning = " ".join((inspect.getdoc(error) or "").split()).replace("|", "\\|")
        own = meaning if error.__doc__ else ""
        sqlstate = str(getattr(error, "sqlstate", ""))
        lines.append(
            f"| {getattr(error, 'errno', '')} | {sqlstate} | {error.__name__} | {_retry(error)} | {own} |"
        )
    return lines


def _retry(error: type[Exception]) -> str:
    if not getattr(error, "retry_safe", True):
        return "no"
    return "as sent" if str(getattr(error, "sqlstate", ""))[:2] in _PERMANENT else "yes"


if __name__ == "__main__":
    TARGET.write_text(render())

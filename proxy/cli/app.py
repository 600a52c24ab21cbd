"""Which subcommands there are."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import typer

SUBCOMMANDS = (
    "playground", "proxy", "doctor", "inspect", "history", "retention", "rollback-to",
    "audit", "txn", "recover", "tso", "demo", "bench", "soak",
)  # fmt: skip
"""Each is `command` in the module of its name (_ for -) in this package; `SETTINGS` there, if any, goes to typer."""


def build() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        name="txguard",
        help="Several MySQL or MariaDB servers as one database, with transactions over all of them.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name in SUBCOMMANDS:
        module_name = f"proxy.cli.{name.replace('-', '_')}"
        if find_spec(module_name) is not None:
            module = import_module(module_name)
            app.command(name, **getattr(module, "SETTINGS", {}))(module.command)
    return app


def main() -> None:
    """The console script."""
    build()()

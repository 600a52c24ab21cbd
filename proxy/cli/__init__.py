"""The command line, `txguard`: one file per subcommand, put together in `app.py`.

A subcommand's file has `command`, a typer function; what it needs is imported inside, so that `txguard --help`
and tab completion stay quick and a broken part breaks only its own command.
"""

from proxy.cli.app import main

__all__ = ["main"]

"""`python -m proxy --config txguard.toml`: the proxy alone, as `txguard proxy`."""

import typer

from proxy.cli.proxy import command

if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    app()

"""The command line's own behaviour: what it offers, and how it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from proxy.cli import app as command_line
from proxy.cli import doctor, playground, proxy
from proxy.playground.processes import free_port

CONFIG = """\
[proxy]
listen = "127.0.0.1:{listen}"
[[users]]
name = "root"
password = ""
[[shards]]
name = "s1"
port = {port}
user = "root"
"""


def run(command: object, *arguments: str) -> tuple[int, str, str]:
    app = typer.Typer(add_completion=False)
    app.command()(command)  # type: ignore[type-var]
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def config_of_a_server_that_is_down(tmp_path: Path) -> Path:
    path = tmp_path / "txguard.toml"
    path.write_text(CONFIG.format(listen=free_port(), port=free_port()))
    return path


def test_every_subcommand_is_offered() -> None:
    app = command_line.build()
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for name in ("playground", "proxy", "doctor", "inspect", "tso"):
        assert name in result.stdout


@pytest.mark.parametrize("name", command_line.SUBCOMMANDS)
def test_no_word_of_a_help_is_taken_for_markup(name: str) -> None:
    """Rich leaves out what stands in square brackets."""
    command = get_command(command_line.build()).commands[name]  # type: ignore[attr-defined]
    for text in (command.help, *(getattr(parameter, "help", None) for parameter in command.params)):
        assert "[" not in (text or "").replace("[default: ", "")


@pytest.mark.parametrize("command", [proxy.command, doctor.command])
def test_a_bad_configuration_ends_with_2_and_its_line(command: object, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(CONFIG.format(listen=4000, port=3306).replace("port", "prot"))
    status, _, stderr = run(command, "--config", str(path))
    assert status == 2
    assert f"{path}, line 8: unknown key 'shards.prot' (did you mean 'port'?)" in stderr


def test_the_doctor_as_table_and_as_json(config_of_a_server_that_is_down: Path) -> None:
    status, stdout, _ = run(doctor.command, "--config", str(config_of_a_server_that_is_down))
    assert status == 2
    assert "cannot be reached" in " ".join(stdout.split())
    status, stdout, _ = run(doctor.command, "--json", "--config", str(config_of_a_server_that_is_down))
    report = json.loads(stdout)
    assert (status, report["exit_code"]) == (2, 2)
    assert [finding["check"] for finding in report["findings"]] == ["reachable"]


def test_a_playground_of_an_unknown_product(tmp_path: Path) -> None:
    status, _, stderr = run(playground.command, "--dir", str(tmp_path), "--server", "oracle")
    assert status == 1
    assert "choose mariadb or mysql" in stderr

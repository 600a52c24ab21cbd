"""Fresh data directories, fast: initialised once per installation, kept in the user's cache, and copied.

A template is complete or absent: it is made under another name and renamed. A crash while one is made leaves
a `*.tmp` folder, which the next maker removes under the lock.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxy.playground.errors import PlaygroundError
from proxy.playground.installations import Installation, ServerKind
from proxy.playground.processes import tail

# Part of a template's name: raise it when what follows changes the data directory.
_FORMAT = 1

_SIZES = {
    ServerKind.MARIADB: ("--innodb-log-file-size=48M",),
    ServerKind.MYSQL: ("--innodb-redo-log-capacity=64M",),
}
_MYSQL_INIT = """\
CREATE USER root@'127.0.0.1' IDENTIFIED BY '';
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
"""


class TemplateFailed(PlaygroundError):
    """A data directory could not be initialised; the text has the program's last words."""


def size_options(kind: ServerKind) -> tuple[str, ...]:
    """Options that must be the same at initialisation and at every start, or the server rebuilds its log."""
    return _SIZES[kind]


async def make_datadir(installation: Installation, datadir: Path) -> None:
    """Fill `datadir`, which must not exist, with a fresh server's data. Raises TemplateFailed."""
    await asyncio.to_thread(_copy_template, installation, datadir)


def _copy_template(installation: Installation, datadir: Path) -> None:
    template = _cache_folder() / f"{installation.label}-v{_FORMAT}"
    with _locked(template.with_suffix(".lock")):
        if not template.exists():
            _make_template(installation, template)
    partial = datadir.with_name(datadir.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(template, partial, symlinks=True, ignore=shutil.ignore_patterns("*.sock", "*.pid"))
    os.rename(partial, datadir)


def _make_template(installation: Installation, template: Path) -> None:
    partial = template.with_name(template.name + ".tmp")
    shutil.rmtree(partial, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="txguard-init-") as scratch:
        log = Path(scratch, "init.log")
        init_file = Path(scratch, "init.sql")
        init_file.write_text(_MYSQL_INIT)
        command = _init_command(installation, partial, init_file)
        try:
            with log.open("wb") as sink:
                ended = subprocess.run(command, stdout=sink, stderr=sink, timeout=180, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TemplateFailed(
                f"{installation.label}: cannot initialise a data directory: {error}"
            ) from error
        if ended.returncode != 0:
            raise TemplateFailed(
                f"{installation.label}: {command[0]} ended with status {ended.returncode}:\n{tail(log)}"
            )
    (partial / "auto.cnf").unlink(missing_ok=True)  # MySQL's server_uuid: each copy makes its own
    os.rename(partial, template)


def _init_command(installation: Installation, datadir: Path, init_file: Path) -> list[str]:
    common = [f"--datadir={datadir}", *size_options(installation.kind), *installation.fixed_options]
    if os.geteuid() == 0:
        common.append("--user=root")
    if installation.kind is ServerKind.MYSQL:
        options = [
            "--no-defaults",
            "--initialize-insecure",
            f"--init-file={init_file}",
            "--secure-file-priv=NULL",
        ]
        return [*installation.command, *options, *common]
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(installation.command[0]).parent)])
    program = shutil.which("mariadb-install-db", path=search) or shutil.which("mysql_install_db", path=search)
    if program is None:
        raise TemplateFailed("mariadb-install-db is missing: on Debian it is in mariadb-server-core")
    options = ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]
    return [program, *options, "--skip-name-resolve", *common]


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "txguard", "templates")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home that cannot be written
        folder = Path(tempfile.gettempdir(), f"txguard-templates-{os.getuid()}")
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

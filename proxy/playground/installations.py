"""Which MariaDB and MySQL servers this machine can run, and with which command line.

A server comes from the machine's own packages or, for MySQL on Debian, from a root made by `make mysql`
(TXGUARD_MYSQL_ROOT). Programs of that root run through the root's own dynamic loader, with its libraries and
its message files: this needs neither chroot nor privileges, and their data may lie anywhere.
"""

from __future__ import annotations

import enum
import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from proxy.playground.errors import PlaygroundError

MYSQL_ROOT_VARIABLE = "TXGUARD_MYSQL_ROOT"
DEFAULT_MYSQL_ROOT = Path("/opt/txguard-mysql")
_SYSTEM_FOLDERS = (
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/libexec",
    "/usr/local/mysql/bin",
    "/opt/homebrew/bin",
)
_VERSION = re.compile(r"Ver\s+(\d+\.\d+\.\d+)(\S*)")


class ServerKind(enum.Enum):
    MARIADB = "mariadb"
    MYSQL = "mysql"


class NoServerFound(PlaygroundError):
    """No MariaDB or MySQL server program is on this machine; the text says what to install."""


@dataclass(frozen=True, slots=True)
class Installation:
    """A server program. `command` starts it; `fixed_options` name where its own files lie."""

    kind: ServerKind
    version: str
    """Three numbers, as "10.11.6"."""
    command: tuple[str, ...]
    fixed_options: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.kind.value}-{self.version}"


def find_servers() -> list[Installation]:
    """Every installation on this machine, MariaDB first; one of each kind."""
    found: dict[ServerKind, Installation] = {}
    for installation in [*_local_installations(), *_root_installations()]:
        found.setdefault(installation.kind, installation)
    return [found[kind] for kind in ServerKind if kind in found]


def find_server(kind: ServerKind | None = None) -> Installation:
    """The installation of `kind`, or the first at hand. Raises NoServerFound."""
    for installation in find_servers():
        if kind in (None, installation.kind):
            return installation
    wanted = {ServerKind.MARIADB: "MariaDB", ServerKind.MYSQL: "MySQL", None: "MariaDB or MySQL"}[kind]
    raise NoServerFound(
        f"no {wanted} server on this machine. Debian and Ubuntu: apt-get install mariadb-server-core "
        f"mariadb-client; MySQL beside it, as root: make mysql (or set {MYSQL_ROOT_VARIABLE} to the folder "
        "it was unpacked into); Fedora: dnf install mariadb-server; macOS: brew install mariadb"
    )


def mysql_root() -> Path:
    """The folder into which `make mysql` unpacks MySQL."""
    return Path(os.environ.get(MYSQL_ROOT_VARIABLE) or DEFAULT_MYSQL_ROOT)


def _local_installations() -> list[Installation]:
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS])
    programs = [shutil.which(name, path=search) for name in ("mariadbd", "mysqld")]
    return [made for program in programs if program and (made := _probe((program,)))]


def _root_installations() -> list[Installation]:
    root = mysql_root()
    program = root / "usr/sbin/mysqld"
    # usr/lib64, not lib64: a root's top-level links may be absolute and lead out of it.
    loaders = [*root.glob("usr/lib64/ld-linux-*.so.*"), *root.glob("usr/lib/ld-linux-*.so.*")]
    if not program.exists() or not loaders:
        return []
    libraries = [str(folder) for folder in sorted(root.glob("usr/lib/*-linux-gnu*"))]
    command = (str(loaders[0]), "--library-path", ":".join([*libraries, str(root / "usr/lib")]), str(program))
    options = (
        f"--basedir={root}/usr",
        f"--lc-messages-dir={root}/usr/share/mysql",
        f"--character-sets-dir={root}/usr/share/mysql/charsets",
        f"--plugin-dir={root}/usr/lib/mysql/plugin",
    )
    made = _probe(command, options)
    return [made] if made else []


@functools.cache
def _probe(command: tuple[str, ...], options: tuple[str, ...] = ()) -> Installation | None:
    """Ask a program for its version; None when it does not run or does not say one."""
    try:
        asked = subprocess.run(
            [*command, "--no-defaults", "--version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(asked.stdout)
    if match is None:
        return None
    kind = ServerKind.MARIADB if "MariaDB" in match[2] else ServerKind.MYSQL
    return Installation(kind, match[1], command, options)

"""The playground's folder: what lies in it, whose data it is, and that one playground at a time uses it.

Layout: `s1`, `s2`, … (one server each), `txguard.toml` and `proxy.log`, `playground.json` (what kind of servers
the data belong to), `playground.lock` (held while a playground runs; the kernel drops it when the holder dies).
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from proxy.playground.errors import PlaygroundError


class PlaygroundRefused(PlaygroundError):
    """The playground cannot start; the text says what to do. Nothing was started or changed."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What the data in a folder was made by. Ports are kept so that noted addresses stay good."""

    kind: str
    version: str
    ports: tuple[int, ...]


def default_folder() -> Path:
    return Path.home() / ".txguard" / "playground"


class Folder:
    """A locked playground folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self._lock: IO[str] | None = None

    @property
    def config(self) -> Path:
        return self.path / "txguard.toml"

    @property
    def proxy_log(self) -> Path:
        return self.path / "proxy.log"

    def shard(self, number: int) -> Path:
        return self.path / f"s{number}"

    def lock(self) -> None:
        """Take the folder for this process. Raises PlaygroundRefused when another playground has it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "playground.lock").open("a+", encoding="ascii")
        except OSError as error:
            raise PlaygroundRefused(f"{self.path} cannot be used: {error.strerror}; see --dir") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip()
            lock.close()
            raise PlaygroundRefused(
                f"a playground is running in {self.path} (process {holder or 'unknown'}): stop it, or use --dir"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def read(self) -> Contents | None:
        """None: no data yet."""
        try:
            found = json.loads(self._record.read_text(encoding="utf-8"))
            return Contents(found["kind"], found["version"], tuple(found["ports"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise PlaygroundRefused(
                f"{self._record} cannot be read ({error}); --fresh starts anew"
            ) from error

    def write(self, contents: Contents) -> None:
        partial = self._record.with_suffix(".tmp")
        partial.write_text(json.dumps(asdict(contents)) + "\n", encoding="utf-8")
        partial.replace(self._record)

    def clear(self) -> None:
        """Remove a playground's data, and nothing else that may lie in the folder."""
        for shard in self.path.glob("s[0-9]*"):
            if (shard / "data").is_dir() or (shard / "data.partial").is_dir():
                shutil.rmtree(shard)
        for file in (self.config, self.proxy_log, self._record):
            file.unlink(missing_ok=True)

    @property
    def _record(self) -> Path:
        return self.path / "playground.json"

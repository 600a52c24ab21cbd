"""What a type checker sees of decorated functions, in a strict program of a user's."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PROGRAM = """
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import reveal_type
from txguard import INJECTED, transactional
from txguard.transactional import AiomysqlConnection, AsyncPool

class Plain: ...
class Asynchronous: ...
def open_plain() -> AbstractContextManager[Plain]: ...
def open_async() -> AbstractAsyncContextManager[Asynchronous]: ...
class Engine:
    def connect(self) -> AbstractContextManager[Plain]: ...
pool: AsyncPool

@transactional(open_plain)
def first(connection: Plain, a: int, *, b: str = "") -> int: return a
@transactional(Engine())
def from_engine(connection: Plain, a: int) -> int: return a
@transactional(open_plain)
def without(a: int) -> int: return a
@transactional(open_plain)
def given(a: int, *, connection: Plain = INJECTED) -> int: return a
@transactional(open_async)
async def asynchronous(connection: Asynchronous, a: int) -> int: return a
@transactional(pool)
async def pooled(connection: AiomysqlConnection, a: int) -> int: return a
@transactional("mysql://root@localhost")
async def dsn(connection: AiomysqlConnection, a: int) -> int: return a
class Service:
    @transactional(open_plain)
    def method(self, connection: Plain, a: int) -> int: return a

reveal_type(first)
reveal_type(from_engine)
reveal_type(without)
reveal_type(given)
reveal_type(asynchronous)
reveal_type(pooled)
reveal_type(dsn)
reveal_type(Service().method)
first("no")  # error
"""

REVEALED = [
    "def (a: int, *, b: str =) -> int",
    "def (a: int) -> int",
    "def (a: int) -> int",
    "def (a: int, *, connection: program.Plain =) -> int",
    "def (a: int) -> typing.Coroutine[Any, Any, int]",
    "def (a: int) -> typing.Coroutine[Any, Any, int]",
    "def (a: int) -> typing.Coroutine[Any, Any, int]",
    "def (a: int) -> int",
]


def test_the_connection_disappears_and_everything_else_stays(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull),
            *("--disable-error-code=empty-body", "--disable-error-code=import-untyped"),
            *("--cache-dir", str(tmp_path / "cache"), str(tmp_path / "program.py")),
        ],
        env={**os.environ, "MYPYPATH": str(root)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    revealed = [
        line.partition('is "')[2].rstrip('"').replace("builtins.", "") for line in lines if "Revealed" in line
    ]
    assert revealed == REVEALED, done.stdout
    errors = [line for line in lines if ": error:" in line]
    assert len(errors) == 1, done.stdout
    assert 'incompatible type "str"; expected "int"' in errors[0]

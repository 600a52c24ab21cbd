"""The build hook of the wheel: compiles the hot path with mypyc, where there is a C compiler.

Which modules stands in pyproject.toml. The wheel has them twice: the interpreter takes the compiled one, tracebacks
show the source. Without a compiler or Python's headers, or with TXGUARD_COMPILE=0, the wheel holds Python alone: the
same, slower. An editable install is never compiled: an edited file must be what runs.

A module with a coroutine is refused: cancelling compiled ones brought the interpreter down (mypyc of mypy 2.4.1,
CPython 3.11; with txguard/engine/transaction.py compiled, tests/integration/test_engine_trouble.py showed it at once).
Sources: mypyc's documentation, "Getting started"; Hatch's, "Build hook plugins".
"""

from __future__ import annotations

import ast
import os
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# No configuration: neither the strict checks of `make lint` nor the libraries' own types belong here.
MYPY_OPTIONS = ("--config-file=", "--ignore-missing-imports", "--follow-imports=silent")


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """`version` is "standard" or "editable"."""
        if version == "editable" or os.environ.get("TXGUARD_COMPILE") == "0":
            return
        self._folder = tempfile.TemporaryDirectory(prefix="txguard-compile-")  # gone with this hook
        folder = Path(self._folder.name)
        try:
            built = compile_modules(self.config["modules"], folder)
        except CannotCompile as reason:
            self.app.display_warning(f"not compiled, so slower: {reason}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update(built)


class CannotCompile(Exception):
    """There is no compiler, or no Python.h, or it failed."""


def compile_modules(modules: list[str], folder: Path) -> dict[str, str]:
    """Where each compiled file lies, and its path in the wheel. Works from the checkout's folder."""
    with_coroutines = [module for module in modules if _has_coroutine(Path(module))]
    if with_coroutines:
        raise SystemExit(f"not to be compiled, as they hold coroutines: {', '.join(with_coroutines)}")
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.errors import BaseError

    extensions = mypycify(
        [*MYPY_OPTIONS, *modules],
        opt_level="2",
        debug_level="0",
        multi_file=True,
        group_name="txguard",
        target_dir=str(folder / "c"),
    )
    distribution = Distribution({"name": "txguard", "ext_modules": extensions})
    command: Any = distribution.get_command_obj("build_ext")
    command.build_temp, command.build_lib = str(folder / "objects"), str(folder / "lib")
    try:
        distribution.run_command("build_ext")
    except BaseError as error:
        raise CannotCompile(error) from error
    library = folder / "lib"
    return {str(path): str(path.relative_to(library)) for path in library.rglob("*.so")}


def _has_coroutine(module: Path) -> bool:
    return any(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(ast.parse(module.read_text())))

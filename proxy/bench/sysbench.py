"""sysbench's own OLTP tests, with prepared statements as it sends them by default."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections import deque
from collections.abc import AsyncGenerator

from proxy.bench.world import HOST

ROWS = 10_000
DATABASE = "sbtest"
_RATE = re.compile(r"transactions:\s+\d+\s+\(([\d.]+) per sec\.\)")


class SysbenchFailed(Exception):
    """sysbench is missing, or ended with an error; the text is the end of what it printed."""


async def _sysbench(script: str, port: int, database: str, *arguments: str) -> str:
    return "\n".join([line async for line in follow(script, port, database, *arguments)])


async def follow(script: str, port: int, database: str, *arguments: str) -> AsyncGenerator[str, None]:
    """The lines that it prints, as they come. Raises SysbenchFailed at its end."""
    program = shutil.which("sysbench")
    if program is None:
        raise SysbenchFailed("no sysbench here: install Debian's package sysbench, or run `make bench`")
    process = await asyncio.create_subprocess_exec(
        program,
        script,
        f"--mysql-host={HOST}",
        f"--mysql-port={port}",
        "--mysql-user=root",
        f"--mysql-db={database}",
        "--mysql-ignore-errors=1213,1020,1205",
        "--tables=1",
        f"--table-size={ROWS}",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    last: deque[str] = deque(maxlen=40)
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            last.append(line.decode(errors="replace").rstrip())
            yield last[-1]
    finally:
        if process.returncode is None and not process.stdout.at_eof():
            process.terminate()
        await process.wait()
    if process.returncode != 0:
        raise SysbenchFailed("\n".join(last)[-2000:])


async def prepare(port: int, database: str) -> None:
    """Create and fill the table. The database must exist."""
    await _sysbench("oltp_point_select", port, database, "prepare")


async def run(script: str, port: int, database: str, threads: int, seconds: int) -> float:
    """Transactions (here: statements) per second."""
    output = await _sysbench(script, port, database, f"--threads={threads}", f"--time={seconds}", "run")
    found = _RATE.search(output)
    if found is None:
        raise SysbenchFailed(output[-2000:])
    return float(found[1])

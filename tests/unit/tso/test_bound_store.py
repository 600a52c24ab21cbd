"""The store of the lease without servers: what a defect does, and what the texts of failures say."""

from __future__ import annotations

from typing import Any

import aiomysql
import pytest

from tso.errors import BoundStoreError
from tso.store import MySQLBoundStore


async def test_a_defect_at_a_copy_is_a_failure_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise it would end the renewals for ever, in a process that seems to live."""

    async def broken(**arguments: Any) -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr(aiomysql, "connect", broken)
    store = MySQLBoundStore({"host": "here", "port": 1}, {"unix_socket": "/there"})
    with pytest.raises(BoundStoreError, match=r"here:1: RuntimeError.*; /there: RuntimeError"):
        await store.read()
    assert "could not be asked" in caplog.text
    await store.aclose()

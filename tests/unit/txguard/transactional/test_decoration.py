"""What may be decorated, and how the connection gets into the call."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from txguard import INJECTED, transactional
from txguard.transactional import Propagation


def test_generators_are_refused(server: Any) -> None:
    def rows(connection: Any) -> Iterator[int]:
        yield 1

    async def rows_async(connection: Any) -> AsyncIterator[int]:
        yield 1

    for function in (rows, rows_async):
        with pytest.raises(TypeError, match="generator"):
            transactional(server)(function)


@pytest.mark.parametrize("thing", [staticmethod(lambda connection: 1), classmethod(lambda cls: 1), int, 7])
def test_other_things_are_refused(server: Any, thing: Any) -> None:
    with pytest.raises(TypeError):
        transactional(server)(thing)


@pytest.mark.parametrize("source", [None, 7, object()])
def test_what_gives_no_connections_is_refused(source: Any) -> None:
    with pytest.raises(TypeError, match="source"):
        transactional(source)


def test_a_coroutine_returned_by_a_plain_function_is_refused(server: Any) -> None:
    async def work() -> None: ...

    made = []

    @transactional(server)
    def plain() -> Any:
        made.append(work())
        return made[0]

    with pytest.raises(TypeError, match="async def"):
        plain()
    made[0].close()
    assert "1:COMMIT" not in server.log


async def test_an_async_function_needs_asyncio_connections(server: Any) -> None:
    @transactional(server)
    async def work(connection: Any) -> None: ...

    with pytest.raises(TypeError, match="asyncio"):
        await work()


def test_a_plain_function_cannot_have_an_async_source() -> None:
    async def opens() -> Any: ...

    with pytest.raises(TypeError, match="async def"):
        transactional(opens)(lambda connection: None)


class Service:
    def __init__(self, prefix: str) -> None:
        self.prefix = prefix


def test_first_parameter_method_keyword_and_none(server: Any) -> None:
    @transactional(server)
    def first(connection: Any, a: int, *, b: int = 2) -> tuple[int, int, int]:
        return connection.number, a, b

    @transactional(server)
    def by_keyword(a: int, *, connection: Any = INJECTED) -> tuple[int, int]:
        return a, connection.number

    @transactional(server)
    def without(a: int) -> int:
        return a

    def method(self: Service, connection: Any, a: int) -> tuple[str, int, int]:
        return self.prefix, connection.number, a

    Service.method = transactional(server)(method)  # type: ignore[attr-defined]
    assert first(7, b=9) == (1, 7, 9)
    assert first(a=7) == (2, 7, 2)
    assert by_keyword(5) == (5, 3)
    assert without(4) == 4
    assert Service("p").method(1) == ("p", 5, 1)  # type: ignore[attr-defined]


def test_partial_and_metadata(server: Any) -> None:
    def work(connection: Any, a: int) -> int:
        """Doc."""
        return a

    assert transactional(server)(work).__doc__ == "Doc."
    assert transactional(server)(functools.partial(work, a=3))() == 3


def test_a_given_connection_is_used_and_kept(server: Any, mysql_error: Any) -> None:
    @transactional(server)
    def work(*, connection: Any = INJECTED) -> int:
        connection.run("WORK")
        return int(connection.number)

    own = server()
    assert work(connection=own) == 1
    assert server.log == ["1:START TRANSACTION", "1:WORK", "1:COMMIT"]
    server.failures["WORK"] = [mysql_error(2013)]
    with pytest.raises(type(mysql_error(2013))):
        work(connection=own)  # there is no other connection to try it on
    assert server.opened == 1


def test_the_connection_of_the_running_transaction_joins_it(server: Any) -> None:
    @transactional(server, propagation=Propagation.MANDATORY)
    def inner(*, connection: Any = INJECTED) -> None:
        connection.run("INNER")

    @transactional(server)
    def outer(connection: Any) -> None:
        inner(connection=connection)

    outer()
    assert server.log == ["1:START TRANSACTION", "1:INNER", "1:COMMIT", "1:returned"]

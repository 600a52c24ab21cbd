"""The types of `@transactional`, for type checkers: which sources there are, and what decorating does to a
function.

A function whose first parameter (or whose first after `self`) is the source's connection loses that
parameter; any other keeps its signature. Engines and pools are described by what they can do, so that no
driver need be installed.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from pymysql.connections import Connection as PymysqlConnection

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
C_co = TypeVar("C_co", covariant=True)


class Connects(Protocol[C_co]):
    """As sqlalchemy.Engine."""

    def connect(self) -> AbstractContextManager[C_co]: ...


class ConnectsAsync(Protocol[C_co]):
    """As sqlalchemy.ext.asyncio.AsyncEngine."""

    def connect(self) -> AbstractAsyncContextManager[C_co]: ...


class AsyncPool(Protocol):
    """As aiomysql.Pool, which has no types of its own: annotate a pool with this one."""

    def acquire(self) -> Any: ...


class SyncDecorator(Protocol[C_co]):
    """Decorates plain functions over connections of type C."""

    @overload
    def __call__(self, function: Callable[Concatenate[C_co, P], R]) -> Callable[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[S, C_co, P], R]) -> Callable[Concatenate[S, P], R]: ...
    @overload
    def __call__(self, function: Callable[P, R]) -> Callable[P, R]: ...


class AsyncDecorator(Protocol[C_co]):
    """Decorates async functions over connections of type C."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[C_co, P], Coroutine[Any, Any, R]]
    ) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[S, C_co, P], Coroutine[Any, Any, R]]
    ) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]]
    ) -> Callable[P, Coroutine[Any, Any, R]]: ...


class AiomysqlConnection(Protocol):
    """What an async function over a DSN or a pool gets, as far as types go: aiomysql has none of its own."""

    def cursor(self, *cursors: Any) -> Any: ...

    async def commit(self) -> None: ...

    async def rollback(self) -> None: ...


class DsnDecorator(Protocol):
    """Decorates async functions over aiomysql connections and plain functions over pymysql connections."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[AiomysqlConnection, P], Coroutine[Any, Any, R]]
    ) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap] # a coroutine function is meant, whatever else R may be
        self, function: Callable[Concatenate[S, AiomysqlConnection, P], Coroutine[Any, Any, R]]
    ) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[PymysqlConnection[Any], P], R]) -> Callable[P, R]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[S, PymysqlConnection[Any], P], R]
    ) -> Callable[Concatenate[S, P], R]: ...
    @overload
    def __call__(self, function: Callable[P, R]) -> Callable[P, R]: ...

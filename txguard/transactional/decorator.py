"""`transactional`: the decorator, its types, and how the connection reaches the function.

The connection goes to the function's parameter named `connection`. If that is the first one (after `self` or
`cls`), callers leave it out: the decorated function has one parameter less. Declared as
`*, connection: Connection = INJECTED`, callers may give a connection of their own, by keyword. A function
without such a parameter asks `current_connection()`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Final, TypeVar, overload

from txguard.transactional.dsn import PymysqlPool, aiomysql_opener, parse_dsn
from txguard.transactional.interpret import AsyncInterpreter, run
from txguard.transactional.leases import GivenManager, Opener, in_transaction
from txguard.transactional.lifecycle import Request, lifecycle
from txguard.transactional.options import Isolation, Options, Propagation
from txguard.transactional.retry import Clock, SystemClock
from txguard.transactional.scope import SourceKey
from txguard.transactional.signatures import (
    AiomysqlConnection,
    AsyncDecorator,
    AsyncPool,
    Connects,
    ConnectsAsync,
    DsnDecorator,
    SyncDecorator,
)

C = TypeVar("C")

INJECTED: Final[Any] = None
"""The default of a parameter `connection` that callers may leave out."""

_PARAMETER: Final = "connection"
_SYSTEM_CLOCK: Final = SystemClock()


@overload
def transactional(
    source: str,
    *,
    isolation: Isolation | None = None,
    read_only: bool = False,
    consistent_snapshot: bool = False,
    propagation: Propagation = Propagation.REQUIRED,
    retries: int = 8,
    deadline_s: float = 30.0,
    clock: Clock = _SYSTEM_CLOCK,
) -> DsnDecorator: ...
@overload
def transactional(
    source: Connects[C] | Callable[[], AbstractContextManager[C]],
    *,
    isolation: Isolation | None = None,
    read_only: bool = False,
    consistent_snapshot: bool = False,
    propagation: Propagation = Propagation.REQUIRED,
    retries: int = 8,
    deadline_s: float = 30.0,
    clock: Clock = _SYSTEM_CLOCK,
) -> SyncDecorator[C]: ...
@overload
def transactional(
    source: ConnectsAsync[C] | Callable[[], AbstractAsyncContextManager[C]],
    *,
    isolation: Isolation | None = None,
    read_only: bool = False,
    consistent_snapshot: bool = False,
    propagation: Propagation = Propagation.REQUIRED,
    retries: int = 8,
    deadline_s: float = 30.0,
    clock: Clock = _SYSTEM_CLOCK,
) -> AsyncDecorator[C]: ...
@overload
def transactional(
    source: AsyncPool | Callable[[], Awaitable[Any]],
    *,
    isolation: Isolation | None = None,
    read_only: bool = False,
    consistent_snapshot: bool = False,
    propagation: Propagation = Propagation.REQUIRED,
    retries: int = 8,
    deadline_s: float = 30.0,
    clock: Clock = _SYSTEM_CLOCK,
) -> AsyncDecorator[AiomysqlConnection]: ...
def transactional(
    source: Any,
    *,
    isolation: Isolation | None = None,
    read_only: bool = False,
    consistent_snapshot: bool = False,
    propagation: Propagation = Propagation.REQUIRED,
    retries: int = 8,
    deadline_s: float = 30.0,
    clock: Clock = _SYSTEM_CLOCK,
) -> Any:
    """Run the decorated function in a transaction: begin, call, COMMIT; roll back if it raises.

    `source` is a DSN, an Engine or AsyncEngine, an aiomysql pool, or a function without parameters that gives
    a connection's context manager (`lambda: pymysql.connect(…)`). Plain functions need blocking connections,
    async functions asyncio ones. `isolation` None leaves the server's default; `consistent_snapshot` takes
    the snapshot at the beginning, from the proxy one of all shards.

    The outermost function is run again after a conflict (1213, 1205) and after a connection or shard was lost
    before COMMIT: `retries` more times at most, until `deadline_s` after the call. So it must have no effects
    but on the database, and should let database errors pass. A lost COMMIT raises OutcomeUndetermined, and is
    not retried.
    """
    if not isinstance(source, str) and not callable(_factory_of(source)):
        raise TypeError(
            "@transactional needs a source: a DSN, an Engine, a pool, a function that opens connections"
        )
    options = Options(isolation, read_only, consistent_snapshot, propagation, retries, deadline_s)

    def decorate(function: Any) -> Any:
        check_function(function)
        asynchronous = inspect.iscoroutinefunction(function)
        opener = _opener(source, asynchronous)
        wrap = _wrap_async if asynchronous else _wrap_sync
        return wrap(function, SourceKey(asynchronous, source), opener, options, clock)

    return decorate


def check_function(function: Any) -> None:
    """Refuse what cannot be repeated as a whole or cannot be told apart. Raises TypeError."""
    name = getattr(function, "__qualname__", repr(function))
    if isinstance(function, staticmethod | classmethod):
        raise TypeError(f"put @transactional below @{type(function).__name__}, next to {name}'s def")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{name} is a generator: its rows would get out before its transaction's outcome is known"
        )
    if not (inspect.isfunction(function) or isinstance(function, functools.partial)):
        raise TypeError(f"@transactional decorates functions; {name} is a {type(function).__name__}")


def _factory_of(source: Any) -> Any:
    return getattr(source, "connect", None) or getattr(source, "acquire", None) or source


@functools.cache
def _pymysql_pool(dsn: str) -> PymysqlPool:
    """One pool for all functions that name the same DSN."""
    return PymysqlPool(parse_dsn(dsn))


def _opener(source: Any, asynchronous: bool) -> Opener:
    if isinstance(source, str):
        return aiomysql_opener(parse_dsn(source)) if asynchronous else _pymysql_pool(source)
    factory: Opener = _factory_of(source)
    if not asynchronous and (hasattr(source, "sync_engine") or inspect.iscoroutinefunction(factory)):
        raise TypeError("a plain function cannot use asyncio connections: make it `async def`")
    return factory


class _Injection:
    """Where the connection goes in the arguments of one function."""

    def __init__(self, function: Any) -> None:
        names = list(inspect.signature(function).parameters)
        self._wanted = _PARAMETER in names
        self._index = names.index(_PARAMETER) if self._wanted else 0
        parameters = inspect.signature(function).parameters
        self._by_keyword = self._wanted and (
            parameters[_PARAMETER].kind is inspect.Parameter.KEYWORD_ONLY
            or parameters[_PARAMETER].default is not inspect.Parameter.empty
        )

    def given(self, kwargs: dict[str, Any]) -> Any:
        return kwargs.pop(_PARAMETER, None) if self._wanted else None

    def inject(
        self, connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not self._wanted:
            return args, kwargs
        if self._by_keyword or self._index > len(args):
            return args, {**kwargs, _PARAMETER: connection}
        return (*args[: self._index], connection, *args[self._index :]), kwargs


def _request(key: SourceKey, options: Options, clock: Clock, function: Any, given: Any) -> Request:
    name = getattr(function, "__qualname__", "the function")
    return Request(key, options, clock, name, in_transaction, given)


def _wrap_sync(function: Any, key: SourceKey, opener: Opener, options: Options, clock: Clock) -> Any:
    injection = _Injection(function)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        given = injection.given(kwargs)

        def call(connection: Any) -> Any:
            call_args, call_kwargs = injection.inject(connection, args, kwargs)
            value = function(*call_args, **call_kwargs)
            if inspect.isawaitable(value) or inspect.isgenerator(value):
                raise TypeError(
                    f"the {type(value).__name__} would run after its transaction: use `async def`"
                )
            return value

        steps = lifecycle(_request(key, options, clock, function, given))
        return run(steps, opener if given is None else lambda: GivenManager(given), call, clock)

    return wrapper


def _wrap_async(function: Any, key: SourceKey, opener: Opener, options: Options, clock: Clock) -> Any:
    injection = _Injection(function)

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        given = injection.given(kwargs)

        def call(connection: Any) -> Awaitable[Any]:
            call_args, call_kwargs = injection.inject(connection, args, kwargs)
            awaitable: Awaitable[Any] = function(*call_args, **call_kwargs)
            return awaitable

        steps = lifecycle(_request(key, options, clock, function, given))
        interpreter = AsyncInterpreter(opener if given is None else lambda: GivenManager(given), call, clock)
        return await interpreter.run(steps)

    return wrapper

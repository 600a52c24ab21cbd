"""SET NAMES, SET CHARACTER SET and the variables behind them.

The names are checked here; that a collation exists is for a shard to say. Source: MySQL manual, "Connection Character
Sets and Collations".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from proxy.errors import NotSupported
from proxy.session.charsets import Charset, charset_named, charset_of_collation, check_collation
from proxy.session.errors import WrongValueForVariable
from proxy.session.shard_questions import Shards
from proxy.session.state import ClientCharset, SessionState, UserValue
from proxy.sql.plan import SetNames

CHARSET_VARIABLES = frozenset(
    ("character_set_client", "character_set_results", "character_set_connection", "collation_connection")
)

Assignment = Callable[[SessionState], None]

DEFAULT_CHARSET = "utf8mb4"


async def set_names(item: SetNames, state: SessionState, shards: Shards) -> Assignment:
    charset = charset_named(item.character_set or DEFAULT_CHARSET)
    if item.client_only:
        answer = await shards.ask(("SELECT @@character_set_database, @@collation_database",))
        name, collation = (_text(value) for value in answer[0].rows[0])
        return _assign(ClientCharset(charset, charset, charset_named(name), collation))
    if item.collation is not None:
        check_collation(item.collation, charset)
        await _require_collation(item.collation, state, shards)
    return _assign(ClientCharset(charset, charset, charset, item.collation))


async def set_charset_variable(
    name: str, value: UserValue, state: SessionState, shards: Shards, *, default: bool = False
) -> Assignment:
    """`default`: SET name = DEFAULT, which is utf8mb4 here."""
    now = state.charset
    if name == "collation_connection":
        if default:
            return _assign(replace(now, connection=charset_named(DEFAULT_CHARSET), collation=None))
        if value is None:
            raise WrongValueForVariable(name, value)
        charset = charset_of_collation(_text(value))
        await _require_collation(_text(value), state, shards)
        return _assign(replace(now, connection=charset, collation=_text(value)))
    if name == "character_set_results" and value is None and not default:
        return _assign(replace(now, results=None))
    if value is None and not default:
        raise WrongValueForVariable(name, value)
    charset = charset_named(DEFAULT_CHARSET if default else _text(value))
    return _assign(_with(now, name, charset))


def _with(now: ClientCharset, name: str, charset: Charset) -> ClientCharset:
    if name == "character_set_client":
        return replace(now, client=charset)
    if name == "character_set_results":
        return replace(now, results=charset)
    return replace(now, connection=charset, collation=None)


async def _require_collation(collation: str, state: SessionState, shards: Shards) -> None:
    """Raises the shard's own 1273 when no such collation exists there."""
    if not collation.replace("_", "").isalnum():
        raise NotSupported(f"the collation name {collation!r}")
    if collation != state.charset.collation:
        await shards.evaluate(f"_{collation.split('_', 1)[0]}'' COLLATE {collation}")


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _assign(charset: ClientCharset) -> Assignment:
    return lambda state: setattr(state, "charset", charset)

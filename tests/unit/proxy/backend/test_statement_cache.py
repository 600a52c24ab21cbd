"""Which prepared statements a connection keeps."""

from __future__ import annotations

from proxy.backend.profile import SessionProfile
from proxy.backend.statement_cache import CachedStatement, StatementCache

SHOP, BANK = SessionProfile(database="shop"), SessionProfile(database="bank")


def test_the_least_recently_used_goes_first() -> None:
    cache = StatementCache(limit=2)
    cache.put(b"a", SHOP, CachedStatement(1, 0))
    cache.put(b"b", SHOP, CachedStatement(2, 0))
    assert cache.get(b"a", SHOP) is not None
    assert cache.make_room() == [2]
    cache.put(b"c", SHOP, CachedStatement(3, 0))
    assert cache.get(b"b", SHOP) is None
    assert len(cache) == 2


def test_a_statement_belongs_to_the_profile_it_was_prepared_under() -> None:
    cache = StatementCache()
    cache.put(b"a", SHOP, CachedStatement(1, 0))
    assert cache.get(b"a", BANK) is None
    assert cache.get(b"a", SessionProfile(database="shop")) is not None


def test_there_is_room_until_the_limit() -> None:
    cache = StatementCache(limit=2)
    cache.put(b"a", None, CachedStatement(1, 0))
    assert cache.make_room() == []


def test_discard_and_clear_name_the_ids_to_close() -> None:
    cache = StatementCache()
    cache.put(b"a", None, CachedStatement(1, 0))
    cache.put(b"b", None, CachedStatement(2, 0))
    assert cache.discard(b"a", None) == 1
    assert cache.discard(b"a", None) is None
    assert cache.clear() == [2]
    assert len(cache) == 0

from __future__ import annotations

import pytest

from proxy.ddl.intents import Intent, IntentKind, Target
from proxy.ddl.recovery import _RECOVERY
from tso.types import ShardName


@pytest.mark.parametrize("kind", IntentKind)
def test_an_intent_is_read_back_as_it_was_written(kind: IntentKind) -> None:
    tables = (Target("shop", "a'b", None), Target("shop", "é", ShardName("s1")))
    intent = Intent(kind, tables, index="i", database="shop")
    assert Intent.from_json(intent.to_json()) == intent


def test_every_intent_can_be_recovered_from() -> None:
    assert set(_RECOVERY) == set(IntentKind)

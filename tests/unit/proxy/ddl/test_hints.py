from __future__ import annotations

import pytest

from proxy.ddl.errors import BadHint
from proxy.ddl.hints import Hint, first_given, read_comment, read_pairs
from proxy.routing.tables import TableKind


@pytest.mark.parametrize(
    ("comment", "hint"),
    [
        ("", Hint()),
        ("customers of txguard: all of them", Hint()),
        ("txguard: shard_key=customer_id", Hint(shard_key="customer_id")),
        ("txguard: shard_key = `Customer_ID` ", Hint(shard_key="Customer_ID")),
        ("  TxGuard:reference", Hint(TableKind.REFERENCE)),
        ("txguard: reference; currencies", Hint(TableKind.REFERENCE)),
        ("txguard: kind=single, home=shard1", Hint(TableKind.SINGLE, home="shard1")),
        ("txguard: single home=shard1", Hint(TableKind.SINGLE, home="shard1")),
        ("txguard: sharded, shard_key=x", Hint(TableKind.SHARDED, shard_key="x")),
        ("txguard: reference, retention=7d", Hint(TableKind.REFERENCE, retention_s=604_800)),
        ("txguard: retention = 90m; audited", Hint(retention_s=5_400)),
        ("txguard:", Hint()),
    ],
)
def test_comments(comment: str, hint: Hint) -> None:
    assert read_comment(comment) == hint


@pytest.mark.parametrize(
    "comment",
    [
        "txguard: shardkey=x",
        "txguard: refrence",
        "txguard: kind=replicated",
        "txguard: shard_key=",
        "txguard: reference, shard_key=x",
        "txguard: home=shard1",
        "txguard: sharded, home=shard1",
        "txguard: retention=long",
        "txguard: retention=0d",
        "txguard: retention=999999w",
    ],
)
def test_a_hint_that_means_nothing_is_an_error_not_a_comment(comment: str) -> None:
    with pytest.raises(BadHint, match="txguard hint"):
        read_comment(comment)


def test_the_first_that_says_something_counts() -> None:
    reference = read_pairs([("kind", "reference")])
    assert first_given([Hint(), reference, Hint(TableKind.SINGLE)]) == reference
    assert first_given([Hint(), Hint()]) == Hint()


def test_the_retention_comes_from_the_first_that_names_one() -> None:
    given = [Hint(TableKind.REFERENCE), Hint(TableKind.SINGLE, retention_s=60), Hint(retention_s=1)]
    assert first_given(given) == Hint(TableKind.REFERENCE, retention_s=60)
    assert first_given([Hint(retention_s=1), Hint(TableKind.SINGLE)]) == Hint(TableKind.SINGLE, retention_s=1)

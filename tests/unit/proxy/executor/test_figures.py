"""The OK packet of a statement that ran on several shards."""

from __future__ import annotations

from proxy.executor.figures import Figures, insert_info, summed

UPDATE = b"Rows matched: 2  Changed: 1  Warnings: 1"


def test_counts_and_their_words_add_up() -> None:
    total = summed([Figures(1, 0, 1, UPDATE), Figures(3, 0, 0, b"Rows matched: 3  Changed: 3  Warnings: 0")])
    assert total == Figures(4, 0, 1, b"Rows matched: 5  Changed: 4  Warnings: 1")


def test_the_first_generated_id_is_the_answer() -> None:
    assert summed([Figures(1, 9), Figures(1, 7)], last_insert_id=7).last_insert_id == 7
    assert summed([Figures(1, 0), Figures(1, 7)]).last_insert_id == 7


def test_one_shard_s_words_stay_as_they_are() -> None:
    assert summed([Figures(1, 0, 0, b"whatever")]).info == b"whatever"


def test_a_split_insert_counts_all_its_rows() -> None:
    parts = [Figures(2, 0, 0, b"Records: 2  Duplicates: 1  Warnings: 0"), Figures(1)]
    assert insert_info(3, parts) == b"Records: 3  Duplicates: 1  Warnings: 0"
    assert insert_info(1, [Figures(1)]) == b""

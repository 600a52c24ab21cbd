"""The playground's folder: one holder at a time, and nothing deleted that is not a playground's."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.playground.folder import Contents, Folder, PlaygroundRefused


def test_one_playground_at_a_time(tmp_path: Path) -> None:
    first, second = Folder(tmp_path / "pg"), Folder(tmp_path / "pg")
    first.lock()
    with pytest.raises(PlaygroundRefused, match="is running in"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_contents_are_read_as_written(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.read() is None
    contents = Contents("mariadb", "10.11.6", (20001, 20002))
    folder.write(contents)
    assert folder.read() == contents


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "mysql"}'])
def test_a_damaged_record_is_refused_with_the_remedy(tmp_path: Path, text: str) -> None:
    (tmp_path / "playground.json").write_text(text)
    with pytest.raises(PlaygroundRefused, match="--fresh"):
        Folder(tmp_path).read()


def test_clear_removes_only_a_playgrounds_own(tmp_path: Path) -> None:
    (tmp_path / "s1" / "data").mkdir(parents=True)
    (tmp_path / "s2" / "photos").mkdir(parents=True)
    (tmp_path / "letters.txt").write_text("dear")
    folder = Folder(tmp_path)
    folder.config.write_text("")
    folder.write(Contents("mariadb", "10.11.6", ()))
    folder.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["letters.txt", "s2"]
    assert folder.read() is None


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PlaygroundRefused, match="--dir"):
        Folder(tmp_path / "file" / "pg").lock()

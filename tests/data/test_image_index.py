"""Listing a folder of images: hostile folders, and a memory that may be damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from beeline.data import image_files, image_index
from beeline.data.image_files import UnusableError
from beeline.data.image_index import cache_folder, index_folder, list_images
from tests.data.images import folder_of, pixels, save


def test_names_are_listed_whatever_they_are(tmp_path: Path) -> None:
    names = ["a b/ü ö.png", "ß/deep/er/x.JPG", "line\nbreak.png", "plain.webp"]
    for name in names:
        save(tmp_path / name)
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / ".thumbs").mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "README").write_text("")
    index = index_folder(tmp_path)
    assert set(index.names) == set(names)
    assert index.ignored == {"hidden": 2, ".txt": 1, "without ending": 1}
    assert not index.problems


def test_a_name_that_is_no_text_is_listed_and_read(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    save(tmp_path / "a.png")
    os.replace(tmp_path / "a.png", path)
    for _ in range(2):
        index = index_folder(tmp_path)
        assert [os.fsencode(name) for name in index.names] == [b"caf\xe9.png"]
        assert len(index.headers) == 1
    assert image_index.shown(index.names[0]) == "caf\\udce9.png"


def test_links_lead_in_and_never_round(tmp_path: Path) -> None:
    folder_of(tmp_path / "data", {"cat": 2, "dog": 1})
    folder_of(tmp_path / "elsewhere", {"": 3})
    (tmp_path / "data" / "bird").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "cat" / "again").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "a").symlink_to(tmp_path / "data" / "dog")
    (tmp_path / "data" / "cat" / "broken.png").symlink_to(tmp_path / "nothing.png")
    listing = list_images(tmp_path / "data")
    assert [name.split("/")[0] for name in listing.stamps] == ["bird"] * 3 + ["cat"] * 2 + ["dog"]
    assert sorted(listing.loops) == ["a", "cat/again"]
    assert listing.problems == {"cat/broken.png": "cannot be looked at (No such file or directory)"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    folder_of(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "a" / "0000.png").chmod(0)
    (tmp_path / "b").chmod(0)
    try:
        index = index_folder(tmp_path)
        assert index.problems["a/0000.png"] == "may not be read"
        assert "cannot be entered" in index.problems["b"]
        (tmp_path / "a" / "0000.png").chmod(0o600)
        assert "a/0000.png" in index_folder(tmp_path).names, "not remembered as bad once it may be read"
    finally:
        (tmp_path / "b").chmod(0o700)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path, {"a": 1, "b": 1})
    scan = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    index = index_folder(tmp_path)
    assert index.problems == {"b": "cannot be entered (Permission denied)"}
    assert index.names == ("a/0000.png",)


class Looks:
    """Counts looks at headers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        look = image_files.look

        def counted(path: Path, whole: bool = False) -> object:
            self.names.append(path.name)
            return look(path, whole)

        monkeypatch.setattr(image_index, "look", counted)

    def taken(self) -> list[str]:
        """Names since the last time."""
        names, self.names = self.names, []
        return names


def test_headers_are_looked_at_once_and_again_when_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(tmp_path, {"": 5})
    (tmp_path / "bad.png").write_text("text")
    looks = Looks(monkeypatch)
    first = index_folder(tmp_path)
    assert len(looks.taken()) == 6
    again = index_folder(tmp_path)
    assert looks.taken() == []
    assert again == first
    assert again.problems == {"bad.png": "is no image, whatever its name says"}
    save(tmp_path / "0003.png", pixels(3, 4))
    save(tmp_path / "bad.png", pixels(3, 4))
    changed = index_folder(tmp_path)
    assert sorted(looks.taken()) == ["0003.png", "bad.png"]
    assert changed.headers["0003.png"].height == 3
    assert not changed.problems


def test_a_kill_loses_little_and_damage_loses_nothing_but_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path, {"": 10})
    monkeypatch.setattr(image_index, "_A_PART", 4)
    looks = Looks(monkeypatch)
    look = image_files.look
    calls = iter(range(100))

    def killed(path: Path, whole: bool = False) -> object:
        if next(calls) == 9:
            raise KeyboardInterrupt
        return look(path, whole)

    with monkeypatch.context() as patch:
        patch.setattr(image_index, "look", killed)
        with pytest.raises(KeyboardInterrupt):
            index_folder(tmp_path)
    looks.taken()
    whole = index_folder(tmp_path)
    assert len(looks.taken()) == 2, "two parts of four were written before the kill"
    parts = sorted(cache_folder(tmp_path).glob("headers-*.json"))
    assert len(parts) == 3
    for damage in (b"", b"{", b"[1, 2]", b'{"format": 1, "files": {"0001.png": [1, 2, null]}}'):
        for part in cache_folder(tmp_path).glob("headers-*.json"):
            part.write_bytes(damage)
        assert index_folder(tmp_path) == whole
        assert len(looks.taken()) == 10
        assert index_folder(tmp_path) == whole
        assert looks.taken() == []


def test_what_may_pass_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path, {"": 1})

    def refuse(path: Path, whole: bool = False) -> object:
        raise UnusableError("may not be read", lasting=False)

    with monkeypatch.context() as patch:
        patch.setattr(image_index, "look", refuse)
        assert index_folder(tmp_path).problems == {"0000.png": "may not be read"}
    assert index_folder(tmp_path).names == ("0000.png",)


def test_many_parts_become_one_and_old_files_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_index, "_A_PART", 2)
    monkeypatch.setattr(image_index, "_MOST_PARTS", 3)
    folder_of(tmp_path, {"": 12})
    whole = index_folder(tmp_path)
    assert len(list(cache_folder(tmp_path).glob("headers-*"))) == 1
    looks = Looks(monkeypatch)
    assert index_folder(tmp_path) == whole
    assert looks.taken() == []


def test_a_home_that_cannot_be_written_to_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path / "data", {"": 3})
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(index_folder(tmp_path / "data").names) == 3


def test_of_very_many_files_headers_are_looked_at_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_index, "_MOST_HEADERS", 5)
    folder_of(tmp_path, {"": 12})
    index = index_folder(tmp_path)
    assert len(index.names) == 12
    assert list(index.headers) == ["0000.png", "0003.png", "0006.png", "0009.png"]

"""A failure in the middle of a write leaves what was there before, and no rubbish after cleaning."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from beeline.core import files
from beeline.core.errors import UserError


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights"
    files.write_bytes(path, b"old")

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space") as caught:
        files.write_bytes(path, b"new")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["weights"]


def test_a_failure_to_append_or_to_sync_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system raises there names none."""
    path = tmp_path / "log"
    files.append_bytes(path, b"one\n")
    files.append_bytes(path, b"two\n")
    assert path.read_text() == "one\ntwo\n"

    def fail(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    for synced, named in ((path, path), (tmp_path / "folder", tmp_path)):
        with pytest.raises(OSError, match="Input/output") as caught:
            files.sync_file(synced) if synced.exists() else files.make_folder(synced)
        assert caught.value.filename == str(named)
    with pytest.raises(OSError, match="No space left") as caught:
        files.append_bytes(Path("/dev/full"), b"three\n")
    assert caught.value.filename == "/dev/full"


def test_a_file_system_that_cannot_sync_folders_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    files.sync_folder(tmp_path)
    with pytest.raises(OSError, match="Invalid argument"):
        files.sync_file(Path(__file__))


def test_a_folder_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "checkpoint"

    def fill_and_fail() -> None:
        with files.folder_in_the_making(target) as folder:
            (folder / "a").write_text("half")
            assert not target.exists()
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fill_and_fail()
    assert list(tmp_path.iterdir()) == []
    with files.folder_in_the_making(target) as folder:
        (folder / "a").write_text("whole")
    assert (target / "a").read_text() == "whole"
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint"]


def test_a_folder_is_removed_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "checkpoint"
    target.mkdir()
    for name in ("a", "b"):
        (target / name).write_text("whole")

    def killed_half_way(path: Path, **options: object) -> None:
        for file in list(path.glob("*"))[:1]:
            file.unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed_half_way)
        with pytest.raises(KeyboardInterrupt):
            files.remove_folder(target)
    assert not target.exists()
    files.remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_kill_are_removed_wherever_they_lie(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / ".tmp-step-000004").mkdir(parents=True)
    (tmp_path / "checkpoints" / ".tmp-step-000004" / "weights").write_text("half")
    (tmp_path / ".tmp-model.json").write_text("half")
    (tmp_path / "model.json").write_text("whole")
    files.remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["checkpoints", "model.json"]


def test_no_two_are_given_the_same_name(tmp_path: Path) -> None:
    assert [files.claim(tmp_path / "samples", "drawn").name for _ in range(3)] == [
        "drawn-001",
        "drawn-002",
        "drawn-003",
    ]
    assert [files.claim(tmp_path, "score", ".json").name for _ in range(2)] == ["score-001.json", "score-002.json"]


def test_places_that_cannot_be_written_to_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    files.check_writable(tmp_path / "file")
    files.check_writable(tmp_path / "a" / "b" / "c")
    with pytest.raises(UserError, match="file is no folder to write to"):
        files.check_writable(tmp_path / "file" / "below")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_json_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.json: not readable as JSON"):
        files.read_json(path)

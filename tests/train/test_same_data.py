"""A run goes on with the very data that it began with, however they are named, and with no others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.images import folder_of
from tests.train.helpers import command, finish, train_command

LITTLE: dict[str, Any] = {"train__steps": 2, "train__batch_size": 4}


def test_a_folder_is_the_same_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path / "photos", {"": 6})
    (tmp_path / "m.csv").write_text("file,label\n" + "".join(f"000{n}.png,{n % 2}\n" for n in range(6)))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "run"
    words = train_command(out, "--resume", "--data.path=photos", "--data.labels=m.csv", recipe="folder", **LITTLE)
    done = finish(words)
    assert done.returncode == 0, done.stderr
    before = (out / "config.yaml").read_bytes()
    again = finish(words)
    assert again.returncode == 0, again.stderr
    monkeypatch.chdir(tmp_path / "elsewhere")
    for named in ([], ["folder"], ["../photos"], ["folder", "--data.path=../photos", "--data.labels=../m.csv"]):
        done = finish(command("train", *named, "--out", str(out), "--resume"))
        assert done.returncode == 0, done.stderr
    assert (out / "config.yaml").read_bytes() == before
    done = finish(command("train", "folder", "--data.path=photos", "--out", str(out), "--resume"))
    assert done.returncode == 2
    assert f"data.path is {tmp_path}/photos in this run and cannot become photos" in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: (data / "train" / "a" / "0001.png").unlink(), "has 7 examples, and had 8 when the run began"),
        (lambda data: (data / "train" / "a" / "0001.png").rename(data / "train" / "a" / "x.png"), "names other ex"),
        (lambda data: (data / "train" / "a" / "0001.png").rename(data / "train" / "b" / "x.png"), "names other ex"),
    ],
)
def test_a_folder_that_has_changed_is_refused(tmp_path: Path, change: Callable[[Path], None], message: str) -> None:
    """As many files are not yet the same data."""
    data, out = tmp_path / "data", tmp_path / "run"
    folder_of(data, {"train/a": 4, "train/b": 4, "test/a": 2, "test/b": 2})
    done = finish(train_command(out, recipe=str(data), **LITTLE))
    assert done.returncode == 0, done.stderr
    change(data)
    done = finish(command("train", "--out", str(out), "--resume", "--train.steps=9"))
    assert done.returncode == 2
    assert message in done.stderr


def test_other_labels_of_the_same_files_are_other_data(tmp_path: Path) -> None:
    data, out, table = tmp_path / "data", tmp_path / "run", tmp_path / "m.csv"
    folder_of(data, {"": 6})
    table.write_text("file,label\n" + "".join(f"000{n}.png,{n % 2}\n" for n in range(6)))
    done = finish(train_command(out, f"--data.labels={table}", recipe=str(data), **LITTLE))
    assert done.returncode == 0, done.stderr
    table.write_text("file,label\n" + "".join(f"000{n}.png,{1 - n % 2}\n" for n in range(6)))
    done = finish(command("train", "--out", str(out), "--resume", "--train.steps=9"))
    assert done.returncode == 2
    assert "or other classes of them" in done.stderr


def test_a_finished_run_needs_its_data_no_more(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    folder_of(data, {"a": 4, "b": 4})
    words = train_command(out, "--resume", f"--data.path={data}", recipe="folder", **LITTLE)
    first = finish(words)
    assert first.returncode == 0, first.stderr
    shutil.rmtree(data)
    done = finish(command("train", "--out", str(out), "--resume"))
    assert done.returncode == 0, done.stderr
    assert "this run is finished" in done.stderr
    assert "report.html" in done.stdout
    longer = finish(command("train", "--out", str(out), "--resume", "--train.steps=9"))
    assert longer.returncode == 2
    assert "no such folder or file" in longer.stderr

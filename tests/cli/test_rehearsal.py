"""``beeline train FOLDER`` and ``--dry-run``: what is said, and that nothing is written or chosen twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from beeline.cli.recipes import find_recipe
from beeline.core.errors import UserError
from beeline.train import choose
from tests.conftest import FAST
from tests.train.helpers import command, finish, flags, train_command
from tests.train.test_choose import OPEN, PATCHES

LITTLE = {"train.threads": 1, "train.score_samples": 0, "sample.steps": 2, "sample.sampler": "euler"}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A modality with something to settle, and a recipe that leaves everything open."""
    (tmp_path / "patches.py").write_text(PATCHES)
    path = tmp_path / "open.yaml"
    sections: dict[str, dict[str, object]] = {"model": {}, "train": {}}
    for name, value in OPEN.items():
        section, _, key = name.partition(".")
        sections[section][key] = None if value == "null" else value
    path.write_text(yaml.safe_dump({"modality": "patches.py", **sections}))
    return path


def test_a_folder_and_a_file_of_arrays_are_recipes_that_leave_everything_open(tmp_path: Path) -> None:
    folder = tmp_path / "meine Bilder.v2 äöü"
    folder.mkdir()
    found = find_recipe(folder)
    assert (found.target, found.name) == (str(folder), "meine Bilder")
    assert found.values["modality"] == "images"
    assert found.values["data"] == {"path": str(folder)}
    assert found.values["model"]["preset"] == found.values["train"]["duration"] == "auto"
    for name in ("a.npz", "b.npy", "train-images-idx3-ubyte.gz", "t10k-images.idx3-ubyte", "c.idx"):
        (tmp_path / name).write_bytes(b"")
        assert find_recipe(tmp_path / name).values["data"]["path"] == str(tmp_path / name)


def test_what_is_no_data_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "digits").mkdir()
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text("")
    for target, message in (
        ("notes.txt", "notes.txt: is no recipe"),
        ("nothing/", "nothing/: no such folder or file"),
        ("./nothing", "./nothing: no such folder or file"),
        ("run", "run: is a run, not data; go on with --out run --resume"),
    ):
        with pytest.raises(UserError, match=message):
            find_recipe(target)
    assert find_recipe("digits").values["modality"] == "images"
    assert "path" not in find_recipe("digits").values.get("data", {}), "a recipe's name wins"
    assert find_recipe("./digits").values["data"] == {"path": str(tmp_path / "digits")}


def test_a_dry_run_says_everything_and_writes_nothing(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recipe.parent)
    before = sorted(recipe.parent.rglob("*"))
    words = ["--train.budget=1s", "--train.batch_size=4", "--dry-run"]
    done = finish(command("train", str(recipe), *words))
    assert (done.returncode, done.stderr) == (0, "")
    assert [path for path in sorted(recipe.parent.rglob("*")) if "__pycache__" not in str(path)] == before
    lines = done.stdout.splitlines()
    for beginning in (
        "data: 40 training examples, 4 held out; 16x16; conditions: none",
        "data.patch 2: for ",
        "model.preset            DiT-Nano",
        "train.batch_size        4",
        "train.learning_rate     0.004",
        "train.duration ",
        "model: ",
        "training: ",
        "a step: ",
        "time: 0:01 of training; samples, scores and report come after",
        "memory:",
        "  weights ",
        "  gradients ",
        "  optimiser ",
        "  averages ",
        "  data ",
        "  activations ",
        "  in all ",
        "disk: ",
        "no run was begun",
    ):
        assert any(line.startswith(beginning) for line in lines), (beginning, done.stdout)
    assert next(line for line in lines if line.startswith("train.batch_size")).endswith("as asked")


def test_a_dry_run_says_where_options_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = finish(command("train", "waves", *flags({"train.threads": 1, "train.batch_size": 2}), "--dry-run"))
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert lines["train.batch_size"].endswith("as asked")
    assert lines["train.learning_rate"].endswith("as in the recipe")
    assert lines["train.warmup_steps"].endswith("the default")
    assert list(tmp_path.iterdir()) == []


def test_what_was_chosen_is_stored_and_not_chosen_again(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    monkeypatch.setattr(choose, "step_seconds", lambda trainer: 0.25)
    words = command("train", str(recipe), "--out", str(out), "--train.budget=3s", *flags(LITTLE))
    done = finish(words)
    assert done.returncode == 0, done.stderr
    stored = yaml.safe_load((out / "config.yaml").read_text())
    assert stored["model"]["preset"] == "DiT-Nano"
    assert stored["data"]["patch"] == 2
    train = stored["train"]
    assert (train["duration"], train["batch_size"], train["learning_rate"]) == ("12 steps", 32, 0.004)
    assert None not in (train["warmup_steps"], train["checkpoint_every"])

    def refuse(*arguments: object) -> float:
        raise AssertionError("chosen again")

    monkeypatch.setattr(choose, "step_seconds", refuse)
    again = finish([*words, "--resume"])
    assert (again.returncode, again.stdout) == (0, done.stdout), again.stderr
    assert yaml.safe_load((out / "config.yaml").read_text()) == stored
    longer = finish(command("train", "--out", str(out), "--resume", "--train.steps=14"))
    assert longer.returncode == 0, longer.stderr
    other = finish([*words, "--resume", "--train.learning_rate=0.1"])
    assert "train.learning_rate is 0.004 in this run and cannot become 0.1" in other.stderr


def test_options_that_may_be_open_still_refuse_what_is_wrong() -> None:
    for option, message in (
        ("--train.batch_size=0", "train.batch_size 0: must be at least 1"),
        ("--train.learning_rate=-1", "train.learning_rate -1.0: must be above 0"),
        ("--train.warmup_steps=-1", "train.warmup_steps -1: must not be negative"),
        ("--train.checkpoint_every=0", "train.checkpoint_every 0: must be at least 1"),
        ("--train.duration=automatic", "duration 'automatic' is not a number with a unit"),
        ("--model.preset=autos", "unknown model.preset 'autos'"),
    ):
        done = finish(command("train", "digits", "--dry-run", *flags(FAST | {"train.batch_size": None}), option))
        assert done.returncode == 2
        assert message in done.stderr


def test_a_dry_run_is_no_matter_of_what_lies_there(small_run: Path) -> None:
    """Beside a finished run too, with other options; nothing of it is touched."""
    before = {path: path.stat().st_mtime_ns for path in small_run.rglob("*")}
    done = finish(train_command(small_run, "--dry-run", train__steps=3, train__batch_size=8))
    assert done.returncode == 0, done.stderr
    assert "3 steps of 8" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in small_run.rglob("*")} == before

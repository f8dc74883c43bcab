"""The run folder as people and programs find it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from beeline.core.config import flatten
from beeline.core.errors import UserError
from beeline.generate.load import load
from beeline.train.folder import RunFolder
from beeline.train.loop import restore_latest
from tests.train.helpers import command, finish, make_trainer


def test_a_run_folder_holds_what_it_promises(small_run: Path) -> None:
    names = {path.name for path in small_run.iterdir()}
    assert {
        "config.yaml",
        "checkpoints",
        "model.safetensors",
        "model.json",
        "log.jsonl",
        "samples",
        "report.html",
    } <= names
    assert [path.name for path in sorted((small_run / "checkpoints").iterdir())] == ["step-000008", "step-000010"]
    assert len(list((small_run / "samples").glob("*.png"))) == 10


def test_e03_conventions_are_stored_with_every_model_and_its_config(small_run: Path) -> None:
    """E3: five time conventions are in use; ours is written beside the weights and checked when they are opened."""
    stored = json.loads((small_run / "model.json").read_text())["conventions"]
    assert stored["time"].startswith("t = 0 is data, t = 1 is noise")
    assert (stored["path"], stored["prediction"], stored["time_input"]) == ("linear", "velocity", "1000 t")
    assert stored["guidance"] == "u + cfg_scale (c - u); 1 is off"
    config = yaml.safe_load((small_run / "config.yaml").read_text())
    assert (config["process"]["path"], config["objective"]["prediction"]) == ("linear", "velocity")


@pytest.mark.parametrize(
    ("name", "value"), [("time_input", "1 - t"), ("prediction", "noise"), ("interval", [0.1, 1.0])]
)
def test_e03_a_model_of_another_convention_is_refused(
    small_run: Path, tmp_path: Path, name: str, value: object
) -> None:
    """E3: weights read under a wrong convention would sample nonsense without an error."""
    description = json.loads((small_run / "model.json").read_text())
    description["conventions"][name] = value
    (tmp_path / "model.json").write_text(json.dumps(description))
    (tmp_path / "model.safetensors").write_bytes((small_run / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match=f"trained with {name} ="):
        load(tmp_path)


def test_e13_epochs_are_derived_from_steps_batch_and_examples_and_written(small_run: Path) -> None:
    """E13: epochs = steps x batch / examples, in every line of the log."""
    lines = [json.loads(line) for line in (small_run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10]
    for line in lines:
        assert line["samples"] == line["step"] * 16
        assert line["epoch"] == pytest.approx(line["samples"] / 1437)
        assert len(line["loss_by_time"]) == 10
        assert {"loss", "gradient_norm", "learning_rate", "ema_decay", "samples_per_second"} <= line.keys()


def test_the_config_is_complete_and_leaves_nothing_to_the_machine(small_run: Path) -> None:
    config = yaml.safe_load((small_run / "config.yaml").read_text())
    text = (small_run / "config.yaml").read_text()
    assert "auto" not in {config["train"]["precision"], config["train"]["device"]}
    assert config["train"]["threads"] == 1
    assert config["train"]["duration"] == "10 steps"
    assert config["origin"]["target"] == "digits"
    sections = [line for line in text.splitlines() if line.endswith(":")]
    assert len(text.splitlines()) <= len(flatten(config)) + len(sections) + 2, "an option takes a line, a list too"


def test_the_first_checkpoints_rotate_away_and_the_last_is_loaded(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create({"a": 1})
    folder.describe({"b": 2})
    trainer = make_trainer()
    for step in (1, 2, 3, 4):
        trainer.train_step()
        folder.save_checkpoint(step, trainer.tensors(), keep=2)
    assert folder.steps() == [3, 4]
    fresh = make_trainer()
    restore_latest(fresh, folder)
    assert fresh.step == 4


def test_a_run_is_not_begun_over_another(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create({"train": {}})
    (folder.path / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="holds a run already"):
        folder.create({"train": {}})
    assert (folder.path / "letter.txt").read_text() == "dear"


def test_a_folder_that_is_no_run_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="exists and is no run"):
        RunFolder(tmp_path).create({})
    with pytest.raises(UserError, match="exists and is no run"):
        RunFolder(tmp_path / "file").create({})


def test_what_beginning_a_run_leaves_behind_does_not_keep_it_from_beginning(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.lock():
        pass
    (folder.path / ".tmp-config.yaml").write_text("half")
    with pytest.raises(UserError, match="has saved no model yet"):
        load(folder.path)
    with folder.lock():
        folder.create({"a": 1})
    assert sorted(path.name for path in folder.path.iterdir()) == [".lock", "config.yaml"]


def test_a_folder_that_cannot_be_locked_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(handle: int, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.lockf", unable)
    with pytest.raises(UserError, match=r"\.lock: cannot be locked \(No locks available\)"), RunFolder(tmp_path).lock():
        pass


def test_checkpoints_that_a_kill_left_over_go_when_the_run_goes_on(small_run: Path, tmp_path: Path) -> None:
    """Killed between the last checkpoint's rename and the rotation."""
    out = tmp_path / "run"
    shutil.copytree(small_run, out)
    shutil.copytree(out / "checkpoints" / "step-000008", out / "checkpoints" / "step-000004")
    (out / "report.html").unlink()
    assert finish(command("train", "--out", str(out), "--resume")).returncode == 0
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["step-000008", "step-000010"]

"""Whatever stops a run, resuming gives what an undisturbed run would have given, bit for bit."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from beeline.train import choose
from tests.conftest import lines_of
from tests.train.helpers import command, fingerprint, finish, train_command

STEPS = 24


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    done = finish(train_command(out, train__steps=STEPS))
    assert done.returncode == 0, done.stderr
    return out


def wait_for_line(run: Path, line: int, process: subprocess.Popen[str]) -> None:
    """Until the log has that many lines."""
    log = run / "log.jsonl"
    for _ in range(3000):
        if process.poll() is not None or (log.exists() and log.read_bytes().count(b"\n") >= line):
            return
        time.sleep(0.01)
    raise AssertionError("the run does not begin")


def start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def assert_log_is_whole(run: Path) -> None:
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(2, STEPS + 1, 2))


_WAITING = """
import sys, time
from pathlib import Path
from beeline.cli.main import main
from beeline.train.trainer import Trainer

go, step, end = Path(sys.argv.pop(1)), Trainer.train_step, time.monotonic() + 300

def train_step(trainer):
    while trainer.step == 10 and not go.exists() and time.monotonic() < end:
        time.sleep(0.05)
    step(trainer)

Trainer.train_step = train_step
main()
"""


@pytest.mark.parametrize("name", ["SIGINT", pytest.param("SIGTERM", marks=pytest.mark.slow)])
def test_signals_save_and_leave_cleanly_and_until_then_no_other_process_trains(
    name: str, undisturbed: Path, tmp_path: Path
) -> None:
    """A process that waits before its eleventh step, so that it costs nothing and the signal comes in time."""
    out, go = tmp_path / "run", tmp_path / "go"
    words = train_command(out, train__steps=STEPS, train__checkpoint_every=1000)
    process = start([sys.executable, "-c", _WAITING, str(go), *words[3:]])
    wait_for_line(out, 5, process)
    second = finish(train_command(out, "--resume", train__steps=STEPS))
    process.send_signal(getattr(signal, name))
    go.touch()
    output, errors = process.communicate(timeout=60)
    assert second.returncode == 2
    assert "another process is training this run" in second.stderr
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert "go on with --resume" in output
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["step-000011"]
    assert (out / "model.safetensors").is_file(), "an interrupted run can be sampled"
    done = finish(train_command(out, "--resume", train__steps=STEPS))
    assert done.returncode == 0, done.stderr
    assert fingerprint(out) == fingerprint(undisturbed)
    assert_log_is_whole(out)


def test_a_run_without_a_checkpoint_starts_from_the_beginning(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    shutil.rmtree(out / "checkpoints")
    for path in (out / "model.safetensors", out / "report.html"):
        path.unlink()
    with open(out / "log.jsonl", "a") as log:
        log.write(f'{{"step": {STEPS + 2}, "lo')  # cut short by a kill
    done = finish(train_command(out, "--resume", train__steps=STEPS))
    assert done.returncode == 0, done.stderr
    assert fingerprint(out) == fingerprint(undisturbed)
    assert_log_is_whole(out)


def test_a_kill_between_checkpoint_and_model_is_mended(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    (out / "model.safetensors").unlink()
    done = finish(train_command(out, "--resume", train__steps=STEPS))
    assert done.returncode == 0, done.stderr
    assert fingerprint(out) == fingerprint(undisturbed)


def test_a_finished_run_prints_its_paths_and_changes_nothing(undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*") if path.is_file()}
    done = finish(command("train", "digits", "--out", str(undisturbed), "--resume"))
    assert done.returncode == 0, done.stderr
    assert f"{undisturbed}/model.safetensors" in done.stdout
    assert f"{undisturbed}/report.html" in done.stdout
    changed = [path for path, when in before.items() if path.stat().st_mtime_ns != when]
    assert changed == []


def test_a_longer_duration_continues_where_the_run_ended(tmp_path: Path, undisturbed: Path) -> None:
    """With a constant learning rate, half of the steps and then the other half are all of them."""
    constant: dict[str, Any] = {"train__decay_share": 0.0, "train__held_out_every": STEPS // 2}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert finish(train_command(whole, train__steps=STEPS, **constant)).returncode == 0
    assert finish(train_command(parts, train__steps=STEPS // 2, **constant)).returncode == 0
    done = finish(command("train", "--out", str(parts), "--resume", "--train.steps", str(STEPS)))
    assert done.returncode == 0, done.stderr
    assert fingerprint(parts) == fingerprint(whole)
    assert yaml.safe_load((parts / "config.yaml").read_text())["train"]["duration"] == f"{STEPS} steps"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--train.learning_rate", "0.5"], "resume: train.learning_rate is 0.004 in this run and cannot become 0.5"),
        (["--train.seed", "3"], "resume: train.seed is 0 in this run and cannot become 3"),
        (["--train.precision", "auto"], "resume: train.precision is fp32 in this run and cannot become auto"),
        (["--train.threads", "null"], "resume: train.threads is 1 in this run and cannot become None"),
        (["--train.keep_checkpoints", "9"], "resume: train.keep_checkpoints is 2 in this run and cannot become 9"),
        (["--model.depth", "5"], "resume: model.depth is None in this run and cannot become 5"),
        (["--data.held_out", "0.3"], "resume: data.held_out is 0.2 in this run and cannot become 0.3"),
        (["--sample.steps", "9"], "resume: sample.steps is 2 in this run and cannot become 9"),
    ],
)
def test_resuming_with_anything_else_is_refused_by_name(undisturbed: Path, words: list[str], message: str) -> None:
    done = finish(command("train", "digits", "--out", str(undisturbed), "--resume", *words))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(lines_of(done.stderr)) == 1


def test_what_may_change_on_resume_changes(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    words = ["--train.steps", str(STEPS + 4), "--train.checkpoint_every", "2", "--train.log_every", "1"]
    done = finish(command("train", "digits", "--out", str(out), "--resume", *words))
    assert done.returncode == 0, done.stderr
    stored = yaml.safe_load((out / "config.yaml").read_text())["train"]
    assert (stored["duration"], stored["checkpoint_every"], stored["log_every"]) == (f"{STEPS + 4} steps", 2, 1)
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == [
        f"step-{step:06}" for step in (STEPS + 2, STEPS + 4)
    ]


def test_another_recipe_is_refused(undisturbed: Path) -> None:
    done = finish(command("train", "waves", "--out", str(undisturbed), "--resume"))
    assert done.returncode == 2
    assert "this run was trained on modality" in done.stderr


def test_a_changed_recipe_file_is_refused_by_the_key_that_changed(tmp_path: Path) -> None:
    recipe, out = tmp_path / "mine.yaml", tmp_path / "run"
    recipe.write_text("modality: waves\ntrain:\n  learning_rate: 1e-3\n")
    first = finish(train_command(out, recipe=str(recipe), train__steps=4))
    assert first.returncode == 0, first.stderr
    recipe.write_text("modality: waves\n# a comment changes nothing\ntrain:\n  learning_rate: 1e-3\n")
    assert finish(command("train", str(recipe), "--out", str(out), "--resume")).returncode == 0
    recipe.write_text("modality: waves\ntrain:\n  learning_rate: 2e-3\n")
    done = finish(command("train", str(recipe), "--out", str(out), "--resume"))
    assert done.returncode == 2
    assert "train.learning_rate is 0.001 in this run and cannot become 0.002" in done.stderr


@pytest.mark.parametrize(
    "victim",
    ["weights.safetensors", "ema.safetensors", "optimiser.safetensors", "meter.safetensors", "tracks.safetensors"],
)
def test_a_damaged_checkpoint_is_named(undisturbed: Path, tmp_path: Path, victim: str) -> None:
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    path = out / "checkpoints" / f"step-{STEPS:06}" / victim
    path.write_bytes(path.read_bytes()[:-20])
    done = finish(command("train", "digits", "--out", str(out), "--resume", "--train.steps", str(STEPS + 2)))
    assert done.returncode == 2
    assert f"step-{STEPS:06}/{victim}" in done.stderr
    assert f"delete {out}/checkpoints/step-{STEPS:06} to go on from step" in done.stderr
    assert len(lines_of(done.stderr)) == 1 or "Traceback" not in done.stderr


def test_a_longer_run_killed_before_its_report_is_not_finished(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    words = command("train", "--out", str(out), "--resume", "--train.steps", str(STEPS + 2))
    with monkeypatch.context() as patch:
        patch.setattr("beeline.evaluate.figures.gallery", lambda *_: 1 / 0)  # as if killed there
        assert finish(words).returncode == 1
    sha = hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()
    assert sha not in (out / "report.html").read_text()
    assert finish(words[:-2]).returncode == 0
    assert sha in (out / "report.html").read_text()
    assert "is finished" in finish(words[:-2]).stderr


def test_a_damaged_model_of_a_finished_run_is_mended_by_resuming(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    (out / "model.safetensors").write_bytes((undisturbed / "model.safetensors").read_bytes()[:-20])
    assert f"beeline train --out {out} --resume writes it again" in finish(command("sample", str(out))).stderr
    assert finish(command("train", "--out", str(out), "--resume")).returncode == 0
    assert fingerprint(out) == fingerprint(undisturbed)


def test_a_run_cannot_end_before_where_it_is(undisturbed: Path) -> None:
    before = (undisturbed / "config.yaml").read_bytes()
    done = finish(command("train", "--out", str(undisturbed), "--resume", "--train.steps", "2"))
    assert done.returncode == 2
    assert f"has trained for {STEPS} steps already and cannot end at 2" in done.stderr
    assert (undisturbed / "config.yaml").read_bytes() == before


def test_an_edited_config_is_refused_by_the_option_that_changed(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    text = (out / "config.yaml").read_text()
    (out / "config.yaml").write_text(text.replace("batch_size: 16", "batch_size: 8"))
    done = finish(command("train", "--out", str(out), "--resume", "--train.steps", str(STEPS + 2)))
    assert done.returncode == 2
    assert "train.batch_size is 8, but the run was trained with 16" in done.stderr
    (out / "config.yaml").write_text(re.sub(r"\n +clip_norm: .*", "", text))
    done = finish(command("train", "--out", str(out), "--resume", "--train.steps", str(STEPS + 2)))
    assert done.returncode == 2
    assert "train.clip_norm is missing, but the run was trained with 1.0" in done.stderr
    for damage in ("origin: 3\n", "origin: {target: digits, flags: 3, modality_sha256: null}\n"):
        (out / "config.yaml").write_text(text[: text.index("origin:")] + damage)
        done = finish(command("train", "--out", str(out), "--resume"))
        assert done.returncode == 2
        assert "config.yaml: damaged" in done.stderr


def test_the_same_command_can_be_given_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a time nor the machine's choice is settled a second time, at a speed that is another by then."""
    speeds = itertools.count(10)
    monkeypatch.setattr(choose, "step_seconds", lambda trainer: 1 / next(speeds))
    words = train_command(tmp_path / "run", "--resume", "--device", "auto", train__budget="1s")
    words = [word for word in words if not word.startswith("--train.steps")]
    assert finish(words).returncode == 0
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    done = finish(words)
    assert done.returncode == 0
    assert "is finished" in done.stderr
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before
    longer = [word.replace("budget=1s", "budget=2s") for word in words]
    assert finish(longer).returncode == 0
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    assert "is finished" in finish(longer).stderr
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before


def test_a_signal_after_training_leaves_a_model_and_resuming_writes_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    words = train_command(tmp_path / "run", train__steps=2)
    with monkeypatch.context() as patch:
        patch.setattr("beeline.evaluate.figures.gallery", interrupted)
        done = finish(words)
    assert done.returncode == 0
    assert "stopped after training" in done.stdout
    assert not (tmp_path / "run" / "report.html").exists()
    assert finish([*words, "--resume"]).returncode == 0
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize("damage", ["3", "{}", '{"step": 4, "lo', "\x00"])
def test_a_damaged_line_within_the_log_is_named(undisturbed: Path, tmp_path: Path, damage: str) -> None:
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    lines = (out / "log.jsonl").read_text().splitlines()
    (out / "log.jsonl").write_text("\n".join([lines[0], damage, *lines[2:]]) + "\n")
    done = finish(command("train", "--out", str(out), "--resume", "--train.steps", str(STEPS + 2)))
    assert done.returncode == 2
    assert "log.jsonl: line 2 is damaged; mend or delete it" in done.stderr


def test_an_existing_run_is_never_overwritten_unasked(undisturbed: Path, tmp_path: Path) -> None:
    done = finish(train_command(undisturbed, train__steps=4))
    assert done.returncode == 2
    assert "holds a run already; go on with --resume, or choose another --out" in done.stderr
    other = tmp_path / "letters"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    done = finish(train_command(other, train__steps=4))
    assert done.returncode == 2
    assert "exists and is no run" in done.stderr
    assert os.listdir(other) == ["letter.txt"]

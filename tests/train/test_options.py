"""Options that make training comfortable: what each one does to the weights, and what it leaves alone."""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import beeline
from beeline.cli.console import Display
from beeline.cli.recipes import find_recipe
from beeline.cli.resolve import resolve, resolve_stored
from beeline.cli.train import train
from beeline.core.data import Batch
from beeline.core.errors import RunError, UserError
from beeline.core.protocols import Objective, Predictor
from beeline.core.random import Key
from beeline.generate.load import read_step
from beeline.model.format import read_tensors
from beeline.train import loop
from beeline.train.board import board
from beeline.train.config import PRESETS, TrainConfig
from beeline.train.folder import RunFolder
from beeline.train.loop import lowest_held_out_loss
from beeline.train.schedule import learning_rate
from beeline.train.trainer import Trainer
from tests.conftest import FAST
from tests.train.helpers import fingerprint, finish, make_trainer, train_command


class Poisoned:
    """An objective that gives NaN for one sample number."""

    def __init__(self, original: Objective, number: int) -> None:
        self.original, self.number = original, number
        self.prediction, self.outputs, self.times = original.prediction, original.outputs, original.times
        self.learned = original.learned

    def __call__(self, predictor: Predictor, batch: Batch, key: Key) -> torch.Tensor:
        loss = self.original(predictor, batch, key)
        return loss * torch.where(key.numbers == self.number, math.nan, 1.0)


def state(trainer: Trainer) -> dict[str, torch.Tensor]:
    groups = trainer.tensors().items()
    return {f"{group}/{name}": tensor.clone() for group, tensors in groups for name, tensor in tensors.items()}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize("bad", [1, 3])
def test_a_skipped_nan_step_is_the_step_left_out(bad: int, accumulation: int) -> None:
    """Weights, optimiser, averages and the log are those of a run told to leave that step out."""
    common: dict[str, Any] = {"train__accumulation": accumulation, "train__device": "cpu"}
    skipping = make_trainer(train__on_nan="skip", **common)
    told = make_trainer(train__skip_steps=f"[{bad}]", **common)
    skipping.objective = Poisoned(skipping.objective, 16 * (bad - 1) + 7)
    for step in range(5):
        before = state(skipping)
        skipping.train_step()
        told.train_step()
        after = state(skipping)
        moved = {name.partition("/")[0] for name, tensor in before.items() if not torch.equal(tensor, after[name])}
        assert moved == ({"meter"} if step + 1 == bad else {"weights", "ema", "tracks", "optimiser", "meter"})
    assert skipping.step == told.step == 5
    assert_same(state(skipping), state(told))
    one, other = skipping.take_measurements(), told.take_measurements()
    assert one == other
    assert one["skipped"] == 1
    assert math.isfinite(one["loss"])


def test_without_being_asked_a_nan_step_stops_the_run() -> None:
    trainer = make_trainer(train__device="cpu")
    trainer.objective = Poisoned(trainer.objective, 16 + 7)
    trainer.train_step()
    with pytest.raises(RunError, match=r"^step 2: the gradient is not finite.*--train\.on_nan skip"):
        trainer.train_step()


def test_a_run_of_nothing_but_nan_ends() -> None:
    """However often the log is written; a step that was to be left out is no such step."""
    trainer = make_trainer(train__on_nan="skip", train__skip_steps="[2,3]", train__accumulation=2)
    objective = trainer.objective
    for _ in range(11):
        trainer.objective = Poisoned(objective, 16 * trainer.step)
        trainer.train_step()
        trainer.take_measurements()
    trainer.objective = Poisoned(objective, 16 * trainer.step)
    with pytest.raises(RunError, match="step 12: the last 10 steps were all skipped"):
        trainer.train_step()
    told = make_trainer(train__on_nan="skip", train__skip_steps=str(list(range(1, 13))))
    for _ in range(12):
        told.train_step()
    assert told.take_measurements()["skipped"] == 12


def test_a_run_with_skipped_steps_is_resumed_to_the_same_end(tmp_path: Path) -> None:
    options = {**FAST, "train.skip_steps": "[1,2,6]", "train.schedule": "constant"}
    whole = train("digits", tmp_path / "whole", options={**options, "train.steps": 8})
    parts = train("digits", tmp_path / "parts", options={**options, "train.steps": 4})
    train(None, parts, resume=True, options={"train.steps": 8})
    one, other = fingerprint(whole), fingerprint(parts)
    last = [print_.pop("log") for print_ in (one, other)]
    assert [line.get("skipped") for line in last[0]] == [2, None, 1, None]
    assert [line["loss"] is None for line in last[0]] == [True, False, False, False]
    assert last[0] == last[1]
    assert {**one, "model.json": None} == {**other, "model.json": None}
    with pytest.raises(UserError, match=r"skip_steps is .* and cannot become"):
        train("digits", parts, resume=True, options={"train.skip_steps": "[3]"})


@pytest.mark.parametrize("recipe", ["digits", "waves"])
def test_activations_computed_again_are_the_same_numbers(recipe: str) -> None:
    keeping, again = (
        make_trainer(recipe, train__activation_checkpointing=each, train__device="cpu") for each in (False, True)
    )
    sizes = []
    for trainer in (keeping, again):
        kept: set[tuple[int, int]] = set()

        def note(tensor: torch.Tensor, kept: set[tuple[int, int]] = kept) -> torch.Tensor:
            kept.add((tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()))
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            loss = trainer.objective(trainer.network, trainer.feed.batch(0, 16), Key.range(0, 0, 16))
        sizes.append(sum(size for _, size in kept))
        loss.sum().backward()
        trainer._optimiser.zero_grad()
        for _ in range(3):
            trainer.train_step()
    assert_same(state(keeping), state(again))
    assert sizes[1] < 0.7 * sizes[0]


def test_e14_the_presets_are_what_they_say() -> None:
    paper = resolve(find_recipe("digits"), ["--train.preset=paper"]).config
    assert (paper.train.learning_rate, paper.train.betas, paper.train.weight_decay) == (1e-4, (0.9, 0.999), 0.0)
    assert (paper.train.schedule, paper.train.warmup_steps, paper.train.clip_norm) == ("constant", 0, 0.0)
    assert (paper.train.ema_decay, paper.train.ema_warmup, paper.train.precision) == (0.9999, False, "fp32")
    assert paper.train.batch_size == 256
    assert not paper.model.qk_norm
    stable = resolve(find_recipe("digits"), ["--train.preset=stable"]).config
    assert (stable.train.precision, stable.train.clip_norm, stable.model.qk_norm) == ("bf16", 1.0, True)
    assert (stable.train.warmup_steps or 0) > 0
    assert PRESETS["none"] == {}


def test_a_preset_yields_to_options_beside_it_and_wins_over_a_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("modality: images\ntrain: {learning_rate: 0.004, clip_norm: 3, decay_share: 0.2}\n")
    asked = ["--train.preset=paper", "--train.clip_norm=0.5"]
    both = resolve(find_recipe(recipe), asked).config.train
    assert (both.learning_rate, both.clip_norm, both.schedule, both.preset) == (1e-4, 0.5, "constant", "paper")
    recipe.write_text("modality: images\ntrain: {preset: paper, learning_rate: 0.004}\n")
    inside = resolve(find_recipe(recipe), []).config.train
    assert (inside.learning_rate, inside.ema_decay) == (0.004, 0.9999)
    with pytest.raises(UserError, match=r"unknown train\.preset 'papper'; did you mean 'paper'"):
        resolve(find_recipe("digits"), ["--train.preset=papper"])


def test_a_run_from_a_preset_goes_on_with_what_won_over_it(tmp_path: Path) -> None:
    options: dict[str, Any] = {**FAST, "train.preset": "paper", "train.learning_rate": 3e-4, "train.steps": 2}
    out = train("digits", tmp_path / "run", options=options)
    again = finish(train_command(out, "--resume", **{**options, "train.steps": 4}))
    assert again.returncode == 0, again.stderr
    config = RunFolder(out).read_config()["train"]
    assert (config["learning_rate"], config["preset"]) == (3e-4, "paper")
    train("digits", out, resume=True, options={"train.preset": "paper", "train.steps": 5})
    assert RunFolder(out).read_config()["train"]["learning_rate"] == 3e-4
    other = finish([*train_command(out, "--resume"), "--train.preset=stable"])
    assert other.returncode == 2
    assert "train.preset is paper in this run and cannot become stable" in other.stderr


def test_schedules_follow_their_formulas() -> None:
    config = TrainConfig(learning_rate=2.0, warmup_steps=9, schedule="cosine", decay_to=0.1)
    rates = [learning_rate(config, step, 109) for step in range(109)]
    assert rates[:10] == pytest.approx([2.0 * (n + 1) / 10 for n in range(10)])
    for step in (9, 34, 59, 84):
        assert rates[step] == pytest.approx(2.0 * (0.1 + 0.9 * (1 + math.cos(math.pi * (step - 9) / 100)) / 2))
    flat = replace(config, schedule="constant", decay_to=TrainConfig.decay_to)
    assert {learning_rate(flat, step, 109) for step in range(9, 109)} == {2.0}
    for schedule, name in (("constant", "decay_share"), ("constant", "decay_to"), ("cosine", "decay_share")):
        with pytest.raises(UserError, match=f"{name} belongs to schedule"):
            TrainConfig(schedule=schedule, **{name: 0.5})  # type: ignore[arg-type]


def test_the_best_model_is_that_of_the_lowest_held_out_loss(tmp_path: Path) -> None:
    options = {
        **FAST,
        "train.steps": 12,
        "train.held_out_every": 2,
        "train.checkpoint_every": 2,
        "train.keep_checkpoints": 99,
    }
    run = train("digits", tmp_path / "run", options={**options, "train.learning_rate": 0.05})
    log = [line for line in RunFolder(run).read_log() if "held_out_loss" in line]
    best = min(log, key=lambda line: float(line["held_out_loss"]))["step"]
    model = beeline.load(run / "best")
    assert model.origin["step"] == best
    kept = beeline.load(run / "checkpoints" / f"step-{best:06}")
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(tensor, kept.network.state_dict()[name]), name


def test_a_loss_that_is_higher_leaves_the_best_model_alone(tmp_path: Path) -> None:
    """Also after a stop: what was lowest is read from the log."""

    class Planned:
        every = 2

        def __call__(self, step: int, predictor: object) -> dict[str, float]:
            return {"held_out_loss": {2: 3.0, 4: 1.0, 6: 2.0, 8: 0.5, 10: 0.7}[step]}

    folder, trainer = RunFolder(tmp_path / "run"), make_trainer(train__steps=6)
    folder.create({})
    folder.describe({})
    steps = []
    for end in (6, 10):
        trainer.steps = end
        loop.run(trainer, folder, Display("silent"), [Planned()])
        steps.append(read_step(folder.best / "model.safetensors"))
    assert steps == [4, 8]


def test_tensorboard_gets_the_numbers_of_the_log_once(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = {**FAST, "train.tensorboard": True}
    run = train("digits", tmp_path / "run", options={**options, "train.steps": 4})
    with board(RunFolder(run), True, 4) as draw:
        draw({"step": 6, "loss": 77.0})
    train(None, run, resume=True, options={"train.steps": 8})
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    log = RunFolder(run).read_log()
    shown = [(event.step, event.value) for event in events.Scalars("loss")]
    assert shown == [(line["step"], pytest.approx(line["loss"])) for line in log]
    assert "held_out_loss" in events.Tags()["scalars"]


def test_tensorboard_hides_what_a_killed_run_had_beyond_though_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = RunFolder(tmp_path)
    with board(folder, True, 0) as draw:
        for step in (2, 4, 6):
            draw({"step": step, "loss": 77.0})
    monkeypatch.setattr("beeline.train.board.time.time", lambda: 1.6e9)
    for begin, left in ((2, [(2, 77.0), (4, 2.0)]), (2, [(2, 77.0), (4, 2.0)]), (0, [(4, 0.0)])):
        with board(folder, True, begin) as draw:
            draw({"step": 4, "loss": float(begin)})
        events = EventAccumulator(str(folder.board)).Reload()
        assert [(event.step, event.value) for event in events.Scalars("loss")] == left


def test_a_failure_never_loses_the_best_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At no moment is there no best model once there is one; the folder opens whatever fails."""
    folder = RunFolder(tmp_path)
    folder.description.write_text("{}")
    folder.save_best({"w": torch.zeros(1)}, 2)
    real, real_rename = os.replace, os.rename
    for number in range(4):
        left = [number]

        def failing(function: Any, left: list[int], *paths: Any) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(5, "Input/output error", str(paths[0]))
            function(*paths)

        monkeypatch.setattr("beeline.core.files.os.replace", partial(failing, real, left))
        monkeypatch.setattr("beeline.core.files.os.rename", partial(failing, real_rename, left))
        with contextlib.suppress(OSError):
            folder.save_best({"w": torch.ones(1)}, 4)
        assert read_tensors(folder.best / "model.safetensors")["w"].item() in (0.0, 1.0)
        assert (folder.best / "model.json").read_text() == "{}"
    assert read_tensors(folder.best / "model.safetensors")["w"].item() == 1.0


def test_a_loss_that_is_no_number_does_not_hide_later_ones(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for step, loss in ((2, math.nan), (4, 0.5), (6, 0.7)):
        folder.append_log({"step": step, "samples": 1, "samples_per_second": 1.0, "held_out_loss": loss})
    assert lowest_held_out_loss(folder) == 0.5


def test_tensorboard_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beeline.train.board.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "beeline\[log\]"'), board(RunFolder(tmp_path), True, 0):
        pass
    with board(RunFolder(tmp_path), None, 0) as draw:
        draw({"step": 1, "loss": 1.0})
    assert not (tmp_path / "tensorboard").exists()


def test_a_run_of_before_an_option_goes_on_as_it_began(small_run: Path) -> None:
    stored = RunFolder(small_run).read_config()
    assert stored["train"].pop("matmul") in ("exact", "fast")
    assert resolve_stored(stored, None, []).config.train.matmul == "exact", "of a time when nothing else was"


def test_a_checkpoint_that_does_not_fit_is_refused_before_the_run_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = train("digits", tmp_path / "run", options={**FAST, "train.steps": 2})
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def refuse(self: Trainer, step: int, tensors: object) -> None:
        raise UserError(f"checkpoint of step {step}: tensor embedders.label.null is missing")

    monkeypatch.setattr(Trainer, "restore", refuse)
    with pytest.raises(UserError, match=r"label\.null is missing"):
        train("digits", out, resume=True, options={"train.steps": 5})
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert {path for path in before if after.get(path) != before[path]} == set()

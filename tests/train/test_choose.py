"""What a run leaves open: the rules, on a machine of known speed, and that what was asked for wins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beeline.backbone.config import PRESETS, ModelConfig, Sizes, resolve_sizes
from beeline.cli.recipes import find_recipe
from beeline.cli.resolve import resolve
from beeline.core.choices import Choice, table
from beeline.core.errors import UserError
from beeline.model.cost import expected_flops, expected_parameters, network_cost
from beeline.train import choose, memory
from beeline.train.choose import Chosen, affordable_tokens, memorisation
from beeline.train.config import TrainConfig, chosen
from beeline.train.machine import settle
from beeline.train.setup import Prepared, prepare
from beeline.train.timing import product_rate
from beeline.train.trainer import Trainer
from tests.train.helpers import flags, make_trainer

OPEN = {
    "model.preset": "auto",
    "train.duration": "auto",
    "train.batch_size": "null",
    "train.learning_rate": "null",
    "train.warmup_steps": "null",
    "train.checkpoint_every": "null",
    "train.threads": 1,
    "train.precision": "fp32",
}

PATCHES = '''
from dataclasses import dataclass, replace

import numpy as np

from beeline import Example, GridTokenizer, Standardise, curves


@dataclass(frozen=True)
class Patches:
    """Noise in squares of 16.

    Args:
        count: examples.
        patch: cells along each side of a token; chosen when null.
    """

    count: int = 40
    patch: int | None = None

    def settle(self, tokens):
        if self.patch is not None:
            return self, []
        patch = next(patch for patch in (1, 2, 4) if (16 // patch) ** 2 <= tokens)
        return replace(self, patch=patch), [f"data.patch {patch}: for {tokens} tokens"]

    def dataset(self, split):
        random = np.random.default_rng(len(split))
        return [Example(random.normal(size=(16, 16, 1))) for _ in range(self.count if split == "train" else 4)]

    def normaliser(self):
        return Standardise()

    def tokenizer(self):
        return GridTokenizer((self.patch, self.patch))

    def conditions(self):
        return []

    def metrics(self):
        return []

    def preview(self, samples):
        return curves([sample.array[0, :, 0] for sample in samples])


MODALITY = Patches
'''


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A machine of so many floating-point operations a second, and a hundredth of a second before every step."""

    def make(rate: float) -> None:
        def seconds(trainer: Trainer) -> float:
            flops = network_cost(trainer.network, trainer.feed.codec).flops
            return 0.01 + choose.PASSES * trainer.batch_size * flops / rate

        monkeypatch.setattr(choose, "product_rate", lambda device, precision: rate)
        monkeypatch.setattr(choose, "step_seconds", seconds)

    return make


def prepared(recipe: str = "digits", **options: Any) -> Prepared:
    given = {name.replace("__", "."): value for name, value in options.items()}
    resolved = resolve(find_recipe(recipe), flags({**OPEN, **given}))
    settings, _ = settle(resolved.config.train)
    return prepare(dataclasses.replace(resolved.config, train=settings), resolved.source)


def preset_and_batch(run: Prepared) -> tuple[str, int]:
    return run.config.model.preset, run.trainer.batch_size


def reasons(choice: Chosen) -> dict[str, Choice]:
    return {each.name: each for each in choice.choices}


@pytest.mark.parametrize("name", ["DiT-Micro", "DiT-Tiny", "DiT-S"])
def test_what_a_preset_costs_is_known_without_building_it(name: str) -> None:
    trainer = make_trainer("digits", model__preset=name)
    cost = network_cost(trainer.network, trainer.feed.codec)
    assert expected_flops(PRESETS[name], cost.tokens) == pytest.approx(cost.flops, rel=0.05)
    assert expected_parameters(PRESETS[name]) == pytest.approx(cost.parameters, rel=0.1)


def test_more_time_or_a_faster_machine_never_chooses_less(machine: Callable[[float], None]) -> None:
    order = ["DiT-Nano", "DiT-Micro", "DiT-Tiny"]
    for rate in (1e9, 3e10, 3e11):
        machine(rate)
        found = [prepared(train__duration=time).config.model.preset for time in ("5s", "60s", "10m")]
        ranks = [order.index(name) for name in found]
        assert ranks == sorted(ranks)
    assert found == ["DiT-Nano", "DiT-Micro", "DiT-Tiny"]
    machine(1e9)
    assert prepared(train__duration="60s").config.model.preset == "DiT-Nano"


def test_a_network_sees_a_sample_for_every_twenty_parameters(machine: Callable[[float], None]) -> None:
    machine(3e11)
    run = prepared(train__duration="60s")
    assert run.config.model.preset == "DiT-Micro"
    assert run.trainer.steps * run.trainer.batch_size >= expected_parameters(PRESETS["DiT-Micro"]) / 20
    why = reasons(run.choice)["model.preset"].why
    assert "DiT-Tiny should see 199,066" in why


def test_few_examples_choose_small_networks_and_batches(machine: Callable[[float], None], tmp_path: Path) -> None:
    machine(1e14)
    (tmp_path / "patches.py").write_text(PATCHES)
    few = prepared(str(tmp_path / "patches.py"), data__count=12)
    assert preset_and_batch(few) == ("DiT-Nano", 8)
    assert few.trainer.steps == 1500, "1,000 epochs"
    assert reasons(few.choice)["train.batch_size"].why == "there are 12 examples"
    many = prepared(str(tmp_path / "patches.py"), data__count=2000)
    assert preset_and_batch(many) == ("DiT-Tiny", 256)
    assert memorisation(12, 12 * 500) is None
    assert "each of the 12 examples will be seen 501 times" in (memorisation(12, 12 * 501) or "")


def test_the_batch_grows_only_while_many_steps_are_left(machine: Callable[[float], None]) -> None:
    machine(1e15)
    for time, batch in (("30s", 64), ("3m", 256)):
        run = prepared(model__preset="DiT-Micro", train__duration=time)
        assert run.trainer.batch_size == batch
        assert batch == 64 or run.trainer.steps >= 10_000
    assert prepared(train__duration="3m", train__accumulation=3).trainer.batch_size % 3 == 0


def test_a_time_is_the_time_of_its_steps(machine: Callable[[float], None]) -> None:
    machine(1e11)
    run = prepared(train__duration="3m")
    assert run.choice.seconds is not None
    assert run.trainer.steps == int(180 / run.choice.seconds)
    assert run.config.train.duration == f"{run.trainer.steps} steps"
    assert reasons(run.choice)["train.duration"].why.startswith("3:00 of training at ")
    asked = prepared(train__duration="20 epochs")
    assert asked.trainer.steps == -(-20 * 1437 // asked.trainer.batch_size)
    assert "train.duration" not in reasons(asked.choice)


@pytest.mark.parametrize(("width", "rate"), [(64, 0.004), (128, 0.004), (256, 0.002), (384, 0.0013)])
def test_the_learning_rate_falls_with_the_width(width: int, rate: float, machine: Callable[[float], None]) -> None:
    machine(1e11)
    run = prepared(model__preset="DiT-Nano", model__hidden_size=width, train__duration="1000 steps")
    assert run.config.train.learning_rate == rate
    assert run.config.train.warmup_steps == 30


def test_what_was_asked_for_is_left_alone(machine: Callable[[float], None]) -> None:
    machine(1e11)
    own: dict[str, Any] = {
        "model__preset": "DiT-Nano/4",
        "train__duration": "1m",
        "train__batch_size": 24,
        "train__learning_rate": 0.5,
        "train__warmup_steps": 0,
        "train__checkpoint_every": 77,
    }
    run = prepared(**own)
    train = run.config.train
    assert (run.config.model.preset, run.config.data["patch"]) == ("DiT-Nano/4", 4)
    assert (train.batch_size, train.learning_rate, train.warmup_steps, train.checkpoint_every) == (24, 0.5, 0, 77)
    assert set(reasons(run.choice)) == {"train.duration"}
    assert prepared(model__preset="auto/4", train__duration="5s").config.model.preset == "DiT-Nano/4"
    closed = prepared(**own | {"train__duration": "7 steps"})
    assert (closed.choice.choices, closed.choice.seconds, closed.trainer.steps) == ((), None, 7)


def test_a_batch_that_does_not_fit_is_made_smaller(
    machine: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(1e11)
    whole = prepared(model__preset="DiT-Nano", train__duration="1m")
    plan = whole.choice.plan
    held = sum(plan.parts.values()) - plan.parts["gradients"]
    monkeypatch.setattr(memory, "available_memory", lambda device: int(0.9 * plan.need) - held)
    run = prepared(model__preset="DiT-Nano", train__duration="1m")
    assert run.choice.plan.fits
    assert run.trainer.batch_size < whole.trainer.batch_size == 64
    assert reasons(run.choice)["train.batch_size"].why == "what fits into memory"


def test_data_are_settled_for_the_tokens_that_there_is_time_for(
    machine: Callable[[float], None], tmp_path: Path
) -> None:
    (tmp_path / "patches.py").write_text(PATCHES)
    for rate, patch in ((1e9, 2), (1e15, 1)):
        machine(rate)
        run = prepared(str(tmp_path / "patches.py"), train__duration="3m")
        assert run.config.data["patch"] == patch
        assert run.description["modality"]["options"] == {"count": 40, "patch": patch}
        assert any(line.startswith(f"data.patch {patch}: ") for line in run.reasons)
    asked = prepared(str(tmp_path / "patches.py"), train__duration="3m", data__patch=4)
    assert asked.config.data["patch"] == 4


def test_tokens_lie_between_64_and_256_and_grow_with_time(machine: Callable[[float], None]) -> None:
    machine(4e11)
    train = TrainConfig(device="cpu", precision="fp32")
    found = [affordable_tokens(dataclasses.replace(train, duration=time)) for time in ("1m", "10m", "20m", "5h")]
    assert found == sorted(found)
    assert (found[0], found[-1]) == (64, 256)
    assert affordable_tokens(dataclasses.replace(train, duration="auto")) == found[1]


def test_a_settled_modality_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(PATCHES.replace("return self, []", "return self").replace("return replace", "#"))
    with pytest.raises(UserError, match=r"settle.. gives a NoneType, not the settled modality"):
        prepared(str(tmp_path / "wrong.py"))


def test_this_machine_multiplies() -> None:
    assert product_rate("cpu", "fp32") > 1e8


def test_open_options_are_refused_where_they_are_used() -> None:
    with pytest.raises(ValueError, match=r"train.batch_size is still open"):
        chosen("batch_size", None)
    with pytest.raises(UserError, match=r"unknown model.preset 'auto'"):
        resolve_sizes(ModelConfig(preset="auto"))
    assert isinstance(resolve_sizes(ModelConfig(preset="DiT-S")), Sizes)


def test_choices_are_printed_in_columns() -> None:
    lines = table([Choice("a", "long value", "one"), Choice("a.longer", "1", "two"), Choice("b", "2", "")])
    assert lines == ["a         long value  one", "a.longer  1           two", "b         2"]
    assert table([]) == []

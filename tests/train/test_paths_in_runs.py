"""Paths and sources with tensors or ends of their own, from training to samples: nothing of them is lost on the way."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from beeline.cli.inspect import inspect
from beeline.cli.recipes import find_recipe
from beeline.cli.rehearsal import describe
from beeline.cli.resolve import resolve
from beeline.cli.train import train
from beeline.core.errors import InputWarning, UserError
from beeline.core.random import Key
from beeline.generate.load import load
from beeline.process.sources import Population
from beeline.train.machine import settle
from beeline.train.setup import Prepared, prepare
from beeline.train.trainer import Trainer
from tests.conftest import FAST
from tests.train.helpers import flags

TEXT = """
from dataclasses import dataclass
import numpy as np
from beeline.conditioning.map import AlignedMap
from beeline.conditioning.vector import Vector
from beeline.core.data import Example
from beeline.data.normalisers import Standardise
from beeline.data.pictures import image_grid, scalar_image
from beeline.tokenizers.grid import GridTokenizer

@dataclass(frozen=True)
class Small:
    map_channels: int = 1
    dropout: float = 0.0
    missing: bool = False
    members: int = 5
    side: int = 4

    def dataset(self, split):
        random = np.random.default_rng([split == "train"])
        return [self.draw(random, k) for k in range(32 if split == "train" else 8)]

    def draw(self, random, k):
        under = random.normal(size=(4, 4, self.map_channels))
        known = {"law": random.normal(size=1)}
        if not (self.missing and k == 3):
            known["under"] = under
        return Example(under[..., :1] + 0.1 * random.normal(size=(4, 4, 1)), known)

    def population(self):
        return [Example(np.full((self.side, 4, 1), 10.0 + k)) for k in range(self.members)]

    def normaliser(self):
        return Standardise()

    def tokenizer(self):
        return GridTokenizer((2, 2))

    def conditions(self):
        return [AlignedMap("under", self.map_channels, self.dropout), Vector("law", size=1)]

    def metrics(self):
        return []

    def preview(self, samples):
        return image_grid([scalar_image(sample.array[..., 0], -4, 4) for sample in samples])

MODALITY = Small
"""
FLAGS = {**FAST, "train.steps": 4, "train.score_samples": 0, "train.batch_size": 8, "train.held_out_every": 0}
POPULATION = {"process.source": "population"}
BRIDGE = {"process.path": "bridge", "process.end": "under"}
LEARNED = {
    "process.path": "vdm",
    "process.log_snr": "learned",
    "objective.loss": "vlb",
    "objective.prediction": "noise",
}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.py"
    path.write_text(TEXT)
    return path


def prepared_of(target: str | Path, **options: Any) -> Prepared:
    resolved = resolve(find_recipe(str(target)), flags({**FLAGS, **options}))
    settings, _ = settle(resolved.config.train)
    return prepare(dataclasses.replace(resolved.config, train=settings), resolved.source)


def trainer_of(file: Path, **options: Any) -> Trainer:
    return prepared_of(file, **options).trainer


def test_a_bound_of_data_without_levels_is_warned_about(small: Path) -> None:
    warned = [line for line in describe(prepared_of(small, **LEARNED)) if "objective.loss vlb" in line]
    assert warned == [
        "warning: objective.loss vlb: its first term needs data on 256 levels from -1 to 1; these have none, so that "
        "its bits are no bound"
    ]
    assert not [
        line for line in describe(prepared_of("digits", **{"objective.family": "vdm"})) if "objective.loss vlb" in line
    ]


def test_a_learned_path_is_trained_averaged_saved_and_shown(small: Path) -> None:
    run = train(str(small), small.parent / "run", options={**FLAGS, **LEARNED})
    engine = load(run)
    path: Any = engine.process
    assert engine.network.process is engine.process
    assert path.heights.abs().max() > 0, "training moved it"
    facts = inspect(run)
    assert facts["tensors"]["process.heights"] == [30]
    assert facts["conventions"]["time_input"] == "-log SNR"
    arrays = engine.sample(2, {"under": np.zeros((4, 4, 1)), "law": [0.0]})
    assert np.isfinite(np.asarray(arrays)).all()


def test_a_learned_path_resumes_and_its_average_is_another(small: Path) -> None:
    one, other = (trainer_of(small, **LEARNED) for _ in range(2))
    assert one.network.process is not other.network.process
    for _ in range(3):
        one.train_step()
    kept = {group: {name: each.clone() for name, each in named.items()} for group, named in one.tensors().items()}
    assert not torch.equal(kept["weights"]["process.heights"], kept["ema"]["process.heights"])
    other.restore(3, kept)
    for trainer in (one, other):
        trainer.train_step()
    assert torch.equal(one.network.state_dict()["process.heights"], other.network.state_dict()["process.heights"])
    assert torch.equal(one.averaged_weights()["process.heights"], other.averaged_weights()["process.heights"])


def test_a_population_travels_with_the_run(small: Path) -> None:
    run = train(str(small), small.parent / "run", options={**FLAGS, **POPULATION})
    small.write_text(TEXT.replace("10.0 + k", "1 / 0"))
    engine = load(run, modality=str(small))
    source = engine.source
    assert isinstance(source, Population)
    assert engine.network.source is source
    assert source.members.shape == (5, 4, 4)
    assert len(source.members.unique()) == 5, "each member is a constant of its own"
    assert not engine.process.is_gaussian
    assert inspect(run, str(small))["tensors"]["source.members"] == [5, 4, 4]
    arrays = engine.sample(2, {"under": np.zeros((4, 4, 1)), "law": [0.0]})
    assert np.isfinite(np.asarray(arrays)).all()
    with pytest.raises(UserError, match="its members are 4 x 4 numbers each, not 6 x 4"):
        engine.sample(1, {"under": np.zeros((6, 4, 1)), "law": [0.0]})


def test_trials_of_a_run_leave_no_trace_in_its_path(small: Path) -> None:
    trainer = trainer_of(small, **{**LEARNED, "train.steps": None, "train.duration": "3s"})  # found out by a trial
    heights = trainer.network.state_dict()["process.heights"]
    assert not heights.any()
    for _ in range(3):  # the first of which moves the closed gates of the network alone
        trainer.train_step()
    assert heights.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data.members": 0}, "its population holds no example"),
        ({"data.side": 6}, r"population example 0: has form \(6, 4\), the training samples \(4, 4\)"),
        ({"train.packing": "true"}, "train.packing puts several into a row"),
        ({"objective.prediction": "score"}, "means nothing where the source is a population"),
    ],
)
def test_populations_that_cannot_be_are_refused_in_a_line(small: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        trainer_of(small, **POPULATION, **options)


def test_a_modality_without_a_population_is_told_to_offer_one(small: Path) -> None:
    small.write_text(TEXT.replace("def population", "def crowd"))
    with pytest.raises(UserError, match=r"offers none; give it a method population\(\)"):
        trainer_of(small, **POPULATION)


def test_a_bridge_samples_around_its_end(small: Path) -> None:
    run = train(
        str(small),
        small.parent / "run",
        options={**FLAGS, **BRIDGE, "data.dropout": 0.3, "sample.sampler": "euler_maruyama"},
    )
    engine = load(run)
    under = np.arange(16.0).reshape(4, 4, 1)
    with pytest.warns(InputWarning, match="deviations from training maps"):
        arrays = np.asarray(engine.sample(4, {"under": under, "law": [0.0]}))
    assert np.corrcoef(arrays.mean(axis=0).ravel(), under.ravel())[0, 1] > 0.9, "a fresh network says velocity 0"
    with pytest.raises(UserError, match="condition 'under' is missing: the path of every sample ends at it"):
        engine.sample(1, {"law": [0.0]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"process.end": "over"}, "process.end over: these data have no such condition, only under, law"),
        ({"process.end": "law"}, "process.end law: a bridge ends at a map"),
        ({"data.map_channels": 2}, "a token of this map holds 8 numbers, one of the data 4"),
        ({"data.missing": "true", "data.dropout": 0.3}, "train example 3: condition 'under' is missing"),
    ],
)
def test_ends_that_cannot_be_are_refused_before_the_first_step(
    small: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        trainer_of(small, **{**BRIDGE, **options})


def test_a_bridge_is_trained_on_dropped_conditions_too(small: Path) -> None:
    trainer = trainer_of(small, **BRIDGE, **{"data.dropout": 0.9})
    batch = trainer.feed.batch(0, 8)
    assert torch.isfinite(trainer.loss(batch, Key.range(0, 0, 8))).all()

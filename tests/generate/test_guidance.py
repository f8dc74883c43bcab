"""Guidance as the engine sees to it: a scale for every item, and another model to be led away from."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from beeline.cli.train import train
from beeline.conditioning.label import ClassLabel
from beeline.core.errors import UserError
from beeline.data.normalisers import Standardise
from beeline.generate.engine import Engine, Request
from beeline.generate.guidance import check_guidance, each_scale, open_weak
from beeline.generate.load import load
from beeline.process.vp import VariancePreserving
from beeline.samplers.config import SampleConfig
from beeline.tokenizers.grid import GridTokenizer
from tests.conftest import FAST
from tests.generate.test_plan import two_channel_engine
from tests.peers import levels_of

Array = np.ndarray[Any, Any]
SCALES = [1.0, 2.0, 4.0, 1.0, 0.0]


def drawn(engine: Engine, n: int = 5, **options: Any) -> Array:
    samples = engine.sample(n, {"label": [0, 1, 2, 0, 1][:n]}, seed=3, shape=(7,), **options)
    assert isinstance(samples, np.ndarray)
    return samples


@pytest.mark.parametrize("options", [{"sampler": "heun", "steps": 3}, {"sampler": "ddpm", "steps": 4}])
@pytest.mark.parametrize("more", [{}, {"cfg_interval": (0.1, 0.8), "cfg_rescale": 0.6}])
def test_own_scales_are_those_of_separate_runs(options: dict[str, Any], more: dict[str, Any]) -> None:
    """The same draws to the last bit, in one batch or in several."""
    engine = two_channel_engine("v", levels_of())
    begins: list[Tensor] = []
    engine.network.register_forward_pre_hook(lambda _, given: begins.append(given[0].values))

    def start(count: int) -> Tensor:
        first = begins[0][:count]
        begins.clear()
        return first

    mixed = drawn(engine, cfg_scale=SCALES, **options, **more)
    expected = start(5)
    for scale in set(SCALES):
        one = drawn(engine, cfg_scale=scale, **options, **({} if scale == 1 else more))
        assert torch.equal(start(5), expected)
        for item in (item for item, own in enumerate(SCALES) if own == scale):
            np.testing.assert_allclose(mixed[item], one[item], atol=1e-5)
    for batch_size in (1, 2):
        np.testing.assert_allclose(
            drawn(engine, cfg_scale=SCALES, batch_size=batch_size, **options, **more), mixed, atol=1e-5
        )
    other = drawn(engine, cfg_scale=2.0, **options, **more)
    assert ((np.abs(mixed - other).max(axis=(1, 2)) > 1e-3) == (np.array(SCALES) != 2)).all()


def test_passes_and_scales_are_told_by_item() -> None:
    engine = two_channel_engine()
    requests = engine.requests(4, {"label": 1}, (7,), [1.0, 3.0, 1.0, 2.0])
    record = engine.generate(requests, 0, engine.settings(steps=2, cfg_scale=3.0)).provenance
    assert (record["cfg_scale"], record["passes"]) == ([1.0, 3.0, 1.0, 2.0], [4, 8, 4, 8])
    settings = engine.settings(steps=4, sampler="euler", cfg_scale=3.0, cfg_interval=(0.4, 0.6))
    record = engine.generate(engine.requests(2, {"label": 1}, (7,)), 0, settings).provenance
    assert (record["cfg_scale"], record["passes"]) == (3.0, 5)
    record = engine.generate([Request({"label": 1}, (7,), 3.0)] * 2, 0, engine.settings(steps=2)).provenance
    assert (record["cfg_scale"], record["passes"]) == (3.0, 8)


def test_scales_may_come_as_an_array() -> None:
    for several in (np.array([1.0, 2.5]), torch.tensor([1.0, 2.5]), (1, 2.5)):
        assert each_scale(several, 2) == [1.0, 2.5]
    assert each_scale(np.float32(2.5), 2) == each_scale(None, 2) == [None, None]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cfg_scale": [1.0, 2.0]}, "cfg_scale: need one number, or a list of 3, not a list of 2"),
        ({"cfg_scale": [1.0, "2", 3.0]}, "cfg_scale: needs a number, not '2'"),
        ({"cfg_scale": [1.0, float("nan"), 3.0]}, "cfg_scale nan: must be a finite number"),
        ({"cfg_scale": [1.0, 1.0, 1.0], "cfg_rescale": 0.5}, "cfg_rescale: means nothing at cfg_scale 1"),
        ({"cfg_interval": (0.0, 0.5)}, "cfg_interval: means nothing at cfg_scale 1"),
        ({"guide_by": "nowhere"}, "guide_by: means nothing at cfg_scale 1"),
        ({"guide_by": "nowhere", "cfg_scale": 2.0}, "guide_by nowhere: no such run"),
    ],
)
def test_guidance_that_means_nothing_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        drawn(two_channel_engine(), 3, **options)
    assert message in str(caught.value)


def test_led_away_from_itself_a_run_stays_what_it_is_and_from_another_it_moves(small_run: Path, tmp_path: Path) -> None:
    """Another prediction in the same units, over other steps; of a checkpoint and of a run."""
    engine = load(small_run)
    options: dict[str, Any] = {"condition": {"label": 3}, "steps": 3}
    alone = engine.sample(2, **options)
    own = engine.sample(2, cfg_scale=3.0, guide_by=str(small_run / "checkpoints" / "step-000010"), **options)
    assert np.abs(np.asarray(alone).astype(int) - own).max() <= 1
    other = train("digits", tmp_path / "run", options={**FAST, "train.steps": 2, "objective.prediction": "noise"})
    settings = engine.settings(steps=3, cfg_scale=3.0, guide_by=str(other))
    samples = engine.generate(engine.requests(2, {"label": 3}), 0, settings)
    assert np.abs(np.asarray(alone).astype(int) - [each.array for each in samples.examples]).max() > 1
    record = samples.provenance
    assert (record["guide_by"], record["guide_by_step"]) == (str(other), 2)
    assert record["guide_by_sha256"] == load(other).origin["sha256"]
    # Nothing can be read from noise at t = 1, where the walk begins: one pass there, two in every other evaluation.
    assert record["passes"] == 1 + 2 * 5


def test_a_model_of_other_data_or_another_path_is_refused_by_name(small_run: Path) -> None:
    engine = load(small_run)
    codec, network = engine.codec, engine.network
    (label,) = codec.conditions
    elsewhere = copy.deepcopy(network)
    elsewhere.process = VariancePreserving()
    for name, here, there in (
        ("path", codec, elsewhere),
        ("tokenizer", replace(codec, tokenizer=GridTokenizer((4, 4), 1)), network),
        ("normaliser", replace(codec, normaliser=Standardise(mean=(0.5,), deviation=(2.0,))), network),
        ("conditions", replace(codec, conditions=(ClassLabel("label", 11),)), network),
        ("conditions", replace(codec, conditions=(ClassLabel("label", 10, dropout=0.0),)), network),
        ("conditions", replace(codec, conditions=()), network),
    ):
        with pytest.raises(UserError, match=f"guide_by {small_run}: has another {name} than this model"):
            open_weak(str(small_run), here, there)
    rarely = replace(codec, conditions=(replace(label, dropout=0.3),))  # type: ignore[type-var]
    assert open_weak(str(small_run), rarely, network).codec == codec


def test_only_guidance_by_another_model_does_without_a_dropped_condition() -> None:
    codec = replace(two_channel_engine().codec, conditions=(ClassLabel("label", 3, dropout=0.0),))
    check_guidance(SampleConfig(), [1.0, 1.0], codec)
    check_guidance(SampleConfig(cfg_scale=2.0, guide_by="run"), [1.0, 2.0], codec)
    with pytest.raises(UserError, match="cfg_scale 2: guidance needs a condition that was dropped in training"):
        check_guidance(SampleConfig(), [1.0, 2.0], codec)

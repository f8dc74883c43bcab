"""The stages of a walk are those that the solver went through."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from beeline.generate.engine import Engine, Request
from beeline.generate.load import load
from beeline.generate.trajectory import Stage, trajectory


class _AsIs:
    def undo(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return array


@pytest.fixture
def engine(small_run: Path) -> Engine:
    """Shaken, so that the walk is no straight line, and without rounding to pixels."""
    engine = load(small_run)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in engine.network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    object.__setattr__(engine.codec, "normaliser", _AsIs())
    return engine


REQUESTS = [Request({"label": 3}), Request({"label": 4})]


def arrays(examples: Any) -> np.ndarray[Any, Any]:
    return np.stack([example.array for example in examples]).astype(np.float64)


@pytest.mark.parametrize("sampler", ["euler", "heun"])
@pytest.mark.parametrize("cfg_scale", [1.0, 3.0])
def test_stages_are_the_nodes_of_the_walk(engine: Engine, sampler: Literal["euler", "heun"], cfg_scale: float) -> None:
    """On the linear path v = (x_t - E[x0 | x_t]) / t, so each Euler step follows from the stage before it."""
    settings = engine.settings(steps=5, sampler=sampler, cfg_scale=cfg_scale)
    stages = trajectory(engine, REQUESTS, 7, settings, stages=6)
    times = [stage.t for stage in stages]
    assert times == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0])
    drawn = engine.generate(REQUESTS, 7, settings).examples
    assert np.array_equal(arrays(stages[-1].noisy), arrays(drawn)), "looking changes nothing"
    assert arrays(stages[0].noisy).std() == pytest.approx(1, abs=0.15)

    def stepped(stage: Stage, t: float) -> np.ndarray[Any, Any]:
        x, x0 = arrays(stage.noisy), arrays(stage.expected)
        return x + (t - stage.t) * (x - x0) / stage.t

    for stage, following in itertools.pairwise(stages):
        error = np.abs(stepped(stage, following.t) - arrays(following.noisy)).max()
        moved = np.abs(arrays(stage.noisy) - arrays(following.noisy)).max()
        assert error < 1e-5 * moved + 1e-5 if sampler == "euler" else error < moved


def test_stages_are_few_and_evenly_spread(engine: Engine) -> None:
    assert [s.t for s in trajectory(engine, REQUESTS, 0, engine.settings(steps=20, sampler="euler"), 5)] == (
        pytest.approx([1, 0.75, 0.5, 0.25, 0])
    )
    assert len(trajectory(engine, REQUESTS, 0, engine.settings(steps=2), 8)) == 3

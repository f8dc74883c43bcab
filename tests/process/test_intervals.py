"""Where predictions may be read: a network's small error stays small on every path, whatever it predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.build import build_process
from beeline.process.config import ProcessConfig
from beeline.process.path import PREDICTIONS
from beeline.process.sources import Gaussian
from beeline.samplers.heun import Heun
from beeline.samplers.solve import sample

SPREAD, MEAN = 0.5, 0.3
PATHS: list[dict[str, Any]] = [
    {"path": "vp", "schedule": "cosine"},
    {"path": "gvp"},
    {"path": "ve"},
    {"path": "vdm"},
    {"path": "sigmoid"},
    {"path": "bridge", "end": "map"},
    {"path": "bridge", "end": "map", "bridge_noise": 0.3},
    {"path": "linear", "time_shift": 3.0},
    {"path": "ve", "time_shift": 0.5},
]


@dataclass(frozen=True)
class Erring:
    """What is expected of independent Gaussian data, as a prediction of some kind that is off by a little."""

    process: Any
    kind: str
    error: float

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        alpha, sigma = (x_t.expand(each(t)) for each in (self.process.alpha, self.process.sigma))
        offset = self.process.mix(x_t.with_values(torch.zeros_like(x_t.values)), torch.zeros_like(x_t.values), t).values
        deviation = x_t.values - offset - alpha * MEAN
        variance = alpha**2 * SPREAD**2 + sigma**2
        x0, e = MEAN + alpha * SPREAD**2 * deviation / variance, sigma * deviation / variance
        said = self.process.target(x_t.with_values(x0), e, t, self.kind)
        return Prediction(self.process, x_t, t, said + self.error, self.kind)


@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("options", PATHS)
@torch.no_grad()
def test_a_networks_small_error_stays_small_whatever_it_predicts(options: dict[str, Any], kind: str) -> None:
    """Where x0 or e can hardly be read from a prediction, its error would be blown up a hundredfold."""
    process: Any = build_process(ProcessConfig(**options))
    low, high = process.solver_interval(kind)
    blank = Tokens(torch.zeros(300, 1, 1, dtype=torch.float64))
    conditions = Conditions({"map": torch.full((300, 1, 1), 1.0)})
    start = process.prior(process.placed(blank, conditions), Gaussian(), Key.range(0, 0, 300), high)
    times = torch.linspace(high, low, 41, dtype=torch.float64)
    ends = [
        sample(Heun(), Erring(process, kind, error), start, times, conditions, Key.range(0, 0, 300)).x.values
        for error in (0.0, 0.01)
    ]
    assert (ends[1] - ends[0]).mean().abs() < 0.08
    assert ends[0].mean().item() == pytest.approx(MEAN, abs=0.09), "and the exact walk arrives at the data"
    assert ends[0].std().item() == pytest.approx(SPREAD, abs=0.09)

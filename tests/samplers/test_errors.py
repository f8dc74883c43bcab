"""What solvers make of a network's errors: on the intervals that predictions declare, little."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.tokens import Tokens
from beeline.process.path import PREDICTIONS, GaussianPath
from beeline.samplers.grids import GRIDS, RATIO_GRIDS, build_grid
from beeline.samplers.mixture import MixturePredictor
from tests.peers import levels_of
from tests.samplers.exact import PATHS, gaussian, walk


@dataclass(frozen=True)
class Erring:
    """The exact predictor in the words of a network, wrong by the same little everywhere, for each sample its own."""

    exact: MixturePredictor
    kind: str
    errors: Tensor | float

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        said = self.exact(x_t, t, conditions).as_kind(self.kind)
        return Prediction(self.exact.process, x_t, t, said + self.errors, self.kind)


DIFFERENT = ("euler", "ddim", "heun", "dpmpp_2m", "dpmpp_3m")  # others walk along the velocity as Heun does
WALKS = [
    *((name, "uniform") for name in DIFFERENT),
    *(("heun", grid) for grid in (*GRIDS, *RATIO_GRIDS) if grid != "uniform"),
]


@cache
def interval(path: GaussianPath, kind: str) -> tuple[float, float]:
    """Found once for many tests."""
    return path.solver_interval(kind)


@pytest.mark.parametrize(("name", "grid"), WALKS)
@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("path", [*PATHS, levels_of(), levels_of(schedule="cosine")])
def test_a_networks_small_error_stays_small_whatever_it_predicts(
    path: GaussianPath, kind: str, name: str, grid: str
) -> None:
    """Where x0 or e can hardly be read from a prediction, its error would be blown up a hundredfold.

    The walk is affine for Gaussian data: from 0 it ends where the mean of many walks does.
    """
    times = build_grid(grid, 12, interval(path, kind), process=path)
    start, errors = torch.zeros(2, 1, 1, dtype=torch.float64), torch.tensor([0.0, 0.01]).view(2, 1, 1)
    ends = walk(name, Erring(gaussian(path, 0.0, 0.5), kind, errors), start, times)
    assert (ends[1] - ends[0]).abs() < 0.08

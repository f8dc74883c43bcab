"""What proofs of samplers share: exact predictors, walks, and the exact moments of walks that are affine."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.protocols import Predictor, Process, Sampler
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.core.tokens import Tokens
from beeline.process.linear import Linear
from beeline.process.path import GaussianPath
from beeline.process.sources import Gaussian
from beeline.process.vp import VariancePreserving
from beeline.samplers.build import build_sampler
from beeline.samplers.config import SampleConfig
from beeline.samplers.dopri5 import DORMAND_PRINCE
from beeline.samplers.mixture import MixturePredictor
from beeline.samplers.runge_kutta import RungeKutta
from beeline.samplers.solve import sample

PATHS = [Linear(), VariancePreserving()]
# Where log-SNR is finite and no solver meets a scale of its own.
INTERVALS = {Linear: (0.1, 0.9), VariancePreserving: (0.1, 0.6)}


def mixture(path: Process, dimensions: int = 2) -> MixturePredictor:
    """Two correlated components."""
    generator = torch.Generator().manual_seed(4)
    means = torch.randn(2, dimensions, generator=generator, dtype=torch.float64)
    roots = torch.randn(2, dimensions, dimensions, generator=generator, dtype=torch.float64) / math.sqrt(dimensions)
    covariances = roots @ roots.mT + 0.1 * torch.eye(dimensions, dtype=torch.float64)
    return MixturePredictor(path, torch.tensor([0.3, 0.7], dtype=torch.float64), means, covariances)


def one_of(path: Process, dimensions: int) -> MixturePredictor:
    """The first of those components alone: a correlated Gaussian."""
    whole = mixture(path, dimensions)
    return MixturePredictor(path, torch.ones(1, dtype=torch.float64), whole.means[:1], whole.covariances[:1])


def gaussian(path: Process, mean: float, sd: float) -> MixturePredictor:
    return MixturePredictor(
        path,
        torch.ones(1, dtype=torch.float64),
        torch.tensor([[mean]], dtype=torch.float64),
        torch.tensor([[[sd**2]]], dtype=torch.float64),
    )


def moments_of(data: MixturePredictor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the whole mixture."""
    mean = (data.weights[:, None] * data.means).sum(0)
    centred = data.means - mean
    spread = data.covariances + centred[:, :, None] * centred[:, None, :]
    return mean, (data.weights[:, None, None] * spread).sum(0)


def solver(name: str, **options: Any) -> Sampler:
    return build_sampler(SampleConfig(sampler=name, **options), Gaussian())  # type: ignore[arg-type]


def walk(name: str | Sampler, predictor: Predictor, start: Tensor, times: Tensor) -> Tensor:
    chosen = solver(name) if isinstance(name, str) else name
    return sample(chosen, predictor, Tokens(start), times, Conditions(), Key.range(0, 0, len(start))).x.values


def last_node(chosen: Sampler, predictor: Predictor, start: Tensor, times: Tensor) -> Tensor:
    """The samples at the last node of a grid that stops short of the data."""
    states: list[SamplerState] = []
    sample(chosen, predictor, Tokens(start), times, Conditions(), Key.range(0, 0, len(start)), states.append)
    return states[-1].x.values


@functools.cache
def truth(path: GaussianPath) -> tuple[Tensor, Tensor]:
    """Four starts on the mixture's flow at the upper end of the path's interval, and where they are at the lower."""
    low, high = INTERVALS[type(path)]
    start = torch.randn(4, 1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    times = torch.linspace(high, low, 321, dtype=torch.float64)
    return start, last_node(RungeKutta(DORMAND_PRINCE), mixture(path), start, times)


def slopes_of_error(chosen: Sampler, path: GaussianPath, steps: tuple[int, ...]) -> list[float]:
    """log2 of the quotients of the errors at numbers of steps, each twice the one before."""
    low, high = INTERVALS[type(path)]
    start, end = truth(path)
    errors = []
    for count in steps:
        times = torch.linspace(high, low, count + 1, dtype=torch.float64)
        errors.append((last_node(chosen, mixture(path), start, times) - end).norm().item())
    return [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]


@dataclass(frozen=True)
class Impulses:
    """Noise that is a unit vector for each number of each step in turn, in samples of their own, and 0 elsewhere."""

    dimensions: int

    def sample(self, like: Tokens, key: Key) -> Tensor:
        first = (int(key.purpose.rsplit("/", 1)[-1]) + 1) * self.dimensions + 1
        noise = torch.zeros_like(like.values)
        noise[first : first + self.dimensions, 0] = torch.eye(self.dimensions, dtype=noise.dtype)
        return noise


def propagated(
    data: MixturePredictor, times: Tensor, root: Tensor, mean: Tensor | None = None, to_the_end: bool = True, **how: Any
) -> tuple[Tensor, Tensor]:
    """Mean and covariance of samples of Gaussian data, exactly: every walk is affine in its start and its noise.

    Args:
        data: a single component.
        times: nodes of the walk.
        root: (D, D) with root root^T the covariance of the starts.
        mean: (D,) of the starts; 0 when None.
        to_the_end: whether to go on to the expected data; else to stop at the last node.
        how: options of sampling, or a ``chosen`` function from a source to a sampler.
    """
    dimensions = data.means.shape[1]
    source = Impulses(dimensions)
    chosen = how.pop("chosen", None)
    walker = build_sampler(SampleConfig(**how), source) if chosen is None else chosen(source)
    start = torch.zeros(1 + len(times) * dimensions, 1, dimensions, dtype=torch.float64)
    start[1 : dimensions + 1, 0] = root.mT
    if mean is not None:
        start = start + mean
    end = (walk if to_the_end else last_node)(walker, data, start, times)[:, 0]
    answers = end[1:] - end[0]
    return end[0], answers.mT @ answers

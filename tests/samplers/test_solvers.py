"""Solvers against closed forms, in float64: direction, order, exact moments, and honest counts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.errors import UserError
from beeline.core.prediction import Prediction
from beeline.core.protocols import Predictor, Sampler
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.core.tokens import Tokens
from beeline.process.linear import Linear
from beeline.process.path import PREDICTIONS, GaussianPath
from beeline.process.sources import Gaussian
from beeline.process.vp import VariancePreserving
from beeline.samplers.build import SAMPLERS, build_sampler
from beeline.samplers.config import Grid, SampleConfig
from beeline.samplers.euler import Euler
from beeline.samplers.grids import GRIDS, LEVEL_GRIDS, build_grid, check_grid
from beeline.samplers.mixture import MixturePredictor
from beeline.samplers.solve import sample
from tests.peers import levels_of

ORDERS = {"euler": 1, "heun": 2, "ddim": 1}
PATHS = [Linear(), VariancePreserving()]


def mixture(path: GaussianPath, dimensions: int = 2) -> MixturePredictor:
    """Two correlated components."""
    generator = torch.Generator().manual_seed(4)
    means = torch.randn(2, dimensions, generator=generator, dtype=torch.float64)
    roots = torch.randn(2, dimensions, dimensions, generator=generator, dtype=torch.float64) / math.sqrt(dimensions)
    covariances = roots @ roots.mT + 0.1 * torch.eye(dimensions, dtype=torch.float64)
    return MixturePredictor(path, torch.tensor([0.3, 0.7], dtype=torch.float64), means, covariances)


def gaussian(path: GaussianPath, mean: float, sd: float) -> MixturePredictor:
    return MixturePredictor(
        path,
        torch.ones(1, dtype=torch.float64),
        torch.tensor([[mean]], dtype=torch.float64),
        torch.tensor([[[sd**2]]], dtype=torch.float64),
    )


def solver(name: str) -> Sampler:
    return build_sampler(SampleConfig(sampler=name), Gaussian())  # type: ignore[arg-type]


def walk(name: str, predictor: Predictor, start: Tensor, times: Tensor) -> Tensor:
    key = Key.range(0, 0, len(start))
    return sample(solver(name), predictor, Tokens(start), times, Conditions(), key).x.values


def test_every_sampler_is_held_to_an_order_and_options_name_what_there_is() -> None:
    assert {*SAMPLERS} == {*ORDERS, "ddpm"}, "ancestral sampling has moments instead, in test_ancestral.py"
    assert {*GRIDS, *LEVEL_GRIDS, "auto"} == set(get_args(Grid))


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("path", PATHS)
def test_slope_of_error_against_step_size_is_the_order(path: GaussianPath, name: str) -> None:
    """On [0.9, 0.1], where log-SNR is finite, against scipy's eighth-order solver."""
    predictor = mixture(path)
    start = torch.randn(16, 1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def field(t: float, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        tokens = Tokens(torch.from_numpy(x).view(16, 1, 2))
        velocity = predictor(tokens, torch.full((16,), t, dtype=torch.float64), Conditions()).velocity
        return velocity.flatten().numpy()

    solution = solve_ivp(field, (0.9, 0.1), start.flatten().numpy(), method="DOP853", rtol=1e-12, atol=1e-12)
    exact = torch.from_numpy(solution.y[:, -1]).view(16, 1, 2)

    def error(steps: int) -> float:
        times, states = torch.linspace(0.9, 0.1, steps + 1, dtype=torch.float64), []
        sample(
            solver(name),
            predictor,
            Tokens(start),
            times,
            Conditions(),
            Key.range(0, 0, 16),
            after_step=lambda state: states.append(state.x.values),
        )
        return (states[-1] - exact).norm().item()

    finer = 2 if name == "ddim" else 1  # its error on VP has a large second-order part
    errors = [error(finer * steps) for steps in (160, 320, 640, 1280)]
    slopes = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]
    assert abs(slopes[-1] - slopes[-2]) < 0.1
    assert slopes[-1] == pytest.approx(ORDERS[name], abs=0.15)


@pytest.mark.parametrize("name", ORDERS)
def test_e01_every_sampler_runs_from_noise_down_to_data(name: str) -> None:
    """E1: walking up instead would end near -5.84."""
    start = torch.tensor([0.0, 1.0], dtype=torch.float64)[:, None, None]
    end = walk(name, gaussian(Linear(), 3.0, 0.5), start, build_grid("uniform", 50, (0.0, 1.0)))
    assert end[0].item() == pytest.approx(3.0, abs=0.01)
    assert (end[1] - end[0]).item() == pytest.approx(0.5, abs=0.02)


def test_e01_euler_gives_the_figures_of_its_formula() -> None:
    """E1: with t = 1 noise and v = noise - data, t must fall; 50 Euler steps give 2.996 and 0.483, not -5.84."""
    # Without noise in the starts: the ODE's map is affine for Gaussian data, so two points give mean and deviation.
    predictor = gaussian(Linear(), 3.0, 0.5)
    start = torch.tensor([0.0, 1.0], dtype=torch.float64)[:, None, None]
    end = walk("euler", predictor, start, build_grid("uniform", 50, (0.0, 1.0)))
    mean, deviation = end[0].item(), (end[1] - end[0]).item()
    assert mean == pytest.approx(2.996, abs=0.01)
    assert deviation == pytest.approx(0.483, abs=0.004)  # the published figure is a Monte Carlo estimate
    exact_mean, exact_deviation = 0.0, 1.0
    for t in torch.linspace(1, 0.02, 50, dtype=torch.float64).tolist():
        # v = (e - x0 given x) = slope (x - 3 (1 - t)) - 3, slope = (t - 0.25 (1 - t)) / (t^2 + 0.25 (1 - t)^2)
        slope = (t - 0.25 * (1 - t)) / (t**2 + 0.25 * (1 - t) ** 2)
        exact_mean -= 0.02 * (slope * (exact_mean - 3 * (1 - t)) - 3)
        exact_deviation -= 0.02 * slope * exact_deviation
    assert (mean, deviation) == (pytest.approx(exact_mean, abs=1e-12), pytest.approx(exact_deviation, abs=1e-12))


@dataclass(frozen=True)
class Erring:
    """The exact predictor in the words of a network, wrong by the same little everywhere."""

    exact: MixturePredictor
    kind: str
    error: float

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        said = self.exact(x_t, t, conditions).as_kind(self.kind)
        return Prediction(self.exact.process, x_t, t, said + self.error, self.kind)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("path", [*PATHS, levels_of(), levels_of(schedule="cosine")])
def test_a_networks_small_error_stays_small_whatever_it_predicts(
    path: GaussianPath, kind: str, name: str, grid: str
) -> None:
    """Where x0 or e can hardly be read from a prediction, its error would be blown up a hundredfold.

    The walk is affine for Gaussian data: from 0 it ends where the mean of many walks does.
    """
    interval = path.solver_interval(kind)
    times = build_grid(grid, 20, interval)
    start = torch.zeros(1, 1, 1, dtype=torch.float64)
    ends = [walk(name, Erring(gaussian(path, 0.0, 0.5), kind, error), start, times) for error in (0.0, 0.01)]
    assert (ends[1] - ends[0]).mean().abs() < 0.08


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("shift", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("interval", [(0.0, 1.0), (1e-3, 0.999)])
def test_e02_every_grid_descends_between_its_ends(name: str, shift: float, interval: tuple[float, float]) -> None:
    """E2: one direction for all grids: n steps, n + 1 nodes, from t_max exactly to t_min exactly."""
    for steps in (1, 2, 7, 50):
        times = build_grid(name, steps, interval, shift)
        assert len(times) == steps + 1
        assert (times[0].item(), times[-1].item()) == (interval[1], interval[0])
        assert (times.diff() < 0).all()


def test_e02_a_grid_that_does_not_descend_is_refused() -> None:
    """E2: an ascending grid is what made only one of the public grids work."""
    good = build_grid("uniform", 4, (0.0, 1.0))
    for bad in (good.flip(0), good[:-1], good[1:], good[[0, 2, 1, 3, 4]], good[[0, 1, 1, 4]]):
        with pytest.raises(UserError, match="grid must"):
            check_grid(bad, (0.0, 1.0))
    for steps, shift in ((0, 1.0), (-2, 1.0), (4, 0.0)):
        with pytest.raises(UserError, match=r"at least 1|above 0"):
            build_grid("uniform", steps, (0.0, 1.0), shift)
    for interval in ((1.0, 0.0), (0.5, 0.5)):
        with pytest.raises(UserError, match="grid must descend"):
            build_grid("uniform", 4, interval)
    with pytest.raises(UserError, match="did you mean 'cosine'"):
        build_grid("cosin", 4, (0.0, 1.0))


@pytest.mark.parametrize("grid", GRIDS)
def test_e02_every_grid_ends_at_the_data(grid: str) -> None:
    """E2: the same moments from every grid."""
    start = torch.tensor([0.0, 1.0], dtype=torch.float64)[:, None, None]
    end = walk("heun", gaussian(Linear(), 3.0, 0.5), start, build_grid(grid, 60, (0.0, 1.0)))
    assert end[0].item() == pytest.approx(3.0, abs=0.01)
    assert (end[1] - end[0]).item() == pytest.approx(0.5, abs=0.01)


def affine_map(name: str, predictor: Predictor, times: Tensor, dimensions: int, scale: float) -> tuple[Tensor, Tensor]:
    """Offset and matrix of the map from standard noise to samples, exact because the flow is affine."""
    points = torch.cat([torch.zeros(1, dimensions), torch.eye(dimensions)]).to(torch.float64) * scale
    ends = walk(name, predictor, points[:, None, :], times)[:, 0]
    return ends[0], (ends[1:] - ends[0]).mT


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("path", PATHS)
def test_a_correlated_gaussian_is_reached_with_its_exact_mean_and_covariance(path: GaussianPath, name: str) -> None:
    """Eight correlated dimensions; the error at n steps falls as the order says and vanishes."""
    whole = mixture(path, 8)
    predictor = MixturePredictor(path, torch.ones(1, dtype=torch.float64), whole.means[:1], whole.covariances[:1])
    interval = path.interval("velocity")
    scale = path.sigma(torch.tensor(interval[1], dtype=torch.float64)).item()
    errors = []
    for steps in (100, 400, 1600):
        offset, matrix = affine_map(name, predictor, build_grid("quadratic", steps, interval), 8, scale)
        errors.append(
            max(
                (offset - whole.means[0]).abs().max().item(),
                (matrix @ matrix.mT - whole.covariances[0]).abs().max().item(),
            )
        )
    if isinstance(path, Linear):
        assert errors[1] / errors[2] == pytest.approx(4 ** ORDERS[name], rel=0.1)
        assert errors[2] < (1e-2 if ORDERS[name] == 1 else 1e-4)
    else:
        # VP starts from noise alone and leaves out alpha(1) = 0.0066 of the data: a floor that steps cannot lower.
        assert errors[2] < 0.02


@pytest.mark.parametrize("path", PATHS)
def test_a_mixture_is_reached_with_its_exact_mean_and_covariance(path: GaussianPath) -> None:
    """10,000 draws of a correlated mixture: within four standard errors."""
    predictor, count = mixture(path), 10_000
    interval = path.interval("velocity")
    key = Key.range(0, 0, count)
    start = path.prior(Tokens(torch.zeros(count, 1, 2, dtype=torch.float64)), Gaussian(), key, interval[1])
    end = walk("heun", predictor, start.values, build_grid("quadratic", 60, interval))[:, 0]
    mean = (predictor.weights[:, None] * predictor.means).sum(0)
    centred = predictor.means - mean
    covariance = (
        predictor.weights[:, None, None] * (predictor.covariances + centred[:, :, None] * centred[:, None, :])
    ).sum(0)
    standard_errors = (covariance.diagonal() / count).sqrt()
    assert ((end.mean(0) - mean).abs() < 4 * standard_errors + 1e-3).all()
    spread = (covariance.diagonal()[:, None] * covariance.diagonal()[None, :] + covariance**2).sqrt() / math.sqrt(count)
    assert ((torch.cov(end.mT) - covariance).abs() < 6 * spread).all()


@dataclass
class Counting:
    """Counts how often, and for how many samples, a predictor is asked."""

    inner: Predictor
    asked: int = 0

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        assert t.shape == (x_t.samples,)
        self.asked += 1
        return self.inner(x_t, t, conditions)


@pytest.mark.parametrize(("name", "passes"), [("euler", 7), ("heun", 14)])
def test_passes_are_counted_as_they_are_spent(name: str, passes: int) -> None:
    start = Tokens(torch.zeros(3, 1, 1, dtype=torch.float64))
    for path, extra in ((Linear(), 0), (VariancePreserving(), 1)):
        counting = Counting(gaussian(path, 1.0, 0.5))
        times = build_grid("uniform", 7, path.interval("velocity"))
        state = sample(solver(name), counting, start, times, Conditions(), Key.range(0, 0, 3))
        assert state.passes == counting.asked == passes + extra


def test_a_walk_that_stops_short_of_zero_ends_at_the_expected_data() -> None:
    path = VariancePreserving()
    predictor = gaussian(path, 2.0, 0.3)
    times = build_grid("uniform", 50, path.interval("velocity"))
    states: list[Tokens] = []
    final = sample(
        solver("heun"),
        predictor,
        Tokens(torch.randn(4, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))),
        times,
        Conditions(),
        Key.range(0, 0, 4),
        after_step=lambda state: states.append(state.x),
    )
    assert len(states) == 50
    expected = predictor(states[-1], times[-1].expand(4), Conditions()).x0
    torch.testing.assert_close(final.x.values, expected)


def test_every_step_draws_from_a_stream_of_its_own() -> None:
    draws: list[Tensor] = []

    class Stochastic(Euler):
        def step(self, state: SamplerState, predictor: Predictor, conditions: Conditions, key: Key) -> SamplerState:
            draws.append(key.normal(4))
            return super().step(state, predictor, conditions, key)

    start, times = Tokens(torch.zeros(1, 1, 1, dtype=torch.float64)), build_grid("uniform", 3, (0.0, 1.0))
    for seed in (0, 1):
        sample(Stochastic(), gaussian(Linear(), 0.0, 1.0), start, times, Conditions(), Key.range(seed, 0, 1))
    assert len(torch.cat(draws).unique()) == 2 * 3 * 4


def test_samplers_are_built_by_name() -> None:
    with pytest.raises(UserError, match="unknown sampler 'huen'; did you mean 'heun'"):
        solver("huen")


def wrong_way(times: Tensor) -> Tensor:
    return times.flip(0)


@pytest.mark.parametrize("bend", [wrong_way])
def test_the_direction_test_can_fail(bend: Callable[[Tensor], Tensor]) -> None:
    """Walking up instead of down lands at -5.84, as measured for the public code behind E1."""
    start = torch.zeros(1, 1, 1, dtype=torch.float64)
    times = bend(build_grid("uniform", 50, (0.0, 1.0)))
    state = solver("euler").initialise(Tokens(start), times)
    for index in range(50):
        state = solver("euler").step(state, gaussian(Linear(), 3.0, 0.5), Conditions(), Key.range(0, 0, 1).fold(index))
    assert abs(state.x.values.item() - 3.0) > 5

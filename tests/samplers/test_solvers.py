"""Solvers against closed forms, in float64: direction, order, exact moments, and honest counts."""

from __future__ import annotations

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
from beeline.core.protocols import Predictor
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.core.tokens import Tokens
from beeline.process.linear import Linear
from beeline.process.path import GaussianPath
from beeline.process.sources import Gaussian
from beeline.process.vp import VariancePreserving
from beeline.samplers.build import SAMPLERS
from beeline.samplers.config import Grid
from beeline.samplers.euler import Euler
from beeline.samplers.grids import GRIDS, LEVEL_GRIDS, RATIO_GRIDS, build_grid, check_grid
from beeline.samplers.solve import sample
from tests.samplers.exact import (
    INTERVALS,
    PATHS,
    gaussian,
    mixture,
    moments_of,
    one_of,
    propagated,
    slopes_of_error,
    solver,
    truth,
    walk,
)

ORDERS = {"euler": 1, "ddim": 1, "heun": 2, "midpoint": 2, "dpmpp_2m": 2, "dpmpp_3m": 3, "rk4": 4, "rk38": 4}
# Network passes of seven steps.
PASSES = {"euler": 7, "ddim": 7, "heun": 14, "midpoint": 14, "dpmpp_2m": 7, "dpmpp_3m": 7, "rk4": 28, "rk38": 28}
PASSES |= {"ddpm": 7, "dpmpp_2m_sde": 7, "euler_maruyama": 7, "stochastic_heun": 14}
IN_LAW = {"ddpm", "dpmpp_2m_sde", "euler_maruyama", "stochastic_heun"}


def test_every_sampler_is_held_to_an_order_and_options_name_what_there_is() -> None:
    own = {"dopri5", "one_pass"}
    assert {*SAMPLERS} == {*ORDERS, *IN_LAW, *own}, "those with noise in test_stochastic.py, others in their own"
    assert {*GRIDS, *RATIO_GRIDS, *LEVEL_GRIDS, "auto"} == set(get_args(Grid))


@pytest.mark.parametrize("path", PATHS)
def test_the_truth_that_orders_are_measured_against_is_scipys(path: GaussianPath) -> None:
    start, end = truth(path)

    def field(t: float, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        times = torch.full((4,), t, dtype=torch.float64)
        said = mixture(path)(Tokens(torch.from_numpy(x).view(4, 1, 2)), times, Conditions())
        return said.velocity.flatten().numpy()

    low, high = INTERVALS[type(path)]
    solution = solve_ivp(field, (high, low), start.flatten().numpy(), method="DOP853", rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(end.flatten(), torch.from_numpy(solution.y[:, -1]), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("path", PATHS)
def test_slope_of_error_against_step_size_is_the_order(path: GaussianPath, name: str) -> None:
    """On an interval where log-SNR is finite."""
    slopes = slopes_of_error(solver(name), path, (40, 80, 160))
    assert abs(slopes[1] - slopes[0]) < 0.1
    assert slopes[1] == pytest.approx(ORDERS[name], abs=0.15)


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


@pytest.mark.parametrize("name", [*GRIDS, *RATIO_GRIDS])
@pytest.mark.parametrize("shift", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("interval", [(0.0, 1.0), (1e-3, 0.999)])
def test_e02_every_grid_descends_between_its_ends(name: str, shift: float, interval: tuple[float, float]) -> None:
    """E2: one direction for all grids: n steps, n + 1 nodes, from t_max exactly to t_min exactly."""
    for steps in (1, 2, 7, 50):
        times = build_grid(name, steps, interval, shift, Linear())
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


@pytest.mark.parametrize("grid", [*GRIDS, *RATIO_GRIDS])
def test_e02_every_grid_ends_at_the_data(grid: str) -> None:
    """E2: the same moments from every grid."""
    start = torch.tensor([0.0, 1.0], dtype=torch.float64)[:, None, None]
    end = walk("heun", gaussian(Linear(), 3.0, 0.5), start, build_grid(grid, 60, (0.0, 1.0), process=Linear()))
    assert end[0].item() == pytest.approx(3.0, abs=0.01)
    assert (end[1] - end[0]).item() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("path", PATHS)
def test_a_correlated_gaussian_is_reached_with_its_exact_mean_and_covariance(path: GaussianPath, name: str) -> None:
    """Eight correlated dimensions from pure noise to data; the error falls with the steps and vanishes."""
    data = one_of(path, 8)
    interval = path.interval("velocity")
    root = path.sigma(torch.tensor(interval[1], dtype=torch.float64)) * torch.eye(8, dtype=torch.float64)
    errors = []
    for passes in (48, 192):
        times = build_grid("quadratic", passes * 7 // PASSES[name], interval)
        mean, covariance = propagated(data, times, root, sampler=name)
        errors.append(max((mean - data.means[0]).abs().max(), (covariance - data.covariances[0]).abs().max()).item())
    if isinstance(path, Linear):
        # With infinite log-SNR at its ends a walk of DPM-Solver++ is of an order between 1.55 and 1.80.
        order = 1.55 if name.startswith("dpmpp") else ORDERS[name]
        assert errors[0] / errors[1] > 3.3**order
        assert errors[1] < (5e-2 if ORDERS[name] == 1 else 4e-3)
    else:
        # VP starts from noise alone and leaves out alpha(1) = 0.0066 of the data: a floor that steps cannot lower.
        assert errors[1] < (0.1 if ORDERS[name] == 1 else 0.02)


@pytest.mark.parametrize("name", ["heun", "dpmpp_3m", "dopri5"])
@pytest.mark.parametrize("path", PATHS)
def test_a_mixture_is_reached_with_its_exact_mean_and_covariance(path: GaussianPath, name: str) -> None:
    """5,000 draws of a correlated mixture: within four standard errors."""
    data, count = mixture(path), 5_000
    interval = path.interval("velocity")
    key = Key.range(0, 0, count)
    start = path.prior(Tokens(torch.zeros(count, 1, 2, dtype=torch.float64)), Gaussian(), key, interval[1])
    end = walk(name, data, start.values, build_grid("quadratic", 1 if name == "dopri5" else 40, interval))[:, 0]
    mean, covariance = moments_of(data)
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


@pytest.mark.parametrize("name", PASSES)
def test_e22_passes_are_counted_as_they_are_spent(name: str) -> None:
    """E22: samplers are compared at equal passes: a step of Heun costs two, one of Runge-Kutta four."""
    start = Tokens(torch.zeros(3, 1, 1, dtype=torch.float64))
    for path, extra in ((Linear(), 0), (VariancePreserving(), 1)):
        counting = Counting(gaussian(path, 1.0, 0.5))
        times = build_grid("uniform", 7, path.interval("velocity"))
        state = sample(solver(name), counting, start, times, Conditions(), Key.range(0, 0, 3))
        # The step of stochastic Heun that leaves no noise takes one.
        saved = 1 if name == "stochastic_heun" and not extra else 0
        assert state.passes == counting.asked == PASSES[name] + extra - saved


def test_e37_n_steps_have_n_plus_one_nodes_and_none_leads_past_the_data() -> None:
    """E37: n nodes with steps of 1/n lead past t = 0: at n = 4 a deviation of 0.5 becomes 0.74, not 0.50."""
    data = gaussian(Linear(), 0.0, 0.5)
    start = torch.ones(1, 1, 1, dtype=torch.float64)
    ours = walk("heun", data, start, build_grid("uniform", 4, (0.0, 1.0)))
    assert ours.item() == pytest.approx(0.50, abs=0.02)
    x = start
    for t in torch.linspace(1, 0, 4, dtype=torch.float64):
        here = data(Tokens(x), t[None], Conditions()).velocity
        x = x - 0.125 * (here + data(Tokens(x - 0.25 * here), t[None] - 0.25, Conditions()).velocity)
    assert x.item() == pytest.approx(0.74, abs=0.01)


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

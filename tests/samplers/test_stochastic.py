"""Samplers that draw noise, in law: on Gaussian data every step is affine, so that the moments of samples are exact."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.protocols import Process
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.gvp import Trigonometric
from beeline.process.linear import Linear
from beeline.process.path import GaussianPath
from beeline.process.sources import Gaussian
from beeline.process.vp import VariancePreserving
from beeline.samplers.diffusion import RATES
from beeline.samplers.euler_maruyama import EulerMaruyama
from beeline.samplers.grids import build_grid
from beeline.samplers.mixture import MixturePredictor
from beeline.samplers.solve import sample
from beeline.samplers.stochastic_heun import StochasticHeun
from tests.samplers.exact import (
    INTERVALS,
    PATHS,
    gaussian,
    mixture,
    moments_of,
    one_of,
    propagated,
    solver,
    walk,
)


def marginal(data: MixturePredictor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of x_t: what an exact sampler has at every node, whatever noise it draws."""
    alpha, sigma = data.process.alpha(t), data.process.sigma(t)
    identity = torch.eye(data.means.shape[1], dtype=torch.float64)
    return alpha * data.means[0], alpha**2 * data.covariances[0] + sigma**2 * identity


def errors_in_law(path: GaussianPath, steps: tuple[int, ...], **how: Any) -> list[float]:
    """Largest error of mean or covariance at the end of the path's interval, started from the exact marginal."""
    data, (low, high) = one_of(path, 2), INTERVALS[type(path)]
    found = []
    for count in steps:
        times = torch.linspace(high, low, count + 1, dtype=torch.float64)
        mean, covariance = marginal(data, times[0])
        ours = propagated(data, times, torch.linalg.cholesky(covariance), mean, to_the_end=False, **how)
        true = marginal(data, times[-1])
        found.append(max((a - b).abs().max().item() for a, b in zip(ours, true, strict=True)))
    return found


def slopes(errors: list[float]) -> list[float]:
    return [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]


WEAK: list[tuple[dict[str, Any], int]] = [
    ({"sampler": "ddpm", "variance": "small"}, 1),
    ({"sampler": "ddpm", "variance": "large"}, 1),
    ({"sampler": "ddim", "eta": 1.0}, 1),
    ({"sampler": "ddim", "eta": 0.5}, 1),
    ({"sampler": "dpmpp_2m_sde"}, 2),
    *(({"sampler": "euler_maruyama", "diffusion": name}, 1) for name in ("sigma", "constant", "linear")),
    *(({"sampler": "stochastic_heun", "diffusion": name}, 2) for name in RATES),
    ({"sampler": "stochastic_heun", "diffusion": "constant", "diffusion_scale": 2.0}, 2),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("how", "order"), WEAK)
def test_moments_converge_to_the_true_ones_at_the_weak_order(
    path: GaussianPath, how: dict[str, Any], order: int
) -> None:
    found = slopes(errors_in_law(path, (32, 64, 128), **how))
    assert abs(found[1] - found[0]) < 0.1
    assert found[1] == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("kind", [EulerMaruyama, StochasticHeun])
def test_any_callable_gives_the_noise(kind: Any) -> None:
    def rate(process: Process, t: Tensor) -> Tensor:
        return 0.3 + (5.0 * t).sin().square()

    found = slopes(errors_in_law(Linear(), (32, 64, 128), chosen=lambda source: kind(source, rate)))
    assert found[1] == pytest.approx(1 if kind is EulerMaruyama else 2, abs=0.15)


def test_the_formulas_by_hand() -> None:
    """One step of each from t = 0.5 to 0.3 for N(0, 0.25) on the linear path, where v and the score are slopes of x."""
    data, times = gaussian(Linear(), 0.0, 0.5), torch.tensor([0.5, 0.3], dtype=torch.float64)

    def slope(t: float, w: float) -> float:
        """v - w score / 2, over x: v = (sigma - alpha sd^2) x / G, score = -x / G."""
        size = 0.25 * (1 - t) ** 2 + t**2
        return (t - 0.25 * (1 - t)) / size + 0.5 * w / size

    start, none = torch.full((1, 1), 0.8, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for name, w in (("sigma", lambda t: t), ("constant", lambda t: 1.0), ("vp", lambda t: 2 * t / (1 - t))):
        kept = 1 - 0.2 * slope(0.5, w(0.5))
        ours = propagated(data, times, start, none, to_the_end=False, sampler="euler_maruyama", diffusion=name)[1]
        assert ours.item() == pytest.approx((0.8 * kept) ** 2 + 0.2 * w(0.5), rel=1e-12)
        half = 1 - 0.1 * slope(0.5, w(0.5)) - 0.1 * slope(0.3, w(0.3)) * kept
        noise = (1 - 0.1 * slope(0.3, w(0.3))) ** 2 * 0.1 * (w(0.5) + w(0.3))
        ours = propagated(data, times, start, none, to_the_end=False, sampler="stochastic_heun", diffusion=name)[1]
        assert ours.item() == pytest.approx((0.8 * half) ** 2 + noise, rel=1e-12)


def test_rates_are_what_their_names_say() -> None:
    times = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    path = VariancePreserving()
    torch.testing.assert_close(RATES["vp"](path, times), 0.1 + 19.9 * times)
    torch.testing.assert_close(RATES["vp"](Linear(), times), 2 * times / (1 - times))
    assert (RATES["decreasing"](path, times).diff() > 0).all(), "it falls from noise to data"
    for name, rate in RATES.items():
        assert (rate(path, times) >= 0).all(), name


@pytest.mark.parametrize(("name", "plain"), [("euler_maruyama", "euler"), ("stochastic_heun", "heun")])
def test_without_noise_they_are_solvers_of_the_ode(name: str, plain: str) -> None:
    start = torch.randn(4, 1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    times = torch.linspace(0.9, 0.1, 6, dtype=torch.float64)
    ends = [walk(each, mixture(Linear()), start, times) for each in (solver(name, diffusion_scale=0.0), solver(plain))]
    torch.testing.assert_close(ends[0], ends[1])


@pytest.mark.parametrize(("name", "passes"), [("euler_maruyama", 5), ("stochastic_heun", 9)])
def test_the_step_to_the_data_gives_the_data_expected(name: str, passes: int) -> None:
    """One pass, and no noise, whatever w: a step to t = 0 of N(0, 1/4) on the linear path ends at E[x0 | x_t]."""
    data, key = gaussian(Linear(), 0.0, 0.5), Key.range(0, 0, 3)
    start = Tokens(torch.tensor([-1.0, 0.2, 3.0]).double().view(3, 1, 1))
    last = torch.tensor([0.4, 0.0], dtype=torch.float64)
    end = sample(solver(name, diffusion="constant"), data, start, last, Conditions(), key)
    torch.testing.assert_close(end.x.values, 0.6 * 0.25 / (0.36 * 0.25 + 0.16) * start.values)
    assert end.passes == 1
    times = torch.linspace(1.0, 0.0, 6, dtype=torch.float64)
    assert sample(solver(name), data, start, times, Conditions(), key).passes == passes


def test_2m_sde_with_one_node_behind_it_is_the_ancestral_step() -> None:
    """Of small variance, to the last bit of its factors: two derivations of one posterior."""
    data = one_of(Linear(), 2)
    times, root = torch.tensor([0.9, 0.6], dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    ours = propagated(data, times, root, to_the_end=False, sampler="dpmpp_2m_sde")
    theirs = propagated(data, times, root, to_the_end=False, sampler="ddpm", variance="small")
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


FROM_END_TO_END: list[dict[str, Any]] = [
    {"sampler": "ddpm", "variance": "small"},
    {"sampler": "ddim", "eta": 1.0},
    {"sampler": "dpmpp_2m_sde"},
    {"sampler": "euler_maruyama"},
    {"sampler": "stochastic_heun"},
    {"sampler": "stochastic_heun", "diffusion": "increasing_decreasing"},
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("how", FROM_END_TO_END)
def test_from_noise_to_data_eight_correlated_numbers_have_their_moments(
    path: GaussianPath, how: dict[str, Any]
) -> None:
    """Infinite log-SNR at both ends included; the error falls with the steps."""
    data, interval = one_of(path, 8), path.interval("velocity")
    root = path.sigma(torch.tensor(interval[1], dtype=torch.float64)) * torch.eye(8, dtype=torch.float64)
    errors = []
    for steps in (16, 64):
        mean, covariance = propagated(data, build_grid("quadratic", steps, interval), root, **how)
        errors.append(max((mean - data.means[0]).abs().max(), (covariance - data.covariances[0]).abs().max()).item())
    second_order = how["sampler"] in ("stochastic_heun", "dpmpp_2m_sde")
    assert errors[1] < (0.03 if second_order else 0.25)
    # VP leaves out alpha(1) = 0.0066 of the data: a floor.
    assert errors[0] > (6 if second_order and isinstance(path, Linear) else 2) * (errors[1] - 0.01)


@pytest.mark.parametrize("how", FROM_END_TO_END)
def test_a_mixture_has_its_moments_within_four_standard_errors(how: dict[str, Any]) -> None:
    """4,000 draws, and the bias that the propagated moments of one of its components have at these steps."""
    path, count, steps = Linear(), 4_000, 40
    data, key = mixture(path), Key.range(1, 0, count)
    times = build_grid("quadratic", steps, (0.0, 1.0))
    start = Gaussian().sample(Tokens(torch.zeros(count, 1, 2, dtype=torch.float64)), key.fold("start"))
    end = sample(solver(how["sampler"], **{k: v for k, v in how.items() if k != "sampler"}), data, Tokens(start), times,
                 Conditions(), key).x.values[:, 0]  # fmt: skip
    single = one_of(path, 2)
    biased = propagated(single, times, torch.eye(2, dtype=torch.float64), **how)
    bias = max(
        (a - b).abs().max().item() for a, b in zip(biased, (single.means[0], single.covariances[0]), strict=True)
    )
    mean, covariance = moments_of(data)
    diagonal = covariance.diagonal()
    assert ((end.mean(0) - mean).abs() < 4 * (diagonal / count).sqrt() + 2 * bias).all()
    spread = ((diagonal[:, None] * diagonal[None, :] + covariance**2) / count).sqrt()
    assert ((torch.cov(end.mT) - covariance).abs() < 4 * spread + 2 * bias).all()


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("sigma", lambda t: math.sin(math.pi * t / 2)),
        ("sigma_squared", lambda t: math.sin(math.pi * t / 2) ** 2),
        ("vp", lambda t: math.pi * math.tan(math.pi * t / 2)),
        ("constant", lambda t: 1.0),
        ("linear", lambda t: t),
        ("decreasing", lambda t: math.sin(math.pi * t / 2) ** 4),
        ("increasing_decreasing", lambda t: math.sin(math.pi * t) ** 2),
    ],
)
def test_named_diffusion_is_its_formula(name: str, rate: Callable[[float], float]) -> None:
    """On the path sigma = sin(pi t / 2), alpha = cos(pi t / 2), where each is a short one."""
    times = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    wanted = [rate(t) for t in times.tolist()]
    assert RATES[name](Trigonometric(), times).tolist() == pytest.approx(wanted, rel=1e-12)

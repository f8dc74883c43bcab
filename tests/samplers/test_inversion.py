"""Walking up: back where it came from at the solver's order, and exactly the prior for data that are known exactly."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.errors import UserError
from beeline.core.protocols import Process, Sampler
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.linear import Linear
from beeline.process.path import GaussianPath
from beeline.process.sources import Gaussian
from beeline.process.vp import VariancePreserving
from beeline.samplers.build import build_sampler
from beeline.samplers.config import SampleConfig
from beeline.samplers.ddim import DDIM
from beeline.samplers.euler import Euler
from beeline.samplers.grids import build_grid
from beeline.samplers.heun import Heun
from beeline.samplers.inversion import REVERSIBLE, check_reversible, invert
from beeline.samplers.mixture import MixturePredictor
from beeline.samplers.solve import sample
from tests.peers import levels_of

MEAN = torch.tensor([1.0, -0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64)


def pair(path: Process) -> MixturePredictor:
    return MixturePredictor(path, torch.ones(1, dtype=torch.float64), MEAN[None], COVARIANCE[None])


def up(solver: Sampler, predictor: MixturePredictor, x0: Tensor, times: Tensor) -> Tensor:
    return invert(solver, predictor, Tokens(x0), times, Conditions(), predictor.process).x.values


def down(solver: Sampler, predictor: MixturePredictor, noise: Tensor, times: Tensor) -> Tensor:
    key = Key.range(0, 0, len(noise))
    return sample(solver, predictor, Tokens(noise), times, Conditions(), key).x.values


@pytest.mark.parametrize(("solver", "order"), [(Heun(), 3), (Euler(), 1), (DDIM(Gaussian()), 1)])
def test_the_data_come_back_at_the_solvers_order_or_one_more(solver: Sampler, order: int) -> None:
    """A step of Heun's method and its step back have leading errors C h^3 and C (-h)^3: together nothing."""
    predictor = pair(Linear())
    x0 = torch.randn(16, 1, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def error(steps: int) -> float:
        times = build_grid("uniform", steps, (0.0, 1.0))
        return (down(solver, predictor, up(solver, predictor, x0, times), times) - x0).norm().item()

    errors = [error(steps) for steps in (40, 80, 160)]
    slopes = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]
    assert slopes == pytest.approx([order, order], abs=0.05)


@pytest.mark.parametrize("path", [Linear(), VariancePreserving()])
def test_noise_of_gaussian_data_has_the_moments_of_the_marginal(path: GaussianPath) -> None:
    """The way up is affine, x = A x0 + b, so that mean and covariance follow without drawing anything."""
    predictor, (low, high) = pair(path), path.interval("velocity")
    points = torch.cat([torch.zeros(1, 2), torch.eye(2)]).to(torch.float64)[:, None]
    alpha, sigma = (share(torch.tensor(high, dtype=torch.float64)) for share in (path.alpha, path.sigma))

    def errors(steps: int) -> tuple[float, float]:
        ends = up(Heun(), predictor, points, build_grid("uniform", steps, (low, high)))[:, 0]
        b, A = ends[0], (ends[1:] - ends[0]).T
        marginal = alpha**2 * COVARIANCE + sigma**2 * torch.eye(2, dtype=torch.float64)
        return (A @ MEAN + b - alpha * MEAN).abs().max().item(), (A @ COVARIANCE @ A.T - marginal).abs().max().item()

    coarse, fine = errors(80), errors(160)
    if low == 0:  # Heun's method takes the mean along exactly on the straight path
        assert max(coarse[0], fine[0]) < 1e-12
        assert coarse[1] / fine[1] == pytest.approx(4, abs=0.1)
    else:  # the covariance has the bias of beginning at t_min, of about sigma^2 / variance there
        assert coarse[0] / fine[0] == pytest.approx(4, abs=0.1)
        assert fine[1] < 3 * path.sigma(torch.tensor(low, dtype=torch.float64)).item() ** 2


def test_the_way_up_begins_where_the_way_down_would_end() -> None:
    """Where the grid stops at t_min > 0, E[x0 | x] of the first x is the data, far closer than alpha x0 would be."""
    path = VariancePreserving()
    predictor, t = pair(path), torch.tensor([0.05], dtype=torch.float64)
    x0 = torch.tensor([[[0.3, 1.2]]], dtype=torch.float64)
    begun = []
    times = torch.tensor([0.06, 0.05], dtype=torch.float64)

    class Noting(Euler):
        def initialise(self, x, times):  # type: ignore[no-untyped-def]
            begun.append(x)
            return super().initialise(x, times)

    end = invert(Noting(), predictor, Tokens(x0), times, Conditions(), path)
    assert end.passes == 3 + 1
    assert (predictor(begun[0], t, Conditions()).x0 - x0).abs().max() < 1e-3
    plain = Tokens(path.alpha(t).item() * x0)
    assert (predictor(plain, t, Conditions()).x0 - x0).abs().max() > 1e-2


def test_levels_below_the_first_are_left_out() -> None:
    path = levels_of()
    times = build_grid("strided", 200, (0.0, 1.0), process=path)
    asked: list[float] = []

    class Asked(MixturePredictor):
        def __call__(self, x_t, t, conditions):  # type: ignore[no-untyped-def]
            asked.append(t[0].item())
            return super().__call__(x_t, t, conditions)

    predictor = Asked(path, torch.ones(1, dtype=torch.float64), MEAN[None], COVARIANCE[None])
    x0 = torch.tensor([[[0.3, 1.2]]], dtype=torch.float64)
    noise = up(DDIM(Gaussian()), predictor, x0, times)
    assert min(asked) == pytest.approx(1 / path.levels)
    assert (down(DDIM(Gaussian()), predictor, noise, times) - x0).abs().max() < 0.1
    with pytest.raises(UserError, match="steps 1: too few to walk up"):
        up(DDIM(Gaussian()), predictor, x0, times[[0, -1]])


def test_samplers_that_cannot_be_retraced_are_refused() -> None:
    for name in ("ddpm", "dpmpp_2m_sde", "euler_maruyama", "stochastic_heun"):
        for only_down in (False, True):
            with pytest.raises(UserError, match=f"sampler {name}: draws noise in every step, and invert needs"):
                check_reversible(SampleConfig(sampler=name), "invert", only_down)
    with pytest.raises(UserError, match=r"sampler ddim with eta 0\.5: draws noise"):
        check_reversible(SampleConfig(sampler="ddim", eta=0.5), "invert")
    with pytest.raises(UserError, match="sampler dpmpp_2m: has steps that lead down only"):
        check_reversible(SampleConfig(sampler="dpmpp_2m"), "interpolate")
    check_reversible(SampleConfig(sampler="dpmpp_2m"), "interpolate", only_down=True)
    for name in REVERSIBLE:
        check_reversible(SampleConfig(sampler=name), "invert")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", REVERSIBLE)
def test_every_solver_that_is_called_reversible_is(name: str) -> None:
    settings = SampleConfig(sampler=name)  # type: ignore[arg-type]
    try:
        solver = build_sampler(settings, Gaussian())
    except UserError:
        pytest.skip(f"{name} is not there")
    predictor, times = pair(Linear()), build_grid("uniform", 200, (0.0, 1.0))
    x0 = torch.tensor([[[0.3, 1.2]]], dtype=torch.float64)
    assert (down(solver, predictor, up(solver, predictor, x0, times), times) - x0).abs().max() < 0.03

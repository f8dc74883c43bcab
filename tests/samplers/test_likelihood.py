"""The likelihood against closed forms, in float64: densities, their integral, order, probes, padding, refusals."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.errors import UserError
from beeline.core.prediction import Prediction
from beeline.core.protocols import Predictor
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.linear import Linear
from beeline.process.path import GaussianPath
from beeline.process.vp import VariancePreserving
from beeline.samplers.likelihood import Likelihood, LikelihoodSettings, log_likelihood
from beeline.samplers.mixture import MixturePredictor
from tests.peers import levels_of
from tests.samplers.exact import gaussian, mixture
from tests.samplers.test_errors import Erring

DISCRETE = levels_of()


def measured(
    predictor: Predictor,
    path: GaussianPath,
    x: Tensor,
    interval: tuple[float, float] | None = None,
    **options: Any,
) -> Likelihood:
    """Of (N, D) or (N, L, C) samples, with the exact trace unless said otherwise."""
    settings = LikelihoodSettings(**{"trace": "exact", **options})
    data = Tokens(x if x.dim() == 3 else x[:, None])
    interval = interval or path.solver_interval("velocity")
    return log_likelihood(predictor, path, data, Conditions(), Key.range(0, 0, len(x)), interval, settings)


def log_density(known: MixturePredictor, x: Tensor, t: float) -> Tensor:
    """log p_t(x) of the mixture that the predictor knows: (N,)."""
    time = torch.tensor(t, dtype=torch.float64)
    alpha, variance = known.process.alpha(time), known.process.sigma(time).square()
    spread = alpha**2 * known.covariances + variance * torch.eye(x.shape[1], dtype=torch.float64)
    parts = torch.distributions.MultivariateNormal(alpha * known.means, spread).log_prob(x[:, None])
    return torch.logsumexp(known.weights.log() + parts, dim=1)


def drawn(known: MixturePredictor, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    which = torch.multinomial(known.weights, count, replacement=True, generator=generator)
    noise = torch.randn(count, known.means.shape[1], 1, generator=generator, dtype=torch.float64)
    return known.means[which] + (torch.linalg.cholesky(known.covariances)[which] @ noise)[..., 0]


@pytest.mark.parametrize("dimensions", [1, 8])
def test_it_is_the_density_where_the_prior_is_exact(dimensions: int) -> None:
    known = mixture(Linear(), dimensions)
    x = drawn(known, 24)
    found = measured(known, Linear(), x, steps=40)
    assert (found.nats - log_density(known, x, 0.0)).abs().max() < 1e-3
    assert found.prior_gap.max() == 0
    assert (found.noise, found.standard_error.max().item()) == (0.0, 0.0)
    assert torch.equal(found.nats, found.prior + found.divergence + found.scale)


@pytest.mark.parametrize("path", [VariancePreserving(), DISCRETE])
@pytest.mark.parametrize("dimensions", [1, 8])
def test_with_the_true_marginal_for_prior_it_is_the_density_of_data_plus_noise(
    path: GaussianPath, dimensions: int
) -> None:
    """The path begins at t_min > 0: the density of x(t_min) / alpha, at the data themselves."""
    known, (low, high) = mixture(path, dimensions), path.solver_interval("velocity")
    x = drawn(known, 12)
    found = measured(known, path, x, steps=40)
    alpha, sigma = (at(torch.tensor(low, dtype=torch.float64)).item() for at in (path.alpha, path.sigma))
    wanted = log_density(known, alpha * x, low) + dimensions * math.log(alpha)
    pushed = log_density(known, found.end.values[:, 0], high) + found.divergence + found.scale
    assert (pushed - wanted).abs().max() < 1e-3
    assert found.noise == pytest.approx(sigma / alpha)
    noisy = dataclasses.replace(known, covariances=known.covariances + found.noise**2 * torch.eye(dimensions))
    assert torch.allclose(wanted, log_density(dataclasses.replace(noisy, process=Linear()), x, 0.0))


@pytest.mark.parametrize("path", [VariancePreserving(), DISCRETE])
def test_the_prior_takes_its_gap_from_the_mean_and_no_more_than_is_stated(path: GaussianPath) -> None:
    """On Gaussian data the shortfall is quadratic in x0, so three Gauss-Hermite nodes give its mean exactly: the KL."""
    mean, sd = 2.0, 0.5
    known, (low, high) = gaussian(path, mean, sd), path.solver_interval("velocity")
    alpha, sigma = (at(torch.tensor([low, high], dtype=torch.float64)).tolist() for at in (path.alpha, path.sigma))
    nodes, weights = (torch.from_numpy(each) for each in np.polynomial.hermite_e.hermegauss(3))
    weights = weights / weights.sum()
    # Data plus the noise of t_min, which is what the density is of.
    x = mean + math.hypot(sd, sigma[0] / alpha[0]) * nodes[:, None]
    found = measured(known, path, x, steps=60)
    shortfall = log_density(known, alpha[0] * x, low) + math.log(alpha[0]) - found.nats
    marginal = torch.distributions.Normal(alpha[1] * mean, math.hypot(alpha[1] * sd, sigma[1]))
    divergence = torch.distributions.kl_divergence(marginal, torch.distributions.Normal(0.0, sigma[1])).item()
    assert (weights * shortfall).sum().item() == pytest.approx(divergence, rel=1e-2)
    bound = 0.5 * (alpha[1] / sigma[1]) ** 2 * x[:, 0].square()
    assert torch.allclose(found.prior_gap, bound)
    assert 0 < divergence < (weights * bound).sum()


@pytest.mark.parametrize(("solver", "order"), [("heun", 2), ("rk4", 4)])
@pytest.mark.parametrize("path", [Linear(), VariancePreserving()])
def test_slope_of_error_against_step_size_is_the_order(path: GaussianPath, solver: str, order: int) -> None:
    """On [0.1, 0.9], where log-SNR is finite, against the density pushed through exactly."""
    known = mixture(path, 1)
    x = drawn(known, 8)
    alpha = path.alpha(torch.tensor(0.1, dtype=torch.float64))
    wanted = log_density(known, x, 0.1)

    def error(steps: int) -> float:
        found = measured(known, path, x / alpha, (0.1, 0.9), solver=solver, steps=steps, grid="uniform")
        pushed = log_density(known, found.end.values[:, 0], 0.9) + found.divergence
        return (pushed - wanted).norm().item()

    errors = [error(steps) for steps in (32, 64, 128)]
    slopes = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]
    assert abs(slopes[1] - slopes[0]) < 0.12
    assert slopes[1] == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("path", [Linear(), VariancePreserving()])
def test_it_integrates_to_one_whatever_the_predictor_says(path: GaussianPath) -> None:
    wrong = Erring(mixture(path, 1), "velocity", 0.3)
    grid = torch.linspace(-9, 9, 601, dtype=torch.float64)
    found = measured(wrong, path, grid[:, None], steps=30)
    assert torch.trapezoid(found.nats.exp(), grid).item() == pytest.approx(1.0, abs=2e-3)
    exact = log_density(wrong.exact, grid[:, None], 0.0)
    assert (found.nats.exp() - exact.exp()).abs().max() > 0.02, "it is not the density of the data"


def correlated() -> tuple[MixturePredictor, Tensor]:
    """Gaussian data and -1/2 log S, the integral of dv/dx along the straight path."""
    root = torch.randn(3, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    covariance = root @ root.mT + 0.2 * torch.eye(3, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(covariance)
    known = MixturePredictor(
        Linear(), torch.ones(1, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64), covariance[None]
    )
    return known, -0.5 * (vectors * values.log()) @ vectors.mT


@pytest.mark.parametrize("probe", ["rademacher", "gaussian"])
def test_probes_are_unbiased_and_spread_as_quadratic_forms_do(probe: str) -> None:
    """z^T A z has mean tr A and variance 2 |A|^2, of signs 2 (|A|^2 - |diag A|^2): kept along the walk, not redrawn."""
    known, whole = correlated()
    found = measured(known, Linear(), drawn(known, 64), trace="hutchinson", probes=40, probe=probe, steps=8)
    trace, error = whole.trace(), found.standard_error.square().mean().sqrt() / 8
    assert (found.divergence.mean() - trace).abs() < 4 * error
    square = whole.square().sum() - (whole.diagonal().square().sum() if probe == "rademacher" else 0.0)
    assert found.standard_error.square().mean().item() * 40 == pytest.approx(2 * square.item(), rel=0.1)
    exact = measured(known, Linear(), drawn(known, 4), steps=30)
    assert torch.allclose(exact.divergence, trace.expand(4), atol=1e-5)


def test_signs_are_exact_where_numbers_do_not_meet() -> None:
    """1-D: z J z = J for z = -1 and 1."""
    known = mixture(Linear(), 1)
    x = drawn(known, 6)
    exact, found = (measured(known, Linear(), x, trace=each, probes=2, steps=10) for each in ("exact", "hutchinson"))
    assert torch.allclose(exact.nats, found.nats, atol=1e-12)
    assert found.standard_error.max() < 1e-12
    single = measured(known, Linear(), x, trace="hutchinson", probes=1, steps=10)
    assert single.standard_error.isnan().all()


@dataclasses.dataclass(frozen=True)
class Mingling:
    """Moves every number by itself and by the sum of its row, what fills it included: a patch's filler is seen too."""

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        whole = x_t.expand(0.2 * x_t.values.flatten(1).sum(dim=1)[:, None])
        velocity = torch.tanh(x_t.values + whole) * (1 + x_t.expand(t[:, None])) + 0.1
        return Prediction(Linear(), x_t, t, velocity, "velocity")


@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_numbers_that_are_no_data_count_nowhere(trace: Any) -> None:
    """Two samples of 3 tokens, one short by a number, alone and in rows of 5: the same to the last digits."""
    x = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cells = torch.ones(2, 3, 2, dtype=torch.bool)
    cells[1, 2, 1] = False
    x = x * cells
    padded = Tokens(
        torch.nn.functional.pad(x, (0, 0, 0, 2)),
        cells=torch.nn.functional.pad(cells, (0, 0, 0, 2)),
        keep=torch.tensor([[True] * 3 + [False] * 2] * 2),
    )
    settings = LikelihoodSettings(trace=trace, probes=3, steps=5)
    found = [
        log_likelihood(Mingling(), Linear(), data, Conditions(), Key.range(0, 0, 2), (0.0, 1.0), settings)
        for data in (Tokens(x, cells=cells), padded)
    ]
    for name in ("nats", "prior", "divergence", "standard_error", "prior_gap", "numbers"):
        short, long = (getattr(each, name) for each in found)
        assert torch.allclose(short, long, atol=1e-12), name
    assert found[0].numbers.tolist() == [6, 5]
    alone = log_likelihood(
        Mingling(), Linear(), Tokens(x[1:], cells=cells[1:]), Conditions(), Key.range(0, 1, 1), (0.0, 1.0), settings
    )
    assert torch.allclose(alone.nats, found[0].nats[1:], atol=1e-12)


def test_passes_count_evaluations_and_products() -> None:
    """RK4 evaluates four times a step; each product with the Jacobian counts as a pass."""
    known = mixture(Linear(), 3)
    x = drawn(known, 2)
    assert measured(known, Linear(), x, steps=5).passes == 20 * (1 + 3)
    assert measured(known, Linear(), x, steps=5, solver="heun", trace="hutchinson", probes=2).passes == 10 * (1 + 2)
    assert LikelihoodSettings().settled(64).trace == "exact"
    assert LikelihoodSettings().settled(65).trace == "hutchinson"


def test_what_has_no_density_is_refused_by_name() -> None:
    known, x = mixture(Linear(), 1), torch.zeros(2, 1, dtype=torch.float64)
    packed = Tokens(x[None], segment=torch.tensor([[0, 1]]))
    with pytest.raises(UserError, match="packed false"):
        log_likelihood(known, Linear(), packed, Conditions(), Key.range(0, 0, 2), (0.0, 1.0))
    population, bridge = Linear(), Linear()
    population.is_gaussian, bridge.known_end = False, "after"
    for path, words in ((population, "source is a population"), (bridge, r"known end \(after\)")):
        with pytest.raises(UserError, match=words):
            measured(known, path, x)
    for option, words in (({"solver": "rk5"}, "'rk4'"), ({"trace": "exakt"}, "'exact'"), ({"steps": 0}, "at least 1")):
        with pytest.raises(UserError, match=words):
            LikelihoodSettings(**option)

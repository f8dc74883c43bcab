"""Exact log-likelihood by the probability-flow ODE, walked up from data to noise.

    dx/dt = v(x, t),  x(t_min) = alpha x0,  t from t_min up to t_max
    log p(x0) = log N(x(t_max); 0, sigma(t_max)^2 I) + integral of div v dt + D log alpha(t_min)
    div v = trace of J,  J = dv/dx
    exact        sum over i of e_i^T J e_i                 D vector-Jacobian products an evaluation
    Hutchinson   mean over k of z_k^T J z_k                K of them; E[z z^T] = I, z_k fixed along the walk

Whose density it is. That of what the ODE makes of N(0, sigma(t_max)^2 I) when it is walked down to t_min and divided
by alpha(t_min): with the exact predictor that of data plus noise of deviation sigma(t_min) / alpha(t_min), which is
none where the path begins at t_min = 0. It is a density whatever the predictor, so bits a number mean what they say.

The prior gap. Data at t_max are not quite N(0, sigma^2 I) where alpha(t_max) > 0. The walk is one to one, so with the
exact predictor the mean log-likelihood falls short of the data's own by KL(p(t_max) || N(0, sigma^2 I)), and by
convexity of KL, in nats,

    KL <= E[KL(N(alpha x0, sigma^2 I) || N(0, sigma^2 I))] = E[alpha^2 |x0|^2 / (2 sigma^2)]   at t_max

whose term for each x0 is reported. It bounds the mean, not the shortfall of one sample.

Sources: Song et al. 2021, "Score-based generative modeling through stochastic differential equations", section 4.3
and appendix D.2; Chen et al. 2018 (neural ODEs), theorem 1; Grathwohl et al. 2019 (FFJORD), section 3.1; Hutchinson
1990.

Shapes: N samples, L tokens a sample, C numbers a token, K probes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.errors import UserError, unknown, whole_number
from beeline.core.protocols import Predictor, Process
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.samplers.grids import build_grid
from beeline.samplers.solve import evaluate

Solver = Literal["heun", "rk4"]
Trace = Literal["auto", "exact", "hutchinson"]
ProbeKind = Literal["rademacher", "gaussian"]

_MOST_NUMBERS_EXACT = 64

# Of each stage: how far along the step it lies, reached by the slope of the stage before it, and its share of the step.
_STAGES: dict[str, tuple[tuple[float, float], ...]] = {
    "heun": ((0.0, 1 / 2), (1.0, 1 / 2)),
    "rk4": ((0.0, 1 / 6), (1 / 2, 1 / 3), (1 / 2, 1 / 3), (1.0, 1 / 6)),
}


@dataclass(frozen=True)
class LikelihoodSettings:
    """How the walk up is taken.

    Args:
        solver: heun (second order, two evaluations a step) or rk4 (fourth, four).
        steps: number of steps, above 0.
        grid: where the nodes lie: uniform, quadratic (dense near the data) or another continuous grid of sampling.
        trace: exact, hutchinson, or auto: exact for samples of at most 64 numbers.
        probes: K of hutchinson, above 0; its standard error needs two.
        probe: rademacher (signs; exact for diagonal J) or gaussian.
    """

    solver: Solver = "rk4"
    steps: int = 20
    grid: str = "quadratic"
    trace: Trace = "auto"
    probes: int = 4
    probe: ProbeKind = "rademacher"

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("solver", self.solver, get_args(Solver)),
            ("trace", self.trace, get_args(Trace)),
            ("probe", self.probe, get_args(ProbeKind)),
        ):
            if value not in choices:
                raise unknown(name, value, choices)
        whole_number("steps", self.steps, 1, 100_000)
        whole_number("probes", self.probes, 1, 100_000)

    def settled(self, numbers: int) -> LikelihoodSettings:
        """The same with the trace that auto means.

        Args:
            numbers: of a sample, the most that any has.
        """
        if self.trace != "auto":
            return self
        return replace(self, trace="exact" if numbers <= _MOST_NUMBERS_EXACT else "hutchinson")


@dataclass(frozen=True)
class Likelihood:
    """Log-densities of some samples, in nats and normalised units, and what they are made of; (N,) float64 each.

    Args:
        nats: prior + divergence + scale, log p(x0).
        prior: log N(x(t_max); 0, sigma(t_max)^2 I).
        divergence: integral of div v dt.
        scale: D log alpha(t_min): the walk begins at alpha x0.
        standard_error: of the divergence, over probes: 0 where it is exact, NaN with a single probe.
        prior_gap: alpha^2 |x0|^2 / (2 sigma^2) at t_max; its mean over data bounds by how much the mean of ``nats``
            falls short because the prior is not the marginal of the data.
        numbers: D of each sample.
        noise: sigma(t_min) / alpha(t_min): deviation of the noise that the density has beside the data.
        end: where the walks ended, at t_max.
        passes: network passes that each sample has cost; a vector-Jacobian product counts as one.
    """

    nats: Tensor
    prior: Tensor
    divergence: Tensor
    scale: Tensor
    standard_error: Tensor
    prior_gap: Tensor
    numbers: Tensor
    noise: float
    end: Tokens
    passes: int


def check_path(process: Process) -> None:
    """Refuse paths along which no density is carried.

    Raises:
        UserError: saying which.
    """
    if process.is_regression:
        raise UserError("likelihood: this model is a regression, which has one answer to a condition and no density")
    if process.known_end is not None:
        raise UserError(
            f"likelihood: paths start at their known end ({process.known_end}), one point, which has no density; "
            "it needs a path that starts from Gaussian noise"
        )
    if not process.is_gaussian:
        raise UserError(
            "likelihood: this model's source is a population, whose density nobody knows; it needs source gaussian"
        )


def log_likelihood(
    predictor: Predictor,
    process: Process,
    data: Tokens,
    conditions: Conditions,
    key: Key,
    interval: tuple[float, float],
    settings: LikelihoodSettings | None = None,
) -> Likelihood:
    """log p(x0 | conditions) of samples: of the flow of the predictor, as the module says.

    A guided predictor has a flow too: what comes out is then the density of guided samples, not of the model's.

    Args:
        predictor: says what is expected where the walk is.
        process: the path.
        data: x0, one sample a row; what is no data counts nowhere.
        conditions: of the samples.
        key: names the probes, (N,) one stream a sample.
        interval: (t_min, t_max), where the velocity can be read: ``Process.solver_interval``.
        settings: how; the defaults when None. Which trace auto means is settled by the length of the rows, so callers
            that pad settle it beforehand.

    Raises:
        UserError: the process has no density to carry, several samples share a row, or the grid is unknown.
    """
    check_path(process)
    if data.segment is not None:
        raise UserError("likelihood: several samples share a row; batch them one a row (packed false)")
    length, width = data.values.shape[1:]
    settings = (settings or LikelihoodSettings()).settled(length * width)
    times = build_grid(settings.grid, settings.steps, interval).flip(0)
    alpha, sigma = (at(times[[0, -1]]).tolist() for at in (process.alpha, process.sigma))
    exact = settings.trace == "exact"
    probes = (lambda: _axes(data)) if exact else _fixed(_probes(data, key, settings))
    start = data.with_values(data.only_data(alpha[0] * data.values))
    end, traces, passes = _walk(predictor, start, times, conditions, settings.solver, probes)
    estimates = traces.sum(dim=1, keepdim=True) if exact else traces
    numbers = _total(data, torch.ones_like(data.values))
    prior = -0.5 * (_total(end, end.values.double().square()) / sigma[1] ** 2)
    prior = prior - 0.5 * numbers * math.log(2 * math.pi * sigma[1] ** 2)
    divergence, scale = estimates.mean(dim=1), numbers * math.log(alpha[0])
    return Likelihood(
        prior + divergence + scale,
        prior,
        divergence,
        scale,
        torch.zeros_like(divergence) if exact else _standard_error(estimates),
        0.5 * (alpha[1] / sigma[1]) ** 2 * _total(data, data.values.double().square()),
        numbers,
        sigma[0] / alpha[0],
        end,
        passes,
    )


def _walk(
    predictor: Predictor,
    start: Tokens,
    times: Tensor,
    conditions: Conditions,
    solver: Solver,
    probes: Callable[[], Iterator[Tensor]],
) -> tuple[Tokens, Tensor, int]:
    """x at the last node, (N, K) integrals of z^T J z for each probe, and the passes of a sample."""
    x, passes = start, 0
    integral: Tensor | float = 0.0
    for t, t_next in itertools.pairwise(times):
        step = (t_next - t).item()
        slope: Tensor | float = 0.0
        values = x.values
        for along, share in _STAGES[solver]:
            there = x.with_values(x.values + along * step * slope)
            slope, traces, cost = _field(predictor, there, torch.lerp(t, t_next, along), conditions, probes())
            values = values + share * step * slope
            integral = integral + share * step * traces
            passes += cost
        x = x.with_values(values)
    assert isinstance(integral, Tensor)
    return x, integral, passes


def _field(
    predictor: Predictor, x: Tokens, t: Tensor, conditions: Conditions, probes: Iterator[Tensor]
) -> tuple[Tensor, Tensor, int]:
    """v, (N, K) z^T J z for each probe, and what they cost."""
    with torch.enable_grad():
        values = x.values.detach().requires_grad_()
        here = evaluate(x.with_values(values), t, predictor, conditions)
        velocity = x.only_data(here.velocity)
    products = []
    for probe in probes:
        (pulled,) = torch.autograd.grad(velocity, values, probe, retain_graph=True)
        products.append((pulled.double() * probe).flatten(1).sum(dim=1))
    assert isinstance(here.passes, int), "the velocity of one evaluation costs all samples the same"
    return velocity.detach(), torch.stack(products, dim=1), here.passes * (1 + len(products))


def _axes(data: Tokens) -> Iterator[Tensor]:
    """Unit vectors, one for each number of a row; of those that are no data the velocity is zero."""
    _, length, width = data.values.shape
    for place in range(length * width):
        axis = torch.zeros_like(data.values)
        axis[:, place // width, place % width] = 1
        yield axis


def _probes(data: Tokens, key: Key, settings: LikelihoodSettings) -> list[Tensor]:
    """K random vectors with independent numbers of mean 0 and variance 1; those of a sample depend on its key alone."""
    _, length, width = data.values.shape
    found = []
    for number in range(settings.probes):
        stream = key.fold("probe", number)
        if settings.probe == "gaussian":
            draws = stream.normal(length * width)
        else:
            draws = torch.where(stream.uniform(length * width) < 0.5, -1.0, 1.0)
        found.append(data.only_data(draws.to(data.values).view_as(data.values)))
    return found


def _fixed(probes: list[Tensor]) -> Callable[[], Iterator[Tensor]]:
    return lambda: iter(probes)


def _standard_error(estimates: Tensor) -> Tensor:
    """(N,) of the mean over (N, K) estimates; NaN with a single one."""
    count = estimates.shape[1]
    if count == 1:
        return torch.full_like(estimates[:, 0], math.nan)
    return estimates.std(dim=1) / math.sqrt(count)


def _total(tokens: Tokens, values: Tensor) -> Tensor:
    """(N,) float64 sum of (B, L, C) over the numbers of each sample that are data."""
    return tokens.only_data(values.double()).flatten(1).sum(dim=1)

"""The bound of variational diffusion models, and the schedule that makes its estimate quiet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from beeline.core.conditions import Conditions
from beeline.core.data import Batch
from beeline.core.errors import UserError
from beeline.core.prediction import Prediction
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.model.build import build_objective
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.vdm import VDM, level_nll, spread_surrogate
from beeline.process.build import build_process
from beeline.process.config import ProcessConfig, TimeConfig
from beeline.process.sources import Gaussian
from beeline.process.vdm import LearnedLogSNR, LogSNR

BOUND = ObjectiveConfig("noise", loss="vlb", time=TimeConfig(draw="antithetic"), data_levels=2)


def level(gamma: Tensor) -> Tensor:
    """Half the squared error of a network that is worst at some noise."""
    return 0.02 + 0.4 * torch.exp(-((gamma - 2.0) / 3.0).square())


def path(seed: int = 0) -> LearnedLogSNR:
    """A schedule that is not linear."""
    process = LearnedLogSNR().double()
    with torch.no_grad():
        process.heights.copy_(0.1 * torch.randn(len(process.heights), generator=torch.Generator().manual_seed(seed)))
    return process


@dataclass(frozen=True)
class Coins:
    """The exact predictor of numbers that are -1 or 1: E[x0 | x_t] = tanh(alpha x_t / sigma^2)."""

    process: LogSNR

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        alpha, sigma = (x_t.expand(each(t.double())) for each in (self.process.alpha, self.process.sigma))
        x0 = torch.tanh(alpha * x_t.values / sigma.square())
        return Prediction(self.process, x_t, t, (x_t.values - alpha * x0) / sigma, "noise")


@dataclass(frozen=True)
class Missing:
    """A predictor that misses the noise by what ``level`` says."""

    process: LogSNR
    noise: Tensor
    size: nn.Parameter

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        miss = self.size * torch.sqrt(2.0 * level(self.process.gamma(t.double())))
        return Prediction(self.process, x_t, t, self.noise + x_t.expand(miss), "noise")


def coins(count: int, numbers: int = 1) -> Batch:
    sides = torch.randint(0, 2, (count, 1, numbers), generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    return Batch(Tokens(sides.double()), Conditions())


@pytest.mark.parametrize("process", [LogSNR(), path()], ids=["linear", "bent"])
def test_the_bound_of_the_exact_predictor_is_the_entropy_of_the_data(process: LogSNR) -> None:
    """A fair coin has one bit; in continuous time the exact predictor loses nothing, on any schedule."""
    batch, key = coins(10_000, 64), Key.range(0, 0, 10_000)
    objective = VDM(BOUND, process, Gaussian())
    with torch.no_grad():
        loss = objective(Coins(process), batch, key)
        terms = objective.terms(Coins(process), batch, key)
    assert loss.mean().item() == pytest.approx(1.0, abs=0.02)
    torch.testing.assert_close(sum(terms.values()), loss)
    assert terms["latent"].abs().max() < 1e-5
    assert terms["reconstruction"].abs().max() < 1e-5, "two levels lie far apart at the first noise"


def test_terms_of_the_ends_are_their_formulas() -> None:
    process = build_process(ProcessConfig(path="vdm", gamma_min=-4.0, gamma_max=3.0))
    assert isinstance(process, LogSNR)
    objective = VDM(ObjectiveConfig("noise", loss="vlb", data_levels=5), process, Gaussian())
    x = torch.tensor([-1.0, 0.5]).double().view(2, 1, 1)
    batch, key = Batch(Tokens(x), Conditions()), Key.range(3, 0, 2)
    terms = objective.terms(Coins(process), batch, key)
    sigma, alpha = torch.sigmoid(torch.tensor(3.0)).double(), torch.sigmoid(torch.tensor(-3.0)).double()
    latent = torch.distributions.kl_divergence(
        torch.distributions.Normal(alpha.sqrt() * x, sigma.sqrt().expand_as(x)),
        torch.distributions.Normal(torch.zeros_like(x), torch.ones_like(x)),
    )
    torch.testing.assert_close(terms["latent"], latent[:, 0, 0] / math.log(2), rtol=1e-5, atol=1e-6)
    ratio = math.exp(0.5 * (-4.0 + 7.0 * process.t_min))
    seen = x + ratio * Gaussian().sample(batch.tokens, key.fold("reconstruction"))
    shares = torch.softmax(-0.5 * ((seen - torch.linspace(-1, 1, 5).double()) / ratio).square(), dim=-1)
    expected = -torch.stack([shares[0, 0, 0], shares[1, 0, 3]]).log2()
    torch.testing.assert_close(terms["reconstruction"], expected, rtol=1e-5, atol=1e-6)


def test_what_is_trained_is_the_sum_of_the_terms() -> None:
    """Ends at which both known terms count; half the squared error is 0.32, and times fill [t_min, 1] alone."""
    process = LogSNR(-2.0, 1.0)
    objective = VDM(ObjectiveConfig("noise", loss="vlb", data_levels=5), process, Gaussian())
    batch, key = coins(6), Key.range(0, 0, 6)
    noise = Gaussian().sample(batch.tokens, batch.noise_key(key))

    def off(x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        return Prediction(process, x_t, t, noise + 0.8, "noise")

    terms = objective.terms(off, batch, key)
    expected = torch.full((6,), 3.0 * (1.0 - process.t_min) * 0.32 / math.log(2)).double()
    torch.testing.assert_close(terms["diffusion"].double(), expected, rtol=2e-7, atol=0)
    assert all((each > 1e-3).all() for each in terms.values())
    torch.testing.assert_close(objective(off, batch, key), sum(terms.values()))


@pytest.mark.parametrize(("levels", "deviation"), [(256, 1.3e-3), (256, 0.05), (17, 0.2), (2, 3.0)])
def test_levels_that_are_not_looked_at_have_no_share(levels: int, deviation: float) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.linspace(-1, 1, levels, dtype=torch.float64)
    place = torch.randint(0, levels, (200,), generator=generator)
    seen = values[place] + deviation * torch.randn(200, generator=generator, dtype=torch.float64)
    every = torch.log_softmax(-0.5 * ((seen[:, None] - values) / deviation).square(), dim=1)
    found = level_nll(values[place], seen, torch.full_like(seen, deviation), levels)
    torch.testing.assert_close(found, -every.gather(1, place[:, None])[:, 0], rtol=1e-9, atol=1e-12)


def test_the_surrogate_has_the_gradient_of_the_second_moment() -> None:
    """Against autograd through E[(gamma' h(gamma))^2], h known: its mean does not move, so this is the variance's."""
    process = path()
    t = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    ends = process.gamma(torch.tensor([process.t_min, 1.0], dtype=torch.float64)).detach()
    rate, h = process.gamma_derivative(t), level(process.gamma(t))
    (expected,) = torch.autograd.grad((rate * h).square().mean(), process.heights)
    (mean,) = torch.autograd.grad((process.gamma_derivative(t) * level(process.gamma(t))).mean(), process.heights)
    (found,) = torch.autograd.grad(spread_surrogate(process, t, h.detach()).mean(), process.heights)
    torch.testing.assert_close(found * (ends[1] - ends[0]).square(), expected, rtol=1e-4, atol=1e-4)
    assert mean.abs().max() < 1e-5 < expected.abs().max()


def test_a_learned_schedule_quiets_the_loss_and_leaves_the_bound_alone() -> None:
    """A third of the standard deviation of the linear schedule, at the same mean; the network's gradient is its own."""
    process, count = LearnedLogSNR(), 256
    assert isinstance(build_objective(BOUND, process, Gaussian()), VDM)
    objective = VDM(BOUND, process, Gaussian())
    optimiser = torch.optim.Adam(process.parameters(), lr=0.02)
    batch, size = coins(count), nn.Parameter(torch.ones(()))

    def losses(step: int) -> Tensor:
        key = Key.range(0, step * count, count)
        noise = Gaussian().sample(batch.tokens, key.fold("noise"))
        return objective(Missing(process, noise, size), batch, key)

    before = torch.cat([losses(step).detach() for step in range(20)])
    for step in range(150):
        optimiser.zero_grad()
        loss = losses(step)
        loss.mean().backward()
        if step == 0:
            bound = losses(step)
            assert torch.equal(bound, loss), "the value is the bound"
            twice = 2 * (bound - sum(objective._of_the_ends(batch, Key.range(0, 0, count)).values())).detach().mean()
            torch.testing.assert_close(size.grad, twice.to(size.dtype), rtol=1e-5, atol=0)
            assert process.heights.grad is not None
            assert process.heights.grad.norm() < 1.0, "leaves clipping to the network"
        optimiser.step()
    after = torch.cat([losses(step).detach() for step in range(20)])
    assert after.std() < before.std() / 3
    assert after.mean().item() == pytest.approx(before.mean().item(), rel=0.01)
    ends = process.gamma(torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(ends, torch.tensor([-13.3, 13.0]), rtol=1e-5, atol=0)


def test_only_the_bound_trains_a_path() -> None:
    with pytest.raises(UserError, match=r"process\.log_snr learned: is learned by objective\.loss vlb, not by mse"):
        build_objective(ObjectiveConfig("noise"), LearnedLogSNR(), Gaussian())
    with pytest.raises(UserError, match=r"objective\.prediction score: noise cannot be read from it at every time"):
        build_objective(ObjectiveConfig("score", loss="vlb"), LogSNR(), Gaussian())


@pytest.mark.parametrize(
    ("path", "options", "option"), [("vdm", {"loss": "vlb"}, "loss vlb"), ("ddpm", {"variance": "learned"}, "variance")]
)
def test_what_rests_on_gaussian_noise_is_refused_to_a_population(path: Any, options: Any, option: str) -> None:
    process = build_process(ProcessConfig(path=path, source="population"))
    with pytest.raises(UserError, match=rf"objective\.{option}.*: rests on Gaussian noise, and process\.source popul"):
        build_objective(ObjectiveConfig("noise", **options), process, Gaussian())

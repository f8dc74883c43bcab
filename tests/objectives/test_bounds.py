"""The whole bound of DDPM against torch's own divergences, and against the entropy of data on levels."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from beeline.core.conditions import Conditions
from beeline.core.data import Batch
from beeline.core.prediction import Prediction
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.objectives.bounds import BoundTerms, ContinuousBound, DiscreteBound, build_bound
from beeline.objectives.config import ObjectiveConfig
from beeline.process.ddpm import DiscreteDDPM
from beeline.process.linear import Linear
from beeline.process.sources import Gaussian
from beeline.process.vdm import LogSNR
from beeline.samplers.mixture import MixturePredictor
from tests.peers import levels_of
from tests.samplers.exact import gaussian

MEAN, SD = 0.1, 0.2
LEVELS = torch.arange(256, dtype=torch.float64) / 127.5 - 1
EDGES = (torch.arange(257, dtype=torch.float64) - 0.5) / 127.5 - 1


@dataclasses.dataclass(frozen=True)
class Learned:
    """The exact predictor of Gaussian data as a network with a learned variance says it."""

    exact: MixturePredictor
    share: float

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        noise = self.exact(x_t, t, conditions).e
        variance = torch.full_like(noise, 2 * self.share - 1)
        return Prediction(self.exact.process, x_t, t, noise, "noise", variance)


def bound_of(process: DiscreteDDPM, x: Tensor, share: float = 1.0) -> BoundTerms:
    predictor = Learned(gaussian(process, MEAN, SD), share)
    data = Batch(Tokens(x[:, None, None]), Conditions())
    return DiscreteBound(process, Gaussian())(predictor, data, Key.range(0, 0, len(x)))


def test_its_terms_are_those_of_an_independent_computation() -> None:
    """The chain written with betas and torch's distributions, on the same noise."""
    process, share = levels_of(schedule="cosine", levels=12), 0.3
    x = LEVELS[::15]
    found = bound_of(process, x, share)
    nodes = process.alpha(torch.arange(13, dtype=torch.float64) / 12).square()
    betas = 1 - nodes[1:] / nodes[:-1]
    tilde = betas * (1 - nodes[:-1]) / (1 - nodes[1:])
    tilde[0] = tilde[1]
    steps = torch.zeros_like(x)
    for n in range(12):
        noise = Gaussian().sample(Tokens(x[:, None, None]), Key.range(0, 0, len(x)).fold("bound", n))[:, 0, 0]
        noisy = nodes[n + 1].sqrt() * x + (1 - nodes[n + 1]).sqrt() * noise
        gain = nodes[n + 1].sqrt() * SD**2 / (nodes[n + 1] * SD**2 + 1 - nodes[n + 1])
        expected = MEAN + gain * (noisy - nodes[n + 1].sqrt() * MEAN)
        factor = (
            betas[n] / (1 - nodes[n + 1]) * nodes[n].sqrt(),
            (1 - nodes[n]) / (1 - nodes[n + 1]) * (1 - betas[n]).sqrt(),
        )
        model = Normal(factor[0] * expected + factor[1] * noisy, (betas[n] ** share * tilde[n] ** (1 - share)).sqrt())
        if n:
            truth = Normal(factor[0] * x + factor[1] * noisy, tilde[n].sqrt())
            steps += kl_divergence(truth, model)
        else:
            low = torch.where(x < -0.999, torch.zeros_like(x), model.cdf(x - 1 / 255))
            high = torch.where(x > 0.999, torch.ones_like(x), model.cdf(x + 1 / 255))
            first = -(high - low).log()
    prior = kl_divergence(Normal(nodes[12].sqrt() * x, (1 - nodes[12]).sqrt()), Normal(0.0, 1.0))
    nats = [each * math.log(2) for each in (found.prior, found.steps, found.first)]
    assert torch.allclose(nats[0], prior, atol=1e-12)
    assert torch.allclose(nats[1], steps, rtol=1e-6)
    probable = first < 5  # beyond, Page's cumulative normal is off by more than the probability itself
    assert probable.sum() > 8
    assert torch.allclose(nats[2][probable], first[probable], rtol=0.02, atol=2e-3)
    assert torch.equal(found.total, found.prior + found.steps + found.first)


def test_the_levels_of_the_data_count_in_the_first_term_alone() -> None:
    process = levels_of(schedule="cosine", levels=6)
    predictor, x = Learned(gaussian(process, MEAN, SD), 0.5), torch.tensor([-1.0, -0.5, 0.5, 1.0]).double()
    data = Batch(Tokens(x[:, None, None]), Conditions())
    few, many = (DiscreteBound(process, Gaussian(), count)(predictor, data, Key.range(0, 0, 4)) for count in (5, 256))
    assert (few.first < many.first).all(), "five levels are told apart with more ease than 256"
    assert torch.equal(few.steps, many.steps)
    assert torch.equal(few.prior, many.prior)


def test_it_is_an_upper_bound_that_many_levels_bring_close() -> None:
    """Of Gaussian data on 256 levels with its exact predictor: above the entropy, nearer to it with every step more."""
    probability = Normal(MEAN, SD).cdf(EDGES).diff()
    seen = probability > 1e-7
    probability = probability[seen] / probability[seen].sum()
    entropy = -(probability * probability.log2()).sum().item()
    bits = []
    for levels in (10, 40, 200):
        totals = bound_of(levels_of(schedule="cosine", levels=levels), LEVELS[seen].repeat(5)).total
        bits.append((probability.repeat(5) * totals).sum().item() / 5)
    assert entropy == pytest.approx(6.73, abs=0.05)
    assert bits[0] > bits[1] > bits[2] > entropy
    assert bits[2] < entropy + 0.1


def test_the_bound_in_continuous_time_is_that_of_training_in_the_mean_and_close_to_the_entropy() -> None:
    """VDM with the exact predictor: what is left between bound and entropy is what levels lose; items stay items."""
    probability = Normal(MEAN, SD).cdf(EDGES).diff()
    process = LogSNR(-9.0, 8.0)
    bound = build_bound(ObjectiveConfig(prediction="noise", loss="vlb"), process, Gaussian())
    assert isinstance(bound, ContinuousBound)
    x = LEVELS[probability > 1e-4].repeat(3)
    weights = probability[probability > 1e-4].repeat(3) / (3 * probability[probability > 1e-4].sum())
    known = gaussian(process, MEAN, SD)
    dropping = Conditions(
        {"label": torch.zeros(len(x))}, {"label": torch.zeros(len(x), dtype=torch.bool)}, {"label": 1.0}
    )

    def predictor(x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        assert not any(null.any() for null in conditions.null.values()), "a bound drops no condition"
        return known(x_t, t, Conditions())

    terms = bound(predictor, Batch(Tokens(x[:, None, None]), dropping), Key.range(0, 0, len(x)))
    entropy = -(probability * probability.clamp(min=1e-300).log2()).sum().item()
    spread = terms.total.view(3, -1).var(dim=0).repeat(3)
    bits, error = (weights * terms.total).sum().item(), (weights.square() * spread).sum().sqrt().item()
    assert error < 0.05
    assert entropy - 4 * error < bits < entropy + 0.1 + 4 * error
    last = bound(predictor, Batch(Tokens(x[:2, None, None]), dropping.rows(torch.arange(2))), Key.range(0, 0, 2))
    assert torch.allclose(last.total, terms.total[:2], atol=1e-9)


def test_samples_are_independent_and_numbers_that_are_no_data_count_nowhere() -> None:
    process = levels_of(schedule="cosine", levels=6)
    x = LEVELS[::50]
    whole, last = bound_of(process, x).total, bound_of(process, x[:2]).total
    assert torch.allclose(whole[:2], last, atol=1e-12)
    cells = torch.zeros(len(x), 3, 1, dtype=torch.bool)
    cells[:, 0] = True
    padded = Tokens(torch.nn.functional.pad(x[:, None, None], (0, 0, 0, 2)), cells=cells)

    class Each(Learned):
        def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
            said = super().__call__(Tokens(x_t.values[:, :1]), t, conditions)
            values = [
                torch.nn.functional.pad(each, (0, 0, 0, 2)) for each in (said.output, said.variance) if each is not None
            ]
            return Prediction(said.process, x_t, t, values[0], "noise", values[1])

    known = Each(gaussian(process, MEAN, SD), 1.0)
    found = DiscreteBound(process, Gaussian())(known, Batch(padded, Conditions()), Key.range(0, 0, len(x))).total
    assert torch.allclose(found, whole, atol=1e-12)


def test_an_objective_without_a_bound_has_none() -> None:
    learned = ObjectiveConfig(prediction="noise", variance="learned")
    process = levels_of()
    assert isinstance(build_bound(learned, process, Gaussian()), DiscreteBound)
    assert build_bound(ObjectiveConfig(prediction="noise"), process, Gaussian()) is None
    assert build_bound(ObjectiveConfig(prediction="noise"), LogSNR(), Gaussian()) is None
    assert build_bound(ObjectiveConfig(), Linear(), Gaussian()) is None

"""Weightings of the error over time, and the one that is learned."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from beeline.core.conditions import Conditions
from beeline.core.data import Batch
from beeline.core.prediction import Prediction
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.flow import Flow
from beeline.objectives.weights import LogVariance, TimeWeight
from beeline.process.config import TimeConfig
from beeline.process.linear import Linear
from beeline.process.sources import Gaussian
from beeline.process.vp import VariancePreserving

TIMES = torch.linspace(0.02, 0.98, 25, dtype=torch.float64)


@pytest.mark.parametrize("path", [Linear(), VariancePreserving()], ids=["linear", "vp"])
def test_weightings_are_those_of_their_papers(path: Any) -> None:
    """Of the data min(SNR, 5), max(SNR, 1) and SNR, of the noise the same over SNR, of the score sigma^2."""
    snr = (path.alpha(TIMES) / path.sigma(TIMES)).square()
    of_data = {"snr": snr, "min_snr": snr.clamp(max=5.0), "truncated_snr": snr.clamp(min=1.0)}
    for name, expected in of_data.items():
        weighting: Any = name
        torch.testing.assert_close(TimeWeight(ObjectiveConfig("data", weighting), path)(TIMES), expected)
        torch.testing.assert_close(TimeWeight(ObjectiveConfig("noise", weighting), path)(TIMES), expected / snr)
        score = expected / snr * path.sigma(TIMES).square()
        torch.testing.assert_close(TimeWeight(ObjectiveConfig("score", weighting), path)(TIMES), score)
        ratio = path.determinant(TIMES, "velocity").square() / path.sigma(TIMES).square()
        velocity = TimeWeight(ObjectiveConfig("velocity", weighting), path)(TIMES)
        torch.testing.assert_close(velocity, expected / ratio)
    for name in ("uniform", "learned"):
        weighting = name
        assert torch.equal(TimeWeight(ObjectiveConfig("v", weighting), path)(TIMES), torch.ones_like(TIMES))


def test_e21_rectified_flow_has_a_density_of_times_and_a_weighting() -> None:
    """E21: "no schedules, uniform weighting" is a choice of both: another density and weighting, another objective."""
    key, path = Key.range(0, 0, 2000), Linear()
    even = Flow(ObjectiveConfig(weighting="uniform"), path, Gaussian())
    times = TimeConfig(density="logit_normal")
    middle = Flow(ObjectiveConfig(weighting="snr", time=times), path, Gaussian())
    assert even.times(key).var().item() == pytest.approx(1 / 12, rel=0.05)
    assert middle.times(key).var().item() < 0.9 / 12
    t = torch.tensor([0.1, 0.9])
    assert torch.equal(even.regression.weight(t), torch.ones(2))
    torch.testing.assert_close(middle.regression.weight(t), (1 - t) ** 2)


def test_a_learned_weighting_finds_the_mean_loss_of_every_time() -> None:
    """L / exp(u) + u is smallest at u = log E[L]; then every time counts alike."""
    learned = LogVariance()
    t = torch.linspace(0, 1, 256)
    mean = 0.6 - 0.5 * torch.cos(3 * math.pi * t)
    assert torch.equal(learned(t), torch.zeros_like(t))
    optimiser = torch.optim.LBFGS(learned.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        weighted = learned.weighted(mean, t)
        assert torch.equal(weighted, mean), "the value is the plain loss"
        weighted.sum().backward()
        u = learned(t).detach()
        return (mean * torch.exp(-u) + u).sum()

    optimiser.step(closure)
    torch.testing.assert_close(learned(t), mean.log(), atol=0.02, rtol=0)


def test_a_learned_weighting_scales_gradients_and_not_values() -> None:
    values = torch.full((64, 2, 1), 0.5, requires_grad=True)
    batch, key = Batch(Tokens(torch.zeros(64, 2, 1)), Conditions()), Key.range(0, 0, 64)

    def predictor(x_t: Tokens, t: torch.Tensor, conditions: Conditions) -> Prediction:
        return Prediction(Linear(), x_t, t, values, "velocity")

    plain = Flow(ObjectiveConfig(), Linear(), Gaussian())
    learned = Flow(ObjectiveConfig(weighting="learned"), Linear(), Gaussian())
    assert plain.learned is None
    assert learned.learned is not None
    with torch.no_grad():
        learned.learned.coefficients[0] = 1.5
    losses = [each(predictor, batch, key) for each in (plain, learned)]
    assert torch.equal(*losses)
    gradients = [torch.autograd.grad(loss.sum(), values)[0] for loss in losses]
    torch.testing.assert_close(gradients[1], gradients[0] * torch.exp(torch.tensor(-1.5)))

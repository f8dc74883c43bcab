"""The exact predictor against numerical integration and autograd: the yardstick itself is measured."""

from __future__ import annotations

import pytest
import torch

from beeline.core.conditions import Conditions
from beeline.core.tokens import Tokens
from beeline.process.linear import Linear
from beeline.process.path import GaussianPath
from beeline.process.vp import VariancePreserving
from beeline.samplers.mixture import MixturePredictor

PATHS = [Linear(), VariancePreserving()]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("t", [0.05, 0.5, 0.95])
def test_expectations_equal_numerical_integration(path: GaussianPath, t: float) -> None:
    weights = torch.tensor([0.25, 0.75], dtype=torch.float64)
    means, sds = torch.tensor([-1.5, 2.0], dtype=torch.float64), torch.tensor([0.4, 0.9], dtype=torch.float64)
    predictor = MixturePredictor(path, weights, means[:, None], sds[:, None, None] ** 2)
    x0 = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    prior = (weights * torch.exp(-0.5 * ((x0[:, None] - means) / sds) ** 2) / sds).sum(1)
    time = torch.tensor([t], dtype=torch.float64)
    alpha, sigma = path.alpha(time), path.sigma(time)
    for x_t in (-2.0, 0.1, 1.7):
        likelihood = prior * torch.exp(-0.5 * ((x_t - alpha * x0) / sigma) ** 2)
        expected = (likelihood * x0).sum() / likelihood.sum()
        prediction = predictor(Tokens(torch.full((1, 1, 1), x_t, dtype=torch.float64)), time, Conditions())
        assert prediction.x0.item() == pytest.approx(expected.item(), rel=1e-6)
        assert prediction.e.item() == pytest.approx(((x_t - alpha * expected) / sigma).item(), rel=1e-5)


def test_the_straight_path_is_exact_at_both_ends() -> None:
    predictor = MixturePredictor(
        Linear(),
        torch.ones(1, dtype=torch.float64),
        torch.tensor([[2.0, -1.0]], dtype=torch.float64),
        torch.diag_embed(torch.tensor([[0.25, 1.0]], dtype=torch.float64)),
    )
    x = torch.tensor([[[0.7, 0.2]]], dtype=torch.float64)
    at_data = predictor(Tokens(x), torch.zeros(1, dtype=torch.float64), Conditions())
    torch.testing.assert_close(at_data.x0, x)
    torch.testing.assert_close(at_data.velocity, -x)
    at_noise = predictor(Tokens(x), torch.ones(1, dtype=torch.float64), Conditions())
    torch.testing.assert_close(at_noise.x0, predictor.means[None])
    torch.testing.assert_close(at_noise.e, x)


def test_a_known_component_is_used_and_an_absent_one_is_not() -> None:
    predictor = MixturePredictor(
        Linear(),
        torch.tensor([0.5, 0.5], dtype=torch.float64),
        torch.tensor([[-4.0], [4.0]], dtype=torch.float64),
        torch.full((2, 1, 1), 0.01, dtype=torch.float64),
    )
    x = Tokens(torch.zeros(3, 1, 1, dtype=torch.float64))
    conditions = Conditions({"component": torch.tensor([0, 1, 1])}, {"component": torch.tensor([False, False, True])})
    x0 = predictor(x, torch.full((3,), 0.9, dtype=torch.float64), conditions).x0.flatten()
    torch.testing.assert_close(x0, torch.tensor([-4.0, 4.0, 0.0], dtype=torch.float64), rtol=0, atol=0.05)

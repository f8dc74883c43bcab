"""The objective's value, weights and draws, against closed forms."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from beeline.core.batching import collate, pack
from beeline.core.conditions import Conditions
from beeline.core.data import Batch
from beeline.core.errors import UserError
from beeline.core.prediction import Prediction
from beeline.core.protocols import Process
from beeline.core.random import Key
from beeline.core.tokens import Layout, Tokens
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.flow import Flow
from beeline.process.bridge import Bridge
from beeline.process.config import TimeConfig
from beeline.process.linear import Linear
from beeline.process.path import PREDICTIONS, GaussianPath
from beeline.process.sources import Gaussian
from beeline.process.vp import VariancePreserving
from beeline.samplers.mixture import MixturePredictor

PATHS = [Linear(), VariancePreserving()]


@dataclass
class Saying:
    """A predictor that says the same of every number, and remembers what it was asked."""

    process: Process
    kind: str
    value: float = 0.0
    asked: tuple[Tokens, Tensor, Conditions] | None = None

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        self.asked = (x_t, t, conditions)
        return Prediction(self.process, x_t, t, torch.full_like(x_t.values, self.value), self.kind)


def batch(count: int = 6, length: int = 3) -> Batch:
    values = torch.randn(count, length, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    label = torch.zeros(count, dtype=torch.long)
    conditions = Conditions({"label": label}, {"label": label.bool()}, {"label": 0.5})
    return Batch(Tokens(values, layout=(Layout((length,), (length,)),) * count), conditions)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("path", PATHS)
def test_the_loss_is_the_squared_error_of_the_prediction(path: GaussianPath, prediction: Any) -> None:
    objective = Flow(ObjectiveConfig(prediction, "uniform"), path, Gaussian())
    key, data = Key.range(3, 40, 6), batch()
    predictor = Saying(path, prediction, 0.3)
    loss = objective(predictor, data, key)
    assert predictor.asked is not None
    x_t, t, _ = predictor.asked
    noise = Gaussian().sample(data.tokens, key.fold("noise"))
    assert torch.equal(t, objective.times(key))
    torch.testing.assert_close(x_t.values, path.mix(data.tokens, noise, t).values)
    a, b = (c.view(-1, 1, 1) for c in path.coefficients(t, prediction))
    expected = (0.3 - a * data.tokens.values - b * noise).square().mean(dim=(1, 2))
    torch.testing.assert_close(loss, expected, check_dtype=False)


@pytest.mark.parametrize("path", PATHS)
def test_snr_weighting_counts_the_error_of_the_noise_in_every_prediction(path: GaussianPath) -> None:
    """One x_t, one wrong answer, rewritten as each prediction: all losses must agree."""
    key, data = Key.range(0, 0, 6), batch()
    times = TimeConfig(shift=0.5)

    def loss(kind: Any, weighting: Any) -> Tensor:
        objective = Flow(ObjectiveConfig(kind, weighting, times), path, Gaussian())
        # One set of times for all: the intervals of the predictions differ slightly.
        objective.density.interval = (0.05, 0.95)

        def wrong(x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
            noise = Gaussian().sample(data.tokens, key.fold("noise")) + 0.1
            return Prediction(path, x_t, t, path.convert(noise, x_t, t, "noise", kind), kind)

        return objective(wrong, data, key)

    for kind in PREDICTIONS:
        torch.testing.assert_close(
            loss(kind, "snr"), torch.full((6,), 0.01, dtype=torch.float64), check_dtype=False, rtol=1e-4, atol=0
        )
    t = Flow(ObjectiveConfig(time=times), path, Gaussian())
    t.density.interval = (0.05, 0.95)
    time = t.times(key)
    snr = (path.alpha(time) / path.sigma(time)).square()
    for kind in PREDICTIONS:
        expected = 0.01 * torch.clamp(snr, max=5.0) / snr
        torch.testing.assert_close(loss(kind, "min_snr"), expected, check_dtype=False, rtol=1e-4, atol=0)


def test_the_exact_predictor_cannot_be_beaten() -> None:
    """The conditional expectation minimises the loss: any other answer is worse, by the square of the difference."""
    path = Linear()
    exact = MixturePredictor(
        path,
        torch.ones(1, dtype=torch.float64),
        torch.zeros(1, 1, dtype=torch.float64),
        torch.ones(1, 1, 1, dtype=torch.float64),
    )
    count = 20_000
    data = Batch(
        Tokens(torch.randn(count, 1, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)), Conditions()
    )
    objective, key = Flow(ObjectiveConfig(), path, Gaussian()), Key.range(0, 0, count)

    def biased(x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        prediction = exact(x_t, t.double(), conditions)
        return replace(prediction, output=prediction.output + 0.2)

    def honest(x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        return exact(x_t, t.double(), conditions)

    best, other = objective(honest, data, key).mean(), objective(biased, data, key).mean()
    assert (other - best).item() == pytest.approx(0.04, abs=0.01)
    # For N(0, 1): Var(e - x0 | x_t) = 1 / (t^2 + (1 - t)^2), whose mean over t is pi / 2.
    assert best.item() == pytest.approx(torch.pi / 2, rel=0.03)


def test_losses_and_draws_do_not_depend_on_padding_packing_or_batch() -> None:
    path = Linear()
    samples = [
        Tokens(
            torch.randn(1, length, 2, generator=torch.Generator().manual_seed(length)),
            layout=(Layout((length,), (length,)),),
        )
        for length in (3, 5, 2)
    ]
    objective = Flow(ObjectiveConfig(), path, Gaussian())

    def losses(join: Any, chosen: list[int]) -> Tensor:
        data = Batch(join([samples[i] for i in chosen], 8), Conditions())
        return objective(Saying(path, "velocity", 0.5), data, Key(0, torch.tensor(chosen)))

    padded = losses(collate, [0, 1, 2])
    torch.testing.assert_close(losses(pack, [0, 1, 2]), padded)
    torch.testing.assert_close(losses(collate, [2]), padded[2:])


def test_conditions_are_dropped_at_their_rate_in_training() -> None:
    path, count = Linear(), 4000
    predictor, dropped = Saying(path, "velocity"), []
    label = torch.zeros(count, dtype=torch.long)
    data = Batch(
        Tokens(torch.zeros(count, 1, 1)), Conditions({"label": label}, {"label": label.bool()}, {"label": 0.1})
    )
    for seed in (0, 1):
        Flow(ObjectiveConfig(), path, Gaussian())(predictor, data, Key.range(seed, 0, count))
        assert predictor.asked is not None
        dropped.append(predictor.asked[2].null["label"])
        assert dropped[-1].double().mean().item() == pytest.approx(0.1, abs=0.02)
    assert not torch.equal(*dropped), "another seed drops others"


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_auto_weighting_is_even_save_for_the_score_which_it_weights_by_sigma_squared(prediction: Any) -> None:
    t = torch.linspace(0.05, 0.95, 7)
    weight = Flow(ObjectiveConfig(prediction), Linear(), Gaussian()).regression.weight(t)
    torch.testing.assert_close(weight, t.square() if prediction == "score" else torch.ones_like(t))


def test_unknown_weightings_are_told() -> None:
    with pytest.raises(UserError, match="did you mean 'min_snr'"):
        Flow(ObjectiveConfig(weighting="minsnr"), Linear(), Gaussian())  # type: ignore[arg-type]


@pytest.mark.parametrize(("prediction", "ends"), [("noise", (0.0, 0.98)), ("data", (0.02, 1.0))])
def test_times_are_those_at_which_the_prediction_says_something(prediction: Any, ends: tuple[float, float]) -> None:
    times = Flow(ObjectiveConfig(prediction), Linear(), Gaussian()).times(Key.range(0, 0, 4000)).double()
    assert ends[0] - 1e-6 <= times.min() < ends[0] + 2e-3
    assert ends[1] - 2e-3 < times.max() <= ends[1] + 1e-6


def test_on_a_bridge_the_target_knows_where_each_sample_ends() -> None:
    """The velocity of (1 - u) x0 + u y + sigma e, u = sin^2(pi t / 2), is u' (y - x0) + sigma' e."""
    path, data, key = Bridge("other"), batch(), Key.range(1, 0, 6)
    other = torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    conditions = Conditions({"other": other}, {"other": torch.zeros(6, dtype=torch.bool)}, {"other": 0.0})
    objective = Flow(ObjectiveConfig(), path, Gaussian())
    loss = objective(Saying(path, "velocity"), replace(data, conditions=conditions), key)
    noise, t = Gaussian().sample(data.tokens, key.fold("noise")), objective.times(key).double()[:, None, None]
    pace = 0.5 * math.pi * torch.sin(math.pi * t)
    expected = pace * (other - data.tokens.values) + 0.5 * math.pi * torch.cos(math.pi * t) * noise
    torch.testing.assert_close(loss, expected.square().mean(dim=(1, 2)), check_dtype=False, rtol=1e-5, atol=0)

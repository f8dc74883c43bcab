"""Guidance: 1 is off, the formula is u + s (c - u), and it costs two passes in one batch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.protocols import Predictor
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.linear import Linear
from beeline.samplers.grids import build_grid
from beeline.samplers.guidance import Guided
from beeline.samplers.heun import Heun
from beeline.samplers.mixture import MixturePredictor
from beeline.samplers.solve import sample


def two_gaussians() -> MixturePredictor:
    """Conditional N(2, 0.5^2); the whole is N(0, 1.2^2) by a component that stands for it."""
    return MixturePredictor(
        Linear(),
        torch.tensor([1.0, 0.0], dtype=torch.float64),
        torch.tensor([[0.0], [2.0]], dtype=torch.float64),
        torch.tensor([[[1.44]], [[0.25]]], dtype=torch.float64),
    )


@dataclass
class Conditional:
    """N(2, 0.5^2) where the condition is known, N(0, 1.2^2) where it is not."""

    calls: list[int] = field(default_factory=list)

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        self.calls.append(x_t.samples)
        whole = two_gaussians()
        one, other = (
            MixturePredictor(
                Linear(), torch.ones(1, dtype=torch.float64), whole.means[k : k + 1], whole.covariances[k : k + 1]
            )(x_t, t, Conditions())
            for k in (0, 1)
        )
        null = conditions.null["label"][:, None, None]
        return replace(one, output=torch.where(null, one.output, other.output))


def labels(count: int) -> Conditions:
    return Conditions(
        {"label": torch.zeros(count, dtype=torch.long)},
        {"label": torch.zeros(count, dtype=torch.bool)},
        {"label": 0.1},
    )


def moments(predictor: Predictor, steps: int = 200) -> tuple[float, float]:
    """Mean and deviation of the samples: the flow of Gaussians is affine, so two points suffice."""
    start = Tokens(torch.tensor([0.0, 1.0], dtype=torch.float64)[:, None, None])
    times = build_grid("uniform", steps, (0.0, 1.0))
    end = sample(Heun(), predictor, start, times, labels(2), Key.range(0, 0, 2)).x.values.flatten()
    return end[0].item(), (end[1] - end[0]).item()


def test_e19_scale_one_is_off_and_the_others_are_measured() -> None:
    """E19: s = 1 gives the conditional; s = 0 the unconditional; s = 2 ends at 2.58 and 0.208 (facts, section 1)."""
    assert moments(Guided(Conditional(), 1.0)) == (pytest.approx(2.0, abs=1e-3), pytest.approx(0.5, abs=1e-3))
    assert moments(Guided(Conditional(), 0.0)) == (pytest.approx(0.0, abs=1e-3), pytest.approx(1.2, abs=1e-3))
    assert moments(Guided(Conditional(), 2.0)) == (pytest.approx(2.58, abs=5e-3), pytest.approx(0.208, abs=1e-3))


def test_e19_the_other_convention_is_one_less() -> None:
    """E19: (1 + w) c - w u is u + s (c - u) with s = 1 + w."""
    x, t = Tokens(torch.tensor([[[0.3]]], dtype=torch.float64)), torch.tensor([0.6], dtype=torch.float64)
    c = Conditional()(x, t, labels(1)).velocity
    u = Conditional()(x, t, labels(1).absent()).velocity
    w = 1.7
    torch.testing.assert_close(Guided(Conditional(), 1 + w)(x, t, labels(1)).velocity, (1 + w) * c - w * u)


def test_a_guided_evaluation_is_one_batch_of_twice_the_samples_and_counts_two_passes() -> None:
    predictor = Conditional()
    x = Tokens(torch.zeros(3, 1, 1, dtype=torch.float64))
    prediction = Guided(predictor, 3.0)(x, torch.full((3,), 0.5, dtype=torch.float64), labels(3))
    assert predictor.calls == [6]
    assert prediction.passes == 2
    assert prediction.output.shape == (3, 1, 1)
    state = sample(
        Heun(), Guided(Conditional(), 3.0), x, build_grid("uniform", 5, (0.0, 1.0)), labels(3), Key.range(0, 0, 3)
    )
    assert state.passes == 20


def test_e19_channels_left_out_keep_the_conditional_prediction() -> None:
    """E19: the official DiT guides three channels of four; here that is an option."""

    def predictor(x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        output = torch.where(conditions.null["label"][:, None, None], 1.0, 2.0).expand_as(x_t.values)
        return Prediction(Linear(), x_t, t, output, "velocity")

    x = Tokens(torch.zeros(1, 2, 4))
    guided = torch.tensor([True, True, True, False]).view(1, 1, 4)
    output = Guided(predictor, 4.0, guided)(x, torch.tensor([0.5]), labels(1)).output
    assert output[0, 0].tolist() == [5.0, 5.0, 5.0, 2.0]


def test_a_learned_variance_is_the_conditional_one() -> None:
    def predictor(x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        variance = torch.where(conditions.null["label"][:, None, None], 1.0, 2.0)
        return Prediction(Linear(), x_t, t, torch.zeros_like(x_t.values), "velocity", variance)

    x = Tokens(torch.zeros(3, 1, 1))
    variance = Guided(predictor, 4.0)(x, torch.full((3,), 0.5), labels(3)).variance
    assert variance is not None
    assert variance.flatten().tolist() == [2.0] * 3


def test_guidance_means_the_same_in_every_prediction() -> None:
    path = Linear()
    x, t = Tokens(torch.tensor([[[0.3]]], dtype=torch.float64)), torch.tensor([0.6], dtype=torch.float64)

    @dataclass
    class As:
        kind: str

        def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
            prediction = Conditional()(x_t, t, conditions)
            return Prediction(path, x_t, t, prediction.as_kind(self.kind), self.kind)

    expected = Guided(As("velocity"), 2.5)(x, t, labels(1)).velocity
    for kind in ("noise", "data", "score", "v"):
        torch.testing.assert_close(Guided(As(kind), 2.5)(x, t, labels(1)).velocity, expected)


def test_conditions_without_a_null_are_kept_on_both_sides() -> None:
    conditions = Conditions(
        {"label": torch.zeros(1), "map": torch.zeros(1)},
        {"label": torch.tensor([False]), "map": torch.tensor([False])},
        {"label": 0.1, "map": 0.0},
    )
    absent = conditions.absent()
    assert absent.null["label"].all()
    assert not absent.null["map"].any()

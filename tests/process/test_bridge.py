"""A path that ends at something known: its ends, its offset in each prediction, and its condition dropped or not."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.build import build_process
from beeline.process.config import ProcessConfig
from beeline.process.path import PREDICTIONS
from beeline.process.sources import Gaussian

NOISES = [1.0, 0.3]


def bridge(noise: float = 1.0, shift: float = 1.0) -> Any:
    return build_process(ProcessConfig(path="bridge", end="map", bridge_noise=noise, time_shift=shift))


def setting(path: Any) -> tuple[Tokens, Tensor, Tensor, Tensor]:
    """x0 placed on the bridge, its end y, noise and times."""
    generator = torch.Generator().manual_seed(0)
    x0, y, e = (torch.randn(8, 3, 2, generator=generator, dtype=torch.float64) for _ in range(3))
    conditions = Conditions({"map": y}, {"map": torch.zeros(8, dtype=torch.bool)}, {"map": 0.5})
    t = torch.linspace(0.1, 0.9, 8, dtype=torch.float64)
    return path.placed(Tokens(x0), conditions), y, e, t


def test_both_ends_are_met() -> None:
    path = bridge()
    x0, y, e, _ = setting(path)
    zero = torch.zeros(8, dtype=torch.float64)
    assert torch.equal(path.mix(x0, e, zero).values, x0.values)
    torch.testing.assert_close(path.mix(x0, e, zero + 1).values, y, rtol=0, atol=1e-15)
    middle = 0.5 * (x0.values + y + e)
    torch.testing.assert_close(path.mix(x0, e, zero + 0.5).values, middle, rtol=0, atol=1e-14)
    assert path.known_end == "map"
    assert path.is_gaussian


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("noise", NOISES)
def test_the_velocity_is_the_derivative_of_the_path(noise: float, shift: float) -> None:
    path = bridge(noise, shift)
    x0, _, e, t = setting(path)
    step = 1e-6
    slope = (path.mix(x0, e, t + step).values - path.mix(x0, e, t - step).values) / (2 * step)
    torch.testing.assert_close(path.target(x0, e, t, "velocity"), slope, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(path.target(x0, e, t, "velocity_to_data"), -slope, rtol=1e-7, atol=1e-7)


def test_other_predictions_do_not_know_the_end() -> None:
    path = bridge(0.3)
    x0, _, e, t = setting(path)
    alpha, sigma = (each(t)[:, None, None] for each in (path.alpha, path.sigma))
    size = torch.sqrt(sigma**2 + 0.25 * alpha**2)
    for kind, expected in (
        ("data", x0.values),
        ("noise", e),
        ("score", -e / sigma),
        ("v", alpha * e - sigma * x0.values),
        ("edm", (2 * sigma * x0.values - 0.5 * alpha * e) / size),
    ):
        torch.testing.assert_close(path.target(x0, e, t, kind), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("source", PREDICTIONS)
@pytest.mark.parametrize(("noise", "shift"), [(1.0, 1.0), (0.3, 1.0), (1.0, 3.0)])
def test_every_prediction_converts_to_every_other(noise: float, shift: float, source: str) -> None:
    path = bridge(noise, shift)
    x0, _, e, t = setting(path)
    x_t, y = path.mix(x0, e, t), path.target(x0, e, t, source)
    for target in PREDICTIONS:
        wanted = path.target(x0, e, t, target)
        torch.testing.assert_close(path.convert(y, x_t, t, source, target), wanted, rtol=1e-8, atol=1e-8)
    prediction = Prediction(path, x_t, t, y, source)
    torch.testing.assert_close(prediction.x0, x0.values, rtol=1e-8, atol=1e-8)


def test_a_dropped_condition_still_ends_the_path() -> None:
    path = bridge()
    tokens = Tokens(torch.zeros(4, 3, 2))
    y = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(1))
    dropped = Conditions({"map": y}, {"map": torch.ones(4, dtype=torch.bool)}, {"map": 0.5}).absent()
    assert torch.equal(path.placed(tokens, dropped).end, y)


def test_what_is_no_data_stays_zero() -> None:
    cells = torch.ones(1, 3, 2, dtype=torch.bool)
    cells[0, 2, 1] = False
    tokens = Tokens(torch.zeros(1, 3, 2), cells=cells)
    placed = bridge().placed(tokens, Conditions({"map": torch.ones(1, 3, 2)}))
    start = bridge().prior(placed, Gaussian(), Key.range(0, 0, 1), 0.97)
    assert start.values[0, 2, 1] == 0
    assert (start.values[cells] != 0).all()


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_e32_sampling_starts_around_the_end_not_at_it(shift: float) -> None:
    """E32: a walk without noise that starts at its condition gives one sample for each of them, again and again."""
    path = bridge(0.5, shift)
    y = torch.full((4000, 2, 1), 3.0)
    placed = path.placed(Tokens(torch.zeros(4000, 2, 1)), Conditions({"map": y}))
    for t in (0.5, path.t_max):
        share = math.sin(0.5 * math.pi * shift * t / (1 + (shift - 1) * t)) ** 2
        start = path.prior(placed, Gaussian(), Key.range(0, 0, 4000), t).values
        assert start.std().item() == pytest.approx(0.5 * (share * (1 - share)) ** 0.5, rel=0.03)
        assert start.mean().item() == pytest.approx(3 * share, abs=0.02)


def test_tokens_that_were_not_placed_are_refused() -> None:
    with pytest.raises(ValueError, match="must be placed"):
        bridge().mix(Tokens(torch.zeros(2, 3, 1)), torch.zeros(2, 3, 1), torch.full((2,), 0.5))

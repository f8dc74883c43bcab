"""Training times follow the densities that their names promise."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from beeline.core.errors import UserError
from beeline.core.random import Key
from beeline.process.config import TimeConfig
from beeline.process.densities import TimeDensity, shift_time
from beeline.process.linear import Linear

COUNT = 40_000


def logit_normal(mean: float, sd: float, share: float) -> Callable[[Tensor], Tensor]:
    return lambda t: share * t + (1 - share) * torch.special.ndtr((torch.logit(t) - mean) / sd)


def shifted(cumulative: Callable[[Tensor], Tensor], shift: float) -> Callable[[Tensor], Tensor]:
    return lambda t: cumulative(t / (shift - (shift - 1) * t))


@pytest.mark.parametrize(
    ("config", "cumulative"),
    [
        (TimeConfig(), lambda t: t),
        (TimeConfig(density="logit_normal"), logit_normal(0, 1, 0.1)),
        (TimeConfig(density="logit_normal", mean=-0.5, sd=0.7, uniform_share=0.0), logit_normal(-0.5, 0.7, 0.0)),
        (TimeConfig(density="logit_normal", uniform_share=1.0), lambda t: t),
        (TimeConfig(shift=3.0), shifted(lambda t: t, 3.0)),
        (TimeConfig(density="logit_normal", shift=0.4), shifted(logit_normal(0, 1, 0.1), 0.4)),
    ],
)
@pytest.mark.parametrize("interval", [(0.0, 1.0), (1e-3, 0.999)])
def test_times_have_the_promised_distribution(
    config: TimeConfig, cumulative: Callable[[Tensor], Tensor], interval: tuple[float, float]
) -> None:
    low, high = interval
    t = TimeDensity(config, interval, Linear()).sample(Key.range(0, 0, COUNT)).double()
    assert low <= t.min()
    assert t.max() <= high
    ordered = cumulative(((t - low) / (high - low)).sort().values)
    distance = (ordered - (torch.arange(COUNT) + 0.5) / COUNT).abs().max().item()
    assert distance < 1.95 / math.sqrt(COUNT)  # Kolmogorov-Smirnov at 0.1 %


def test_the_time_of_a_sample_does_not_depend_on_its_batch() -> None:
    density = TimeDensity(TimeConfig(density="logit_normal"), (0.0, 1.0), Linear())
    whole = density.sample(Key.range(1, 0, 100))
    assert torch.equal(density.sample(Key.range(1, 37, 5)), whole[37:42])


def test_shift_is_the_published_map() -> None:
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    assert torch.equal(shift_time(t, 1.0), t)
    torch.testing.assert_close(shift_time(t, 3.0), 3 * t / (1 + 2 * t))
    torch.testing.assert_close(shift_time(shift_time(t, 3.0), 1 / 3.0), t)


def test_numbers_out_of_range_are_refused() -> None:
    for numbers in ({"sd": 0.0}, {"uniform_share": 1.5}, {"shift": 0.0}):
        with pytest.raises(UserError, match="need sd > 0"):
            TimeConfig(density="logit_normal", **numbers)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="belong to densities logit_normal and log_normal"):
        TimeConfig(mean=1.0)

"""Training times follow the densities that their names promise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from beeline.core.errors import UserError
from beeline.core.random import Key
from beeline.process.config import TimeConfig
from beeline.process.densities import TimeDensity, kronecker, shift_time
from beeline.process.linear import Linear
from beeline.process.ve import VarianceExploding

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
    nowhere = float("nan")
    for name, value, words in (
        ("sd", 0.0, "sd 0.0: must be above 0"),
        ("sd", nowhere, "sd nan: must be above 0"),
        ("shift", 0.0, "shift 0.0: must be above 0"),
        ("mean", nowhere, "mean nan: must be a finite number"),
        ("uniform_share", 1.5, r"uniform_share 1\.5: must be from 0 to 1"),
    ):
        with pytest.raises(UserError, match=f"^{words}"):
            TimeConfig(density="logit_normal", **{name: value})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="belong to densities logit_normal and log_normal"):
        TimeConfig(mean=1.0)


@pytest.mark.parametrize("name", ["mean", "sd", "shift"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_that_are_not_finite_are_refused(name: str, value: float) -> None:
    """They would make every time NaN, or the same."""
    with pytest.raises(UserError, match="need a finite mean"):
        TimeConfig(density="logit_normal", **{name: value})  # type: ignore[arg-type]


def log_normal(mean: float, sd: float) -> Callable[[Tensor], Tensor]:
    return lambda t: torch.special.ndtr((torch.log(t / (1 - t)) - mean) / sd)


@pytest.mark.parametrize("draw", ["independent", "antithetic"])
def test_noise_is_log_normal_whatever_the_path(draw: Any) -> None:
    """ln(sigma / alpha) ~ N(mean, sd^2): on the straight path t / (1 - t), on EDM's sigma itself."""
    config = TimeConfig(density="log_normal", mean=-1.2, sd=1.2, draw=draw)
    t = TimeDensity(config, (0.0, 1.0), Linear()).sample(Key.range(0, 0, 4000)).double()
    ordered = log_normal(-1.2, 1.2)(t.sort().values)
    assert (ordered - (torch.arange(4000) + 0.5) / 4000).abs().max() < 1.95 / math.sqrt(4000)
    path = VarianceExploding()
    sigma = path.sigma(TimeDensity(config, (0.0, 1.0), path).sample(Key.range(0, 0, 4000)).double())
    torch.testing.assert_close(sigma, t / (1 - t), rtol=1e-3, atol=0)


def test_log_normal_times_stay_within_the_interval() -> None:
    config = TimeConfig(density="log_normal", mean=0.0, sd=8.0)
    t = TimeDensity(config, (0.1, 0.9), Linear()).sample(Key.range(0, 0, 1000))
    low, high = torch.tensor([0.1, 0.9])
    assert ((t == low).float().mean().item(), (t == high).float().mean().item()) == pytest.approx(
        (0.39, 0.39), abs=0.05
    )
    assert ((t >= low) & (t <= high)).all()


@pytest.mark.parametrize(
    "config",
    [
        TimeConfig(draw="antithetic"),
        TimeConfig(density="logit_normal", draw="antithetic"),
        TimeConfig(density="logit_normal", uniform_share=0.0, draw="antithetic"),
    ],
)
def test_antithetic_times_spread_over_every_batch_and_quiet_its_mean(config: TimeConfig) -> None:
    """Each is distributed as promised; the mean of a smooth function over any 64 in a row varies 8 times less."""
    independent = TimeDensity(dataclasses.replace(config, draw="independent"), (0.0, 1.0), Linear())
    spread = TimeDensity(config, (0.0, 1.0), Linear())
    key = Key.range(5, 1000, 64 * 300)
    means = [each.sample(key).double().square().unflatten(0, (300, 64)).mean(dim=1) for each in (independent, spread)]
    assert means[1].var() < means[0].var() / 8
    assert means[1].mean().item() == pytest.approx(means[0].mean().item(), abs=4 * means[0].std().item() / 300**0.5)
    seeds = torch.stack([spread.sample(Key.range(seed, 7, 1)) for seed in range(2000)])[:, 0].double().sort().values
    share = config.uniform_share if config.density == "logit_normal" else 1.0
    quantiles = logit_normal(0.0, 1.0, share)(seeds)
    assert (quantiles - (torch.arange(2000) + 0.5) / 2000).abs().max() < 1.95 / math.sqrt(2000)


def test_an_antithetic_time_is_a_function_of_seed_and_number() -> None:
    density = TimeDensity(TimeConfig(draw="antithetic"), (0.0, 1.0), Linear())
    whole = density.sample(Key.range(1, 0, 100))
    assert torch.equal(density.sample(Key.range(1, 37, 5)), whole[37:42])
    assert not torch.equal(density.sample(Key.range(2, 0, 100)), whole)
    far = kronecker(Key.range(1, 10**15, 3))  # where a product of floats would have lost all digits
    golden = (math.sqrt(5) - 1) / 2
    torch.testing.assert_close((far[1:] - far[:-1]) % 1.0, torch.full((2,), golden, dtype=torch.float64))

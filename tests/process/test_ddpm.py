"""Discrete levels: tables against closed forms and records, whole numbers for networks, and the curve between."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from beeline.core.errors import UserError
from beeline.process.config import ProcessConfig
from beeline.process.posterior import posterior
from beeline.process.respacing import respaced
from tests.peers import levels_of, recording

TABLES: list[dict[str, Any]] = [
    {},
    {"schedule": "cosine"},
    {"schedule": "scaled_linear", "beta_min": 0.85, "beta_max": 12.0},
    {"levels": 50},
    {"levels": 50, "schedule": "cosine"},
    {"betas": (0.01, 0.3, 0.2, 0.9, 0.9)},
]


@pytest.mark.parametrize("name", ["linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("count", [1000, 50])
def test_tables_and_posteriors_are_the_recorded_ones(name: str, count: int, real_data: Callable[[str], Path]) -> None:
    recorded = recording(real_data("parity"), "schedules")
    schedule: Any = "cosine" if name == "squaredcos_cap_v2" else "linear"
    process = levels_of(levels=count, schedule=schedule)
    level = torch.arange(count)
    factors = posterior(process, process.time(level), process.time(level - 1))
    rates = ProcessConfig(path="ddpm", levels=count, schedule=schedule).noise_rates()
    for ours, key in (
        (torch.tensor(rates, dtype=torch.float64), "betas"),
        (factors.step, "betas"),
        (process.alpha(process.time(level)).square(), "alphas_cumprod"),
        (factors.variance, "posterior_variance"),
        (factors.data, "posterior_mean_coef1"),
        (factors.noisy, "posterior_mean_coef2"),
    ):
        np.testing.assert_allclose(ours, recorded[f"{name}_{count}_{key}"], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    "text", ["1", "2", "10", "25", "50", "250", "1000", "10,15,20", "ddim10", "ddim25", "ddim50", "ddim100"]
)
def test_respacing_keeps_the_recorded_levels_and_their_rates(text: str, real_data: Callable[[str], Path]) -> None:
    recorded = recording(real_data("parity"), "schedules")
    kept = respaced(1000, text)
    assert kept == recorded[f"map_{text}"].tolist()
    process = levels_of()
    times = process.time(torch.tensor(kept))
    before = torch.cat([torch.zeros(1, dtype=torch.float64), times[:-1]])
    betas = posterior(process, times, before).step
    np.testing.assert_allclose(betas, recorded[f"respaced_betas_{text}"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("text", ["1001", "0", "ddim30.5", "ddim400", "10,,20", "600,600", "-5", "many"])
def test_respacing_that_cannot_be_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(UserError, match=f"respacing '{text}'"):
        respaced(1000, text)


def test_tables_equal_their_closed_forms() -> None:
    linear = torch.tensor(ProcessConfig(path="ddpm").noise_rates(), dtype=torch.float64)
    torch.testing.assert_close(linear, torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64))
    roots = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64)
    scaled = ProcessConfig(path="ddpm", schedule="scaled_linear", beta_min=0.85, beta_max=12.0).noise_rates()
    torch.testing.assert_close(torch.tensor(scaled, dtype=torch.float64), roots.square())
    short = ProcessConfig(path="ddpm", levels=250).noise_rates()
    assert (short[0], short[-1]) == (pytest.approx(4e-4), pytest.approx(0.08)), "rates scale with 1000 / T"
    # The cosine table telescopes: abar_n = f(n + 1) / f(0), but for the cap of its last rate.
    n = torch.arange(999)
    process = levels_of(schedule="cosine")
    signal = torch.cos(0.5 * math.pi * ((n + 1) / 1000 + 0.008) / 1.008).double().square()
    expected = signal / math.cos(0.5 * math.pi * 0.008 / 1.008) ** 2
    torch.testing.assert_close(process.alpha(process.time(n)).square(), expected, rtol=2e-4, atol=1e-9)
    assert ProcessConfig(path="ddpm", schedule="cosine").noise_rates()[-1] == 0.999
    given = levels_of(betas=(0.01, 0.3, 0.2, 0.9, 0.9))
    assert given.levels == 5
    assert given.alpha(given.time(torch.tensor(1))).item() == pytest.approx(math.sqrt(0.99 * 0.7))


@pytest.mark.parametrize("count", [2, 50, 999, 1000, 4000])
def test_networks_see_whole_numbers_and_single_precision_the_tables(count: int) -> None:
    rates = tuple(np.linspace(0.5 / count, min(20 / count, 0.99), count)) if count > 2 else (0.9, 0.95)
    process = levels_of(betas=rates)
    level = torch.arange(count)
    exact = process.time(level)
    for times in (exact, exact.float(), ((level.float() + 1) / count)):
        assert torch.equal(process.time_input(times), level.to(times.dtype))
        assert torch.equal(process.level(times), level)
        assert torch.equal(process.alpha(times), process.alpha(exact).to(times.dtype))
    assert process.time_input_name == f"{count} t - 1"


def test_the_rounding_of_times_is_needed() -> None:
    """Plain float32 arithmetic misses whole numbers."""
    level = torch.arange(1000)
    t = (level.float() + 1) / 1000
    assert not torch.equal(1000 * t - 1, level.float())


@pytest.mark.parametrize("options", TABLES)
def test_between_levels_the_curve_is_smooth_and_falls(options: dict[str, Any]) -> None:
    process = levels_of(**options)
    t = torch.linspace(0.0, 1.0, 7 * process.levels + 1, dtype=torch.float64)
    assert (process.alpha(t).diff() < 0).all()
    assert process.alpha(t[:1]).item() == 1.0
    assert process.sigma(t[:1]).item() == 0.0
    nodes = process.time(torch.arange(process.levels - 1))
    for derivative in (process.alpha_derivative, process.sigma_derivative):
        torch.testing.assert_close(derivative(nodes - 1e-9), derivative(nodes + 1e-9), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(process.alpha(t).square() + process.sigma(t).square(), torch.ones_like(t))


def test_slopes_at_levels_are_second_order_estimates() -> None:
    """Of a smooth table the slope at a level is that of a central difference, which one-sided ones miss by percents."""
    process = levels_of()
    t = process.time(torch.arange(10, 900))
    slope = 2 * process.alpha_derivative(t) / process.alpha(t)
    ahead, behind = (2 * process.alpha(t + step).log() for step in (1e-3, -1e-3))
    torch.testing.assert_close(slope, (ahead - behind) / 2e-3, rtol=2e-3, atol=0)


@pytest.mark.parametrize("prediction", ["noise", "data", "v", "velocity", "velocity_to_data"])
@pytest.mark.parametrize("options", TABLES[:5])
def test_every_level_is_used_whatever_is_predicted(options: dict[str, Any], prediction: str) -> None:
    process = levels_of(**options)
    assert process.interval(prediction) == (1 / process.levels, 1.0)


def test_solvers_keep_away_from_levels_where_the_velocity_would_blow_errors_up() -> None:
    assert levels_of().solver_interval("noise") == (0.001, 1.0)
    assert 0.001 < levels_of().solver_interval("data")[0] < 0.02
    assert 0.95 < levels_of(schedule="cosine").solver_interval("noise")[1] < 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "linear", "levels": 10}, "levels belongs to path ddpm and means nothing to path linear"),
        ({"path": "linear", "schedule": "cosine"}, "schedule belongs to paths vp, ddpm"),
        ({"path": "vp", "schedule": "scaled_linear"}, "scaled_linear belongs to path ddpm"),
        ({"path": "linear", "beta_max": 30.0}, "beta_max belongs to paths vp, ddpm"),
        ({"path": "vp", "schedule": "cosine", "beta_max": 30.0}, "mean nothing to schedule cosine"),
        ({"path": "ddpm", "schedule": "cosine", "beta_max": 30.0}, "mean nothing to schedule cosine"),
        ({"path": "ddpm", "betas": (0.5, 0.9), "levels": 3}, "betas are the whole table"),
        ({"path": "ddpm", "betas": (0.5, 0.9), "beta_max": 30.0}, "betas are the whole table"),
        ({"path": "ddpm", "time_input": "1 - t"}, "time_input belongs to paths linear, vp, gvp, sigmoid"),
        ({"path": "ddpm", "levels": 1}, "levels 1: must be at least 2"),
        ({"path": "ddpm", "levels": 20}, "above 0 and below 1"),
        ({"path": "ddpm", "betas": (0.5, 1.0)}, "above 0 and below 1"),
        ({"path": "ddpm", "betas": (0.1, 0.2)}, "too little noise"),
        ({"path": "ddpm", "beta_max": 5.0}, "too little noise"),
    ],
)
def test_options_that_mean_nothing_or_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ProcessConfig(**options)

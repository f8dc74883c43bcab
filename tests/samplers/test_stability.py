"""Walks of SDE samplers whose noise runs away are refused; how far it runs is known exactly."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from beeline.core.errors import UserError
from beeline.process.linear import Linear
from beeline.process.path import GaussianPath
from beeline.process.vdm import LogSNR
from beeline.process.ve import VarianceExploding
from beeline.process.vp import VariancePreserving
from beeline.samplers.config import SampleConfig
from beeline.samplers.diffusion import scaled
from beeline.samplers.grids import build_grid
from beeline.samplers.stability import check_steps, last_deviation
from tests.samplers.exact import gaussian, last_node, solver

SDE = ("euler_maruyama", "stochastic_heun")


@pytest.mark.parametrize("name", SDE)
def test_a_walk_begins_with_the_noise_of_its_first_node(name: str) -> None:
    process = VarianceExploding()
    times = build_grid("uniform", 12, process.interval("edm"))[3:4]
    deviation = last_deviation(process, scaled("sigma", 1.0), times, name == "stochastic_heun")
    assert deviation == pytest.approx(process.sigma(times).item(), rel=1e-12)


@pytest.mark.parametrize("name", SDE)
@pytest.mark.parametrize(
    ("process", "diffusion"), [(VariancePreserving(), "vp"), (LogSNR(), "sigma"), (Linear(), "constant")]
)
def test_the_noise_that_is_left_is_that_of_the_walk(name: str, process: GaussianPath, diffusion: Any) -> None:
    """Of fifty thousand walks on data that hardly vary: their deviation within four standard errors of itself."""
    data = gaussian(process, 0.7, 1e-9)
    times = build_grid("uniform", 12, process.interval("velocity"))
    last = times[process.sigma(times) > 0][-1]
    expected = last_deviation(process, scaled(diffusion, 1.0), times, name == "stochastic_heun")
    count = 50_000
    start = process.sigma(times[0]) * torch.randn(
        count, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    walked = times if last == times[-1] else times[:-1]
    found = last_node(solver(name, diffusion=diffusion), data, start, walked)
    assert found.std().item() == pytest.approx(expected, rel=4 / (2 * count) ** 0.5)


@pytest.mark.parametrize("name", SDE)
@pytest.mark.parametrize(
    ("process", "prediction", "diffusion", "steps"),
    [
        (VarianceExploding(), "edm", "constant", 50),
        (VarianceExploding(), "edm", "linear", 250),
        (LogSNR(), "noise", "sigma", 20),
        (LogSNR(), "noise", "increasing_decreasing", 250),
        (Linear(), "velocity", "constant", 100),
    ],
)
def test_walks_whose_noise_runs_away_are_refused(
    name: Any, process: GaussianPath, prediction: str, diffusion: Any, steps: int
) -> None:
    """They would end at numbers of 1e2 to 1e31, or at none."""
    times = build_grid("uniform", steps, process.solver_interval(prediction))
    settings = SampleConfig(name, steps, diffusion=diffusion)
    with pytest.raises(UserError, match=f"diffusion {diffusion}: {steps} steps of sampler {name} .* sigma_squared"):
        check_steps(settings, process, times)
    check_steps(SampleConfig(name, steps, diffusion="sigma_squared"), process, times)
    check_steps(SampleConfig(name, steps, diffusion=diffusion, diffusion_scale=0.0), process, times)


def test_where_steps_are_too_few_for_any_noise_more_are_asked_for() -> None:
    process = VarianceExploding()
    times = build_grid("uniform", 3, process.solver_interval("edm"))
    with pytest.raises(UserError, match=r"3 steps .* take more of them"):
        check_steps(SampleConfig("stochastic_heun", 3), process, times)

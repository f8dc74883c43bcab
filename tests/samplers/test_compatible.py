"""What cannot be is refused by name before any work, with what to use instead."""

from __future__ import annotations

from typing import Any

import pytest

from beeline.core.errors import UserError
from beeline.process.linear import Linear
from beeline.process.path import GaussianPath
from beeline.process.vp import VariancePreserving
from beeline.samplers.compatible import check
from beeline.samplers.config import SampleConfig
from tests.peers import levels_of


def population() -> GaussianPath:
    process = Linear()
    process.is_gaussian = False
    return process


def bridge() -> GaussianPath:
    process = VariancePreserving()
    process.known_end = "under"
    return process


NOISY = ["ddpm", "dpmpp_2m_sde", "euler_maruyama", "stochastic_heun"]
DETERMINISTIC = ["euler", "heun", "midpoint", "rk4", "rk38", "dopri5"]
REFUSED: list[tuple[dict[str, Any], GaussianPath, str, int, str]] = [
    *(({"sampler": name}, population(), "velocity", 1, f"sampler {name}: .* population.* use sampler heun")
      for name in NOISY),
    ({"sampler": "ddim", "eta": 0.3}, population(), "velocity", 1, "sampler ddim: .* population.* ddim with eta 0"),
    *(({"sampler": name}, bridge(), "velocity", 1, f"sampler {name}: is made for .* bridge.* use sampler euler_m")
      for name in ("ddpm", "ddim", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m")),
    ({"sampler": "stochastic_heun", "diffusion_scale": 0.0}, bridge(), "velocity", 1, "diffusion_scale above 0"),
    *(({"sampler": "dpmpp_3m", "steps": steps}, Linear(), "velocity", 1,
       f"steps {steps}: sampler dpmpp_3m looks back .* needs 3; .* dpmpp_2m") for steps in (1, 2)),
    ({"sampler": "ddpm", "variance": "small"}, levels_of(), "noise", 2, "variance small: this model has learned"),
    *(({"sampler": name, "grid": grid}, levels_of(), "score", 1,
       f"grid {grid}: goes down to t = 0 .* prediction score .* use grid uniform")
      for name, grid in (("ddpm", "respaced"), ("ddim", "strided"))),
    *(({"sampler": name, "diffusion": "vp"}, Linear(), "velocity", 1, "diffusion vp: is .* use diffusion sigma")
      for name in ("euler_maruyama", "stochastic_heun")),
]  # fmt: skip


@pytest.mark.parametrize(("options", "process", "prediction", "outputs", "message"), REFUSED)
def test_what_cannot_be_is_refused_by_name(
    options: dict[str, Any], process: GaussianPath, prediction: str, outputs: int, message: str
) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        check(SampleConfig(**options), process, prediction, outputs)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_e32_a_deterministic_sampler_on_a_bridge_is_refused(name: Any) -> None:
    """E32: from a start that is a function of the condition an ODE gives one answer: no spread of the ensemble."""
    with pytest.raises(UserError, match=f"sampler {name}: draws no noise.* single answer.* under; use sampler euler_m"):
        check(SampleConfig(name), bridge(), "velocity", 1)


ALLOWED: list[tuple[dict[str, Any], GaussianPath, str, int]] = [
    *(({"sampler": name}, population(), "velocity", 1) for name in [*DETERMINISTIC, "ddim", "dpmpp_2m", "dpmpp_3m"]),
    *(({"sampler": name}, bridge(), "velocity", 1) for name in ("euler_maruyama", "stochastic_heun")),
    *(({"sampler": name}, Linear(), "velocity", 1) for name in [*DETERMINISTIC, *NOISY]),
    ({"sampler": "dpmpp_3m", "steps": 3}, Linear(), "velocity", 1),
    ({"sampler": "ddpm", "variance": "small"}, levels_of(), "noise", 1),
    ({"sampler": "ddpm", "grid": "respaced"}, levels_of(), "noise", 2),
    ({"sampler": "ddpm", "grid": "uniform"}, levels_of(), "score", 1),
    ({"sampler": "euler_maruyama", "diffusion": "vp"}, Linear(), "noise", 1),
    ({"sampler": "euler_maruyama", "diffusion": "vp"}, VariancePreserving(), "velocity", 1),
]


@pytest.mark.parametrize(("options", "process", "prediction", "outputs"), ALLOWED)
def test_what_can_be_is_not_refused(
    options: dict[str, Any], process: GaussianPath, prediction: str, outputs: int
) -> None:
    check(SampleConfig(**options), process, prediction, outputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "dopri5", "diffusion": "vp"}, "diffusion vp: belongs to .* euler_maruyama .* nothing to dopri5"),
        ({"sampler": "dopri5", "diffusion_scale": 2.0}, "diffusion_scale 2: belongs to"),
        ({"sampler": "euler_maruyama", "rtol": 1e-5}, "rtol 1e-05: belongs to sampler dopri5"),
        ({"sampler": "stochastic_heun", "atol": 1e-5}, "atol 1e-05: belongs to sampler dopri5"),
    ],
)
def test_an_adaptive_solver_takes_no_sde(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SampleConfig(**options)

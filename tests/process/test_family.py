"""Paths by their own definitions: schedules in closed form, EDM's table, shifted time, and the inverse of any path."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from beeline.core.errors import UserError
from beeline.core.tokens import Tokens
from beeline.process.build import build_process
from beeline.process.config import ProcessConfig
from beeline.process.inverse import log_ratio, time_at
from beeline.process.path import PREDICTIONS

INNER = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)


def path_of(**options: Any) -> Any:
    return build_process(ProcessConfig(**options))


def test_the_cosine_schedule_is_that_of_the_paper() -> None:
    path, s = path_of(path="vp", schedule="cosine"), 0.008
    expected = torch.cos(0.5 * math.pi * (INNER + s) / (1 + s)) / math.cos(0.5 * math.pi * s / (1 + s))
    torch.testing.assert_close(path.alpha(INNER), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(path.sigma(INNER), torch.sqrt(1 - expected**2), rtol=1e-12, atol=0)
    # It passes through the levels of the discrete table, save the last, whose rate is capped.
    table: Any = path_of(path="ddpm", schedule="cosine")
    levels = table.time(torch.arange(998))
    torch.testing.assert_close(path.alpha(levels), table.alpha(levels), rtol=1e-9, atol=0)


def test_gvp_is_a_quarter_of_a_circle() -> None:
    path = path_of(path="gvp")
    torch.testing.assert_close(path.alpha(INNER), torch.cos(0.5 * math.pi * INNER), rtol=1e-13, atol=0)
    torch.testing.assert_close(path.sigma(INNER), torch.sin(0.5 * math.pi * INNER), rtol=1e-13, atol=0)


def test_the_sigmoid_schedule_is_that_of_the_paper() -> None:
    path = path_of(path="sigmoid")
    first, last = (torch.sigmoid(torch.tensor(end, dtype=torch.float64)) for end in (-3.0, 3.0))
    expected = (last - torch.sigmoid(6 * INNER - 3)) / (last - first)
    torch.testing.assert_close(path.alpha(INNER).square(), expected, rtol=1e-11, atol=0)
    torch.testing.assert_close(path.sigma(INNER).square(), 1 - expected, rtol=1e-11, atol=0)
    assert path.sigma(torch.tensor(path.t_min)).item() == pytest.approx(0.01, rel=1e-3)
    assert path.alpha(torch.tensor(path.t_max)).item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("options", [{"path": "vp", "schedule": "cosine"}, {"path": "gvp"}, {"path": "sigmoid"}])
def test_no_digits_are_lost_at_either_end(options: dict[str, Any]) -> None:
    path = path_of(**options)
    small = torch.tensor([1e-6, 1e-3], dtype=torch.float32)
    torch.testing.assert_close(path.sigma(small).double(), path.sigma(small.double()), rtol=1e-6, atol=0)
    near = 1 - torch.tensor([2.0**-20, 2.0**-10], dtype=torch.float32)
    torch.testing.assert_close(path.alpha(near).double(), path.alpha(near.double()), rtol=1e-6, atol=0)
    assert path.alpha(torch.ones(1)) == 0, "not a little below it, as the cosine of a rounded right angle is"


def test_ve_is_spaced_as_edm_spaces_it() -> None:
    path = path_of(path="ve", sigma_min=0.01, sigma_max=50.0, rho=5.0)
    steps = 18
    i = torch.arange(steps, dtype=torch.float64)  # Karras et al. 2022, equation 5: from the largest sigma down
    sigma = (50.0**0.2 + i / (steps - 1) * (0.01**0.2 - 50.0**0.2)) ** 5
    t = 1 - i / (steps - 1)
    torch.testing.assert_close(path.sigma(t), sigma, rtol=1e-12, atol=0)
    assert torch.equal(path.alpha(t), torch.ones_like(t))
    torch.testing.assert_close(path.time_input(t), sigma.log() / 4, rtol=1e-12, atol=1e-14)
    assert path.time_input_name == "ln(sigma) / 4"


@pytest.mark.parametrize("deviation", [0.5, 1.3])
def test_prediction_edm_on_ve_is_the_preconditioning_of_karras(deviation: float) -> None:
    """Table 1 of Karras et al. 2022: D = c_skip x + c_out F, seen at c_in x; and even weights of F are theirs of D."""
    path = path_of(path="ve", sigma_data=deviation)
    generator = torch.Generator().manual_seed(0)
    t = torch.linspace(path.t_min, 1, 9, dtype=torch.float64)
    x0, e, output = (torch.randn(9, 3, 2, generator=generator, dtype=torch.float64) for _ in range(3))
    x_t, sigma = path.mix(Tokens(x0), e, t), path.sigma(t)[:, None, None]
    size = sigma**2 + deviation**2
    denoised = deviation**2 / size * x_t.values + sigma * deviation / size.sqrt() * output
    torch.testing.assert_close(path.convert(output, x_t, t, "edm", "data"), denoised, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(path.input_scale(t), size.flatten().rsqrt(), rtol=1e-12, atol=0)
    weight = size / (sigma * deviation) ** 2  # lambda(sigma)
    error = output - path.target(Tokens(x0), e, t, "edm")
    torch.testing.assert_close(error**2, weight * (denoised - x0) ** 2, rtol=1e-7, atol=1e-10)


def test_only_ve_scales_what_the_network_sees() -> None:
    for path in ("linear", "vp", "gvp", "vdm", "sigmoid", "ddpm"):
        assert path_of(path=path).input_scale(INNER) is None
    shifted = path_of(path="ve", time_shift=2.0)
    scaled = shifted.input_scale(INNER) * torch.sqrt(shifted.sigma(INNER) ** 2 + 0.25)
    torch.testing.assert_close(scaled, torch.ones_like(INNER), rtol=1e-12, atol=0)


@pytest.mark.parametrize("shift", [0.3, 3.0])
@pytest.mark.parametrize("name", ["linear", "vp", "gvp", "ve", "vdm", "sigmoid"])
def test_a_shifted_path_is_the_path_at_another_time(name: str, shift: float) -> None:
    path, shifted = path_of(path=name), path_of(path=name, time_shift=shift)
    t = torch.linspace(shifted.t_min, shifted.t_max, 101, dtype=torch.float64)
    inner = (shift * t / (1 + (shift - 1) * t)).clamp(max=1)
    for one, other in ((path.alpha, shifted.alpha), (path.sigma, shifted.sigma), (path.time_input, shifted.time_input)):
        assert torch.equal(one(inner), other(t))
    assert inner[0].item() == pytest.approx(path.t_min, rel=1e-12)
    assert inner[-1].item() == pytest.approx(path.t_max, rel=1e-12)
    t, delta = t[1:-1].requires_grad_(), 1e-7
    slope = (shifted.sigma(t + delta) - shifted.sigma(t - delta)) / (2 * delta)
    torch.testing.assert_close(shifted.sigma_derivative(t), slope, rtol=1e-4, atol=1e-6)
    for prediction in PREDICTIONS:
        a, b = shifted.coefficients(t.detach(), prediction)
        x0, e = torch.randn(2, 99, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        wanted = a[:, None, None] * x0 + b[:, None, None] * e
        torch.testing.assert_close(shifted.target(Tokens(x0), e, t.detach(), prediction), wanted, rtol=1e-9, atol=1e-9)


def test_a_shift_of_one_is_no_shift_and_none_carries_past_the_noise() -> None:
    assert type(path_of(path="gvp", time_shift=1.0)) is type(path_of(path="gvp"))
    for shift in (0.3, 0.7, 1.7, 3.0):
        for kind in (torch.float32, torch.float64):
            alpha = path_of(path="linear", time_shift=shift).alpha(torch.linspace(0, 1, 999, dtype=kind))
            assert (alpha >= 0).all()
            assert alpha[-1] < 1e-6


@pytest.mark.parametrize(
    "options",
    [
        {"path": "linear"},
        {"path": "vp"},
        {"path": "vp", "schedule": "cosine"},
        {"path": "ve"},
        {"path": "vdm"},
        {"path": "vdm", "log_snr": "learned"},
        {"path": "sigmoid"},
        {"path": "ddpm"},
        {"path": "linear", "time_shift": 3.0},
    ],
)
def test_times_are_found_from_noise_levels(options: dict[str, Any]) -> None:
    path = path_of(**options)
    interval = (path.t_min, path.t_max)
    t = (path.t_min + (path.t_max - path.t_min) * INNER).reshape(9, 11)
    with torch.no_grad():
        torch.testing.assert_close(time_at(path, log_ratio(path, t), interval), t, rtol=0, atol=1e-13)
    assert time_at(path, torch.tensor([-99.0, 99.0]), interval).tolist() == list(interval)
    beyond = torch.tensor([float("-inf"), float("inf")])
    for end in (0.5, 0.6, 0.61, 0.62, 0.63, 0.7):  # to the last bit, whether that is even or odd
        assert time_at(path, beyond, (0.2, end)).tolist() == [0.2, end]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "gvp", "rho": 3.0}, "rho belongs to path ve"),
        ({"path": "linear", "log_snr": "learned"}, "log_snr belongs to path vdm"),
        ({"path": "linear", "end": "map"}, "end belongs to path bridge"),
        ({"path": "bridge"}, "needs process.end"),
        ({"path": "ddpm", "time_shift": 2.0}, "time_shift belongs to paths"),
        ({"path": "vdm", "log_snr": "learned", "time_shift": 2.0}, "finds its own pace"),
        ({"path": "ve", "sigma_min": 90.0}, "need 0 < sigma_min < sigma_max"),
        ({"path": "vdm", "gamma_min": 14.0}, "need -30 <= gamma_min < gamma_max <= 30"),
        ({"time_shift": 0.0}, "time_shift 0.0: must be above 0"),
        ({"sigma_data": -1.0}, "sigma_data -1.0: must be above 0"),
    ],
)
def test_options_of_other_paths_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ProcessConfig(**options)


def test_a_path_from_a_population_has_no_score() -> None:
    for shift in (1.0, 2.0):
        path = path_of(path="linear", source="population", time_shift=shift)
        assert not path.is_gaussian
        with pytest.raises(UserError, match="means nothing where the source is a population"):
            path.interval("score")
        assert path.interval("velocity") == (0.0, 1.0)

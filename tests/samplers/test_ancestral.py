"""Ancestral and DDIM steps against exact moments: for Gaussian data every walk is affine, so its moments are exact."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.protocols import Process
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.linear import Linear
from beeline.process.path import GaussianPath
from beeline.process.sources import Gaussian, ZeroMean
from beeline.process.vp import VariancePreserving
from beeline.samplers.build import build_sampler
from beeline.samplers.config import SampleConfig
from beeline.samplers.grids import build_grid
from beeline.samplers.mixture import MixturePredictor
from beeline.samplers.solve import sample
from tests.peers import Analytic, levels_of


def gaussian(process: Process, mean: float, sd: float) -> MixturePredictor:
    one = torch.ones(1, dtype=torch.float64)
    return MixturePredictor(process, one, one[:, None] * mean, one[:, None, None] * sd**2)


@dataclass(frozen=True)
class Impulses:
    """Noise that is 1 for sample k + 2 in step k and 0 elsewhere: each draw's own way to the end."""

    def sample(self, like: Tokens, key: Key) -> Tensor:
        noise = torch.zeros_like(like.values)
        noise[int(key.purpose.rsplit("/", 1)[-1]) + 2] = 1.0
        return noise


def moments(process: Process, mean: float, sd: float, times: Tensor, predictor: Any = None, **options: Any) -> Tensor:
    """Mean and deviation of the samples, exactly: offset, and the root of the summed squares of all responses."""
    sampler = build_sampler(SampleConfig(**options), Impulses())
    start = torch.zeros(len(times) + 1, 1, 1, dtype=torch.float64)
    start[1] = process.sigma(times[0])
    key = Key.range(0, 0, len(start))
    predictor = predictor or gaussian(process, mean, sd)
    end = sample(sampler, predictor, Tokens(start), times, Conditions(), key).x.values.flatten()
    return torch.stack([end[0], (end[1:] - end[0]).square().sum().sqrt()])


def propagated(process: Process, mean: float, sd: float, times: Tensor, large: bool) -> tuple[float, float]:
    """The same by hand: E[x0 | x] = m + k (x - alpha m), k = alpha sd^2 / (alpha^2 sd^2 + sigma^2), step by step."""
    alpha, sigma = process.alpha(times).tolist(), process.sigma(times).tolist()
    average, variance = 0.0, sigma[0] ** 2
    for a, s, b, r in zip(alpha[:-1], sigma[:-1], alpha[1:], sigma[1:], strict=True):
        step = s**2 - (a / b) ** 2 * r**2
        k = a * sd**2 / (a**2 * sd**2 + s**2)
        on_x, on_data = (a / b) * r**2 / s**2, b * step / s**2
        average = on_x * average + on_data * (mean + k * (average - a * mean))
        variance *= (on_x + on_data * k) ** 2
        if r > 0:
            variance += step if large else step * r**2 / s**2
    return average, variance**0.5


FACTS = [("small", 50, 0.443), ("small", 250, 0.486), ("small", 1000, 0.496)]
FACTS += [("large", 50, 0.518), ("large", 250, 0.503), ("large", 1000, 0.501)]


@pytest.mark.parametrize(("variance", "steps", "deviation"), FACTS)
def test_ancestral_moments_are_the_propagated_ones(variance: Any, steps: int, deviation: float) -> None:
    """Finite steps are biased, and by just as much as theory says (facts, section 1): true deviation 0.5."""
    process = levels_of()
    times = build_grid("respaced", steps, process.interval("noise"), process=levels_of())
    ours = moments(process, 2.0, 0.5, times, sampler="ddpm", variance=variance)
    assert ours.tolist() == pytest.approx(propagated(process, 2.0, 0.5, times, variance == "large"), rel=1e-9)
    assert ours[1].item() == pytest.approx(deviation, abs=1e-3)


@pytest.mark.parametrize("process", [Linear(), VariancePreserving()])
@pytest.mark.parametrize("variance", ["large", "small"])
def test_ancestral_steps_work_on_every_gaussian_path(process: Process, variance: Any) -> None:
    times = build_grid("uniform", 400, process.interval("velocity"))
    mean, deviation = moments(process, 2.0, 0.5, times, sampler="ddpm", variance=variance).tolist()
    assert mean == pytest.approx(2.0, abs=0.02)
    assert deviation == pytest.approx(0.5, abs=0.03)


class LogLinear(GaussianPath):
    """log(sigma^2 / alpha^2) runs from -13.3 to 13, as in the code behind E30."""

    def alpha(self, t: Tensor) -> Tensor:
        return torch.sigmoid(13.3 - 26.3 * t).sqrt()

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sigmoid(26.3 * t - 13.3).sqrt()

    def alpha_derivative(self, t: Tensor) -> Tensor:
        return -13.15 * self.sigma(t).square() * self.alpha(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        return 13.15 * self.alpha(t).square() * self.sigma(t)


def test_e30_ancestral_steps_keep_the_spread_of_the_data() -> None:
    """E30: with a factor sigma_s c / sigma_t on the noise, 256 exact steps shrink a deviation of 0.70 to 0.21.

    Right, with c = step / sigma_t^2, is x_s = (alpha_s / alpha_t) (x - c sigma_t e) + sigma_s sqrt(c) z: 0.68 to 0.69.
    """
    process = LogLinear()
    times = torch.linspace(1, 0, 257, dtype=torch.float64)
    assert moments(process, 0.0, 0.7, times, sampler="ddpm", variance="small")[1].item() == pytest.approx(
        0.683, abs=2e-3
    )
    wrong = 1.0
    for t, s in itertools.pairwise(times):
        a, b, sigma, left = (each.item() for each in (*map(process.alpha, (t, s)), *map(process.sigma, (t, s))))
        c = 1 - (a / b) ** 2 * left**2 / sigma**2
        noise = sigma / (a**2 * 0.49 + sigma**2)  # E[e | x] / x
        wrong = (b / a - left * c / sigma * noise) ** 2 * wrong + left**2 * c
    assert wrong**0.5 == pytest.approx(0.21, abs=0.01)


def test_a_learned_variance_lies_between_the_fixed_ones_and_at_its_best_is_right() -> None:
    process = levels_of()
    times = build_grid("respaced", 50, process.interval("noise"), process=levels_of())
    exact = gaussian(process, 0.0, 0.5)

    def saying(value: float) -> Any:
        def predictor(x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
            said = exact(x_t, t, conditions)
            return Prediction(process, x_t, t, said.output, said.kind, torch.full_like(x_t.values, value))

        return predictor

    ends = [moments(process, 0.0, 0.5, times, saying(v), sampler="ddpm")[1].item() for v in (-1.0, 0.0, 1.0)]
    fixed = [moments(process, 0.0, 0.5, times, sampler="ddpm", variance=each)[1].item() for each in ("small", "large")]
    assert (ends[0], ends[2]) == (pytest.approx(fixed[0]), pytest.approx(fixed[1]))
    assert ends[0] < ends[1] < ends[2]


@pytest.mark.parametrize("process", [levels_of(), levels_of(schedule="cosine"), Linear()])
def test_ddim_at_eta_one_is_the_ancestral_step_of_small_variance(process: Any) -> None:
    grid = "respaced" if process.levels else "uniform"
    times = build_grid(grid, 20, process.interval("velocity"), process=process)
    start = Tokens(torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    key, one = Key.range(0, 0, 6), torch.ones(1, dtype=torch.float64)
    predictor = MixturePredictor(process, one, torch.zeros(1, 6).double(), torch.eye(6)[None].double() * 0.3)
    ends = [
        sample(build_sampler(settings, Gaussian()), predictor, start, times, Conditions(), key).x.values
        for settings in (SampleConfig("ddim", eta=1.0), SampleConfig("ddpm", variance="small"), SampleConfig("ddim"))
    ]
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-7, atol=1e-7)
    assert (ends[0] - ends[2]).abs().max() > 0.1


def test_ddim_halves_its_error_with_its_steps_down_to_the_data() -> None:
    """From the last level to data: the exact end of N(2, 0.5^2) is m + 0.5 x / sqrt(alpha^2 0.25 + sigma^2)."""
    process, errors = levels_of(), []
    at_start = process.alpha(torch.ones((), dtype=torch.float64)).square().item()
    for steps in (125, 250, 500):
        times = build_grid("respaced", steps, process.interval("noise"), process=levels_of())
        deviation = moments(process, 2.0, 0.5, times, sampler="ddim")[1].item()
        exact = 0.5 * (1 - at_start) ** 0.5 / (0.25 * at_start + 1 - at_start) ** 0.5
        errors.append(abs(deviation - exact))
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.3)
    assert errors[1] / errors[2] == pytest.approx(2, abs=0.3)
    assert errors[2] < 4e-3


@pytest.mark.parametrize("options", [{"sampler": "ddpm"}, {"sampler": "ddim", "eta": 0.7}])
@pytest.mark.parametrize("source", [Gaussian(), ZeroMean()])
def test_an_item_meets_the_same_noise_in_any_batch(options: dict[str, Any], source: Any) -> None:
    process = levels_of()
    times = build_grid("respaced", 8, process.interval("noise"), process=levels_of())
    sampler = build_sampler(SampleConfig(**options), source)

    def ends(key: Key) -> Tensor:
        like = Tokens(torch.zeros(len(key.numbers), 5, 2))
        start = process.prior(like, source, key.fold("start"), times[0].item())
        return sample(sampler, Analytic(process), start, times, Conditions(), key).x.values

    together = ends(Key.range(3, 0, 7))
    torch.testing.assert_close(ends(Key.range(3, 4, 2)), together[4:6], rtol=0, atol=1e-5)
    assert (ends(Key.range(4, 0, 7)) - together).abs().max() > 0.1
    if isinstance(source, ZeroMean) and options["sampler"] == "ddim":
        steps: list[Tensor] = []
        key = Key.range(0, 0, 2)
        start = process.prior(Tokens(torch.zeros(2, 5, 2)), source, key, 1.0)
        sample(sampler, gaussian_rows(process), start, times, Conditions(), key, lambda s: steps.append(s.x.values))
        assert max(each.mean(dim=1).abs().max() for each in steps) < 1e-5, "every step stays on the subspace"


def gaussian_rows(process: Process) -> MixturePredictor:
    return MixturePredictor(process, torch.ones(1), torch.zeros(1, 10), torch.eye(10)[None])

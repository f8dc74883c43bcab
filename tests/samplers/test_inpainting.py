"""What inpainting gives a Gaussian pair, exactly: every step is affine in the known number and in all that is drawn."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.errors import UserError
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.core.tokens import Tokens
from beeline.process.linear import Linear
from beeline.process.sources import Gaussian
from beeline.process.vp import VariancePreserving
from beeline.samplers.config import SampleConfig
from beeline.samplers.grids import build_grid
from beeline.samplers.heun import Heun
from beeline.samplers.inpainting import Inpainting, check_inpainting
from beeline.samplers.mixture import MixturePredictor
from beeline.samplers.renoising import remaining
from beeline.samplers.solve import sample

KNOWN = torch.tensor([False, True])
STEPS = 20


def pair(correlation: float) -> MixturePredictor:
    covariance = torch.tensor([[[1.0, correlation], [correlation, 1.0]]], dtype=torch.float64)
    return MixturePredictor(
        Linear(), torch.ones(1, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64), covariance
    )


@dataclass
class Basis:
    """A source whose draws are unit vectors: draw k of number d is 1 in sample 1 + 2 k + d and 0 in the others."""

    drawn: list[Tensor] = field(default_factory=list)

    def sample(self, like: Tokens, key: Key) -> Tensor:
        e = torch.zeros_like(like.values)
        for number in range(2):
            e[1 + 2 * len(self.drawn) + number, 0, number] = 1.0
        self.drawn.append(e)
        return e


def moments(correlation: float, resample: int = 1, clean: bool = False) -> tuple[float, float]:
    """(mean / y, variance) of the number that is made, given the other, y.

    Args:
        correlation: of the pair.
        resample: times that each step is taken.
        clean: whether known numbers are put back without noise, which is wrong.
    """
    draws = 2 + STEPS * (2 * resample - 1)
    x0 = torch.zeros(1 + 2 * draws, 1, 2, dtype=torch.float64)
    x0[0, 0, 1] = 1.0  # sample 0 has y = 1 and no noise
    source, key = Basis(), Key.range(0, 0, len(x0))
    times = build_grid("uniform", STEPS, (0.0, 1.0))
    inpainting = Inpainting(Linear(), source, Tokens(x0), KNOWN, key, resample)

    def pasted(state: SamplerState) -> SamplerState:
        return replace(state, x=state.x.with_values(torch.where(KNOWN, x0, state.x.values)))

    start = inpainting.restored(Tokens(source.sample(Tokens(x0), key)), times[0])
    between = pasted if clean else inpainting
    end = sample(Heun(), pair(correlation), start, times, Conditions(), key, between).x.values[:, 0]
    assert torch.equal(end[:, 1], x0[:, 0, 1]), "what is known is there at the end"
    assert len(source.drawn) == (2 if clean else draws)
    return end[0, 0].item(), end[1:, 0].square().sum().item()


@pytest.mark.parametrize(("resample", "mean", "variance"), [(1, 0.331, 0.619), (2, 0.482, 0.509), (5, 0.650, 0.420)])
def test_e38_the_bias_of_putting_known_parts_back_is_as_stated(resample: int, mean: float, variance: float) -> None:
    """E38: exact would be 0.8 and 0.36; each figure is that of the module's table."""
    assert moments(0.8, resample) == (pytest.approx(mean, abs=5e-4), pytest.approx(variance, abs=5e-4))


def test_e38_of_independent_numbers_each_is_as_if_alone() -> None:
    """E38: what is known says nothing of the other, which then has the moments of an ordinary walk."""
    mean, variance = moments(0.0)
    start = torch.tensor([[[0.0, 0.0]], [[1.0, 0.0]]], dtype=torch.float64)
    times = build_grid("uniform", STEPS, (0.0, 1.0))
    alone = sample(Heun(), pair(0.0), Tokens(start), times, Conditions(), Key.range(0, 0, 2)).x.values[:, 0, 0]
    assert mean == pytest.approx(0.0, abs=1e-15)
    assert variance == pytest.approx((alone[1] - alone[0]).item() ** 2, abs=1e-12)
    assert variance == pytest.approx(1.0, abs=0.01)


def test_e38_known_numbers_are_at_the_noise_level_of_every_t() -> None:
    """E38: at each node they are alpha x0 + sigma e with a fresh e; x_t's other numbers are those of the walk."""
    source, key, x0 = _Noting(), Key.range(3, 0, 4), torch.randn(4, 1, 2, dtype=torch.float64)
    path, times = VariancePreserving(), build_grid("cosine", 6, (1e-3, 1.0))
    inpainting = Inpainting(path, source, Tokens(x0), KNOWN, key)
    seen: list[Tensor] = []

    def between(state: SamplerState) -> SamplerState:
        after = inpainting(state)
        t, e = state.times[state.index], source.drawn[-1]
        wanted = path.alpha(t) * x0 + path.sigma(t) * e
        torch.testing.assert_close(after.x.values[..., 1], wanted[..., 1], rtol=0, atol=1e-12)
        assert torch.equal(after.x.values[..., 0], state.x.values[..., 0])
        seen.append(e)
        return after

    start = Tokens(torch.randn(4, 1, 2, dtype=torch.float64))
    sample(Heun(), replace(pair(0.5), process=path), start, times, Conditions(), key, between)
    assert len(seen) == 6
    assert all(not torch.equal(one, other) for one, other in itertools.pairwise(seen))


def test_e38_pasting_the_clean_data_instead_is_another_answer() -> None:
    """E38: the predictor then takes clean numbers for noisy ones, and draws other conclusions from them."""
    assert abs(moments(0.8)[0] - moments(0.8, clean=True)[0]) > 0.2


@pytest.mark.parametrize("path", [Linear(), VariancePreserving()])
def test_a_step_back_leads_from_one_marginal_to_the_other(path: Any) -> None:
    """r^2 (alpha_s^2 V + sigma_s^2) + added noise = alpha_t^2 V + sigma_t^2, for data of any variance V."""
    t, s = torch.tensor([0.7, 0.4], dtype=torch.float64)
    x0 = torch.zeros(5, 1, 2, dtype=torch.float64)
    inpainting = Inpainting(path, Basis(), Tokens(x0), torch.tensor([False, False]), Key.range(0, 0, 5), resample=2)
    x = x0.clone()
    x[0] = 1.0
    state = inpainting(SamplerState(Tokens(x), torch.stack([t, s]), index=1, memory="old"))
    assert (state.index, state.memory) == (0, None)
    ratio, noise = state.x.values[0, 0, 0], state.x.values[1, 0, 0]
    for variance in (0.0, 0.3, 2.0):
        at_s = path.alpha(s) ** 2 * variance + path.sigma(s) ** 2
        at_t = path.alpha(t) ** 2 * variance + path.sigma(t) ** 2
        assert (ratio**2 * at_s + noise**2).item() == pytest.approx(at_t.item(), abs=1e-12)


def test_steps_that_are_taken_again_draw_anew_and_are_counted() -> None:
    key, x0 = Key.range(0, 0, 2), torch.zeros(2, 1, 2, dtype=torch.float64)
    keys: list[str] = []

    class Noted(Heun):
        def step(self, state, predictor, conditions, key):  # type: ignore[no-untyped-def]
            keys.append(key.purpose)
            return super().step(state, predictor, conditions, key)

    inpainting = Inpainting(Linear(), Gaussian(), Tokens(x0), KNOWN, key, resample=3)
    times = build_grid("uniform", 4, (0.0, 1.0))
    end = sample(Noted(), pair(0.5), Tokens(x0), times, Conditions(), key, inpainting)
    assert (end.index, end.passes) == (4, 4 * 3 * 2)
    assert len(set(keys)) == 12


def test_samplers_between_whose_steps_nothing_can_be_put_back_are_refused() -> None:
    with pytest.raises(UserError, match="sampler dopri5: chooses steps of its own"):
        check_inpainting(SampleConfig(sampler="dopri5"), 1)
    with pytest.raises(UserError, match="resample 5: sampler dpmpp_2m builds on earlier steps"):
        check_inpainting(SampleConfig(sampler="dpmpp_2m"), 5)
    check_inpainting(SampleConfig(sampler="dpmpp_2m"), 1)


@pytest.mark.parametrize("strength", [0.35, 0.6, 1.0])
def test_a_walk_from_the_marginal_at_t_keeps_the_distribution_of_the_data(strength: float) -> None:
    """Re-noised data are alpha x0 + sigma e; the way down is affine, so that nothing need be drawn."""
    predictor = pair(0.8)
    points = torch.cat([torch.zeros(1, 2), torch.eye(2)]).to(torch.float64)[:, None]
    errors = []
    for steps in (40, 80):
        times = remaining(build_grid("uniform", steps, (0.0, 1.0)), strength)
        assert times[0] == strength
        key = Key.range(0, 0, 3)
        ends = sample(Heun(), predictor, Tokens(points), times, Conditions(), key).x.values[:, 0]
        A = (ends[1:] - ends[0]).T
        marginal = (1 - strength) ** 2 * predictor.covariances[0] + strength**2 * torch.eye(2, dtype=torch.float64)
        errors.append((A @ marginal @ A.T - predictor.covariances[0]).abs().max().item())
    assert errors[1] < 2e-3
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.8)


def test_a_walk_begins_at_its_strength_and_goes_on_as_the_grid_does() -> None:
    times = build_grid("uniform", 4, (0.0, 1.0))
    assert remaining(times, 0.6).tolist() == [0.6, 0.5, 0.25, 0.0]
    assert remaining(times, 0.5).tolist() == [0.5, 0.25, 0.0]
    assert remaining(times, 1.0).tolist() == times.tolist()
    assert remaining(times, 0.34, levels=10).tolist() == [0.3, 0.25, 0.0]
    assert remaining(times, 0.28, levels=10).tolist() == [0.3, 0.25, 0.0]
    for strength in (0.0, 1.1):
        with pytest.raises(UserError, match=r"must lie above 0 and be at most 1"):
            remaining(times, strength)
    with pytest.raises(UserError, match=r"strength 0\.01: must lie above 0\.02"):
        remaining(build_grid("uniform", 4, (0.02, 1.0)), 0.01)


class _Noting(Gaussian):
    def __init__(self) -> None:
        self.drawn: list[Tensor] = []

    def sample(self, like: Tokens, key: Key) -> Tensor:
        self.drawn.append(super().sample(like, key))
        return self.drawn[-1]

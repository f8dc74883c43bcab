"""The adaptive solver: its tableau's order, its control of errors, and that no sample minds its company."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import pytest
import torch
from scipy.integrate import RK45
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.errors import RunError
from beeline.core.prediction import Prediction
from beeline.core.random import Key
from beeline.core.state import SamplerState
from beeline.core.tokens import Tokens
from beeline.process.linear import Linear
from beeline.process.path import GaussianPath
from beeline.samplers.dopri5 import _ERROR, DORMAND_PRINCE, DormandPrince
from beeline.samplers.runge_kutta import RungeKutta
from beeline.samplers.solve import sample
from tests.samplers.exact import INTERVALS, PATHS, last_node, mixture, slopes_of_error, truth

ENDS = torch.tensor([1.0, 0.0], dtype=torch.float64)


@dataclass(frozen=True)
class Waving:
    """v = rate cos(rate t) x, item by item: x(t) = x(1) exp(sin(rate t) - sin(rate)); counts who was asked."""

    rates: Tensor
    asked: list[Tensor] = field(default_factory=list)

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        rates = self.rates[conditions.values["item"]].to(t)
        self.asked.append(conditions.values["item"])
        return Prediction(Linear(), x_t, t, x_t.expand(rates * torch.cos(rates * t)) * x_t.values, "velocity")


RATES = torch.tensor([0.5, 3.0, 12.0, 40.0], dtype=torch.float64)


def waves(items: list[int], tolerance: float, dtype: torch.dtype = torch.float64) -> tuple[SamplerState, Waving]:
    predictor, index = Waving(RATES), torch.tensor(items)
    start = Tokens((torch.arange(1, 9).view(4, 2, 1).to(dtype) / 8)[index])
    conditions = Conditions({"item": index}, {"item": torch.zeros(len(items), dtype=torch.bool)})
    solver = DormandPrince(tolerance, tolerance)
    return sample(solver, predictor, start, ENDS, conditions, Key(0, index)), predictor


@pytest.mark.parametrize("path", PATHS)
def test_the_tableau_is_of_fifth_order(path: GaussianPath) -> None:
    slopes = slopes_of_error(RungeKutta(DORMAND_PRINCE), path, (20, 40, 80))
    assert abs(slopes[1] - slopes[0]) < 0.1
    assert slopes[1] == pytest.approx(5, abs=0.15)


@pytest.mark.parametrize("rate", [0.5, 12.0])
def test_a_wave_takes_no_more_trials_than_its_bends_need(rate: float) -> None:
    """A solver that loses its way is stopped, not waited for."""

    def wave(x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        asked.append(x_t.samples)
        assert len(asked) < 500, "this many evaluations follow any of these waves"
        return Prediction(Linear(), x_t, t, x_t.expand(rate * torch.cos(rate * t)) * x_t.values, "velocity")

    asked: list[int] = []
    start = Tokens(torch.ones(1, 1, 1, dtype=torch.float64))
    state = sample(DormandPrince(1e-6, 1e-6), wave, start, ENDS, Conditions(), Key.range(0, 0, 1))
    assert state.x.values.item() == pytest.approx(math.exp(-math.sin(rate)), rel=1e-4)


@pytest.mark.parametrize("path", PATHS)
def test_the_error_follows_the_tolerance(path: GaussianPath) -> None:
    start, end = truth(path)
    low, high = INTERVALS[type(path)]
    times = torch.tensor([high, low], dtype=torch.float64)
    errors = [
        (last_node(DormandPrince(tolerance, tolerance), mixture(path), start, times) - end).abs().max().item()
        for tolerance in (1e-3, 1e-5, 1e-7, 1e-9)
    ]
    for tolerance, error in zip((1e-3, 1e-5, 1e-7, 1e-9), errors, strict=True):
        assert error < 10 * tolerance
    assert all(coarse > 5 * fine for coarse, fine in itertools.pairwise(errors))


def test_each_tolerance_matters() -> None:
    path, (start, _) = PATHS[0], truth(PATHS[0])
    times = torch.tensor([0.9, 0.1], dtype=torch.float64)
    ends = [last_node(DormandPrince(*pair), mixture(path), start, times) for pair in ((1e-2, 1e-9), (1e-9, 1e-2))]
    best = last_node(DormandPrince(1e-9, 1e-9), mixture(path), start, times)
    assert all((each - best).abs().max() > 1e-8 for each in ends)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_e38_no_sample_depends_on_the_others_of_its_batch(dtype: torch.dtype) -> None:
    """E38: one step for a whole batch makes each sample depend on its company; here to the last bit it does not."""
    together, _ = waves([0, 1, 2, 3], 1e-5, dtype)
    assert isinstance(together.passes, Tensor)
    for items in ([2], [3, 0], [1, 3, 2]):
        apart, _ = waves(items, 1e-5, dtype)
        assert torch.equal(apart.x.values, together.x.values[items])
        assert torch.equal(torch.as_tensor(apart.passes), together.passes[items])
    assert (together.passes.diff() > 0).all(), "faster waves take more steps"
    for item, rate in enumerate(RATES.tolist()):
        exact = torch.arange(1, 9).view(4, 2, 1)[item] / 8 * math.exp(-math.sin(rate))
        torch.testing.assert_close(together.x.values[item], exact.to(dtype), rtol=1e-3, atol=1e-4)


def test_e22_each_sample_pays_for_its_own_passes_and_who_has_arrived_for_none() -> None:
    """E22: passes are counted as they are spent, sample by sample."""
    state, predictor = waves([0, 1, 2, 3], 1e-6)
    spent = torch.bincount(torch.cat(predictor.asked), minlength=4)
    assert torch.equal(torch.as_tensor(state.passes), spent)
    assert ((spent - 2) % 6 == 0).all(), "two to begin, six a trial: the seventh slope is the first of the next step"


def test_nodes_on_the_way_are_met_and_cost_little() -> None:
    predictor, index = Waving(RATES), torch.arange(4)
    conditions = Conditions({"item": index}, {"item": torch.zeros(4, dtype=torch.bool)})
    times = torch.linspace(1, 0, 5, dtype=torch.float64)
    seen: list[SamplerState] = []
    start = Tokens(torch.ones(4, 1, 1, dtype=torch.float64))
    solver = DormandPrince(1e-8, 1e-8)
    state = sample(solver, predictor, start, times, conditions, Key(0, index), seen.append)
    assert len(seen) == 4
    for each, t in zip(seen, times[1:].tolist(), strict=True):
        exact = torch.exp(torch.sin(RATES * t) - torch.sin(RATES))
        torch.testing.assert_close(each.x.values[:, 0, 0], exact, rtol=1e-5, atol=1e-6)
    assert torch.equal(torch.as_tensor(state.passes), torch.bincount(torch.cat(predictor.asked)))


def test_samples_that_somebody_has_moved_are_looked_at_again() -> None:
    """Inpainting puts known tokens back between steps: what was known of the slope then is stale."""
    predictor, index = Waving(RATES), torch.arange(4)
    conditions = Conditions({"item": index}, {"item": torch.zeros(4, dtype=torch.bool)})
    solver, key = DormandPrince(1e-8, 1e-8), Key(0, index)
    state = solver.initialise(Tokens(torch.ones(4, 1, 1, dtype=torch.float64)), torch.tensor([1.0, 0.5, 0.0]).double())
    state = solver.step(state, predictor, conditions, key)
    moved = SamplerState(state.x.with_values(2 * state.x.values), state.times, 1, state.passes, state.memory)
    ends = [solver.step(each, predictor, conditions, key).x.values for each in (state, moved)]
    torch.testing.assert_close(ends[1], 2 * ends[0], rtol=1e-6, atol=0)


def test_what_cannot_be_followed_is_said_in_one_line() -> None:
    def broken(x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        return Prediction(Linear(), x_t, t, torch.where(x_t.expand(t) < 0.5, torch.nan, x_t.values), "velocity")

    with pytest.raises(RunError, match=r"sample 7 needs steps below 1e-12 at t = 0\.5.* use sampler heun"):
        sample(DormandPrince(), broken, Tokens(torch.ones(1, 1, 1)), ENDS, Conditions(), Key.range(0, 7, 1))


def test_it_walks_up_as_well_as_down() -> None:
    path, (start, end) = PATHS[0], truth(PATHS[0])
    back = last_node(DormandPrince(1e-9, 1e-9), mixture(path), end, torch.tensor([0.1, 0.9], dtype=torch.float64))
    torch.testing.assert_close(back, start, rtol=0, atol=1e-6)


def test_dopri5_estimates_its_error_as_scipy_does() -> None:
    """Both weights at c = 1 could be exchanged without loss of order, so the estimate is held to the published pair."""
    assert pytest.approx([-each for each in RK45.E], abs=1e-15) == list(_ERROR)

"""DPM-Solver++: what its orders rest on, and its ends where log-SNR is infinite."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.tokens import Tokens
from beeline.process.linear import Linear
from beeline.process.path import GaussianPath
from beeline.samplers import dpmpp_3m
from beeline.samplers.grids import build_grid
from tests.samplers.exact import PATHS, gaussian, last_node, slopes_of_error, solver, walk


@pytest.mark.parametrize("path", PATHS)
def test_e43_without_the_two_of_its_second_difference_3m_is_of_second_order(
    path: GaussianPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E43: public code takes half of the second difference, D2 = (A - B) / (r0 + r1)."""
    right = dpmpp_3m.differences

    def common(*given: Any) -> tuple[Tensor, Tensor]:
        first, second = right(*given)
        return first, 0.5 * second

    monkeypatch.setattr(dpmpp_3m, "differences", common)
    slopes = slopes_of_error(solver("dpmpp_3m"), path, (80, 160, 320))
    assert slopes[1] == pytest.approx(2, abs=0.15)


class Polynomial:
    """Expected data that are a polynomial of log-SNR and nothing else: x = sigma (x_1/sigma_1 + integral)."""

    def __init__(self, coefficients: list[float]) -> None:
        self.coefficients = coefficients

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        level = torch.log((1 - t) / t)
        x0 = sum(c * level**power for power, c in enumerate(self.coefficients))
        assert isinstance(x0, Tensor)
        return Prediction(Linear(), x_t, t, torch.ones_like(x_t.values) * x_t.expand(x0), "data")

    def end(self, start: float, high: float, low: float) -> float:
        """By Gauss and Legendre: sigma' (x / sigma + integral of exp(l) D(l) dl)."""
        import numpy as np

        nodes, shares = np.polynomial.legendre.leggauss(60)
        first, last = (float(np.log((1 - t) / t)) for t in (high, low))
        levels = 0.5 * (last - first) * nodes + 0.5 * (last + first)
        values = sum(c * levels**power for power, c in enumerate(self.coefficients))
        return low * (start / high + 0.5 * (last - first) * float(np.sum(shares * np.exp(levels) * values)))


@pytest.mark.parametrize(("name", "coefficients"), [("dpmpp_2m", [0.7]), ("dpmpp_3m", [0.7, -0.4])])
def test_polynomials_that_a_solver_can_follow_it_follows_exactly(name: str, coefficients: list[float]) -> None:
    """Constant data by 2M, data linear in log-SNR by 3M from its first step on, on uneven steps."""
    times = torch.tensor([0.9, 0.7, 0.62, 0.3, 0.2, 0.1], dtype=torch.float64)
    start, predictor = torch.full((1, 1, 1), 1.3, dtype=torch.float64), Polynomial(coefficients)
    end = last_node(solver(name), predictor, start, times)
    assert end.item() == pytest.approx(predictor.end(1.3, 0.9, 0.1), abs=1e-12)


def test_3m_follows_a_parabola_exactly_once_it_has_two_nodes_behind_it() -> None:
    """With the second difference of E43; without its 2 the last line is off by a tenth."""
    predictor = Polynomial([0.7, -0.4, 0.3])
    times = torch.tensor([0.9, 0.7, 0.62, 0.3], dtype=torch.float64)
    start = torch.full((1, 1, 1), 1.3, dtype=torch.float64)
    before = last_node(solver("dpmpp_3m"), predictor, start, times[:3])
    end = last_node(solver("dpmpp_3m"), predictor, start, times)
    assert end.item() == pytest.approx(predictor.end(before.item(), 0.62, 0.3), abs=1e-12)


@pytest.mark.parametrize("name", ["dpmpp_2m", "dpmpp_3m", "dpmpp_2m_sde"])
@pytest.mark.parametrize("steps", [3, 4, 30])
def test_infinite_log_snr_at_both_ends_is_survived(name: str, steps: int) -> None:
    """From noise alone the first step is exact for what it knows: x0 expected of noise is the mean; the last is x0."""
    data = gaussian(Linear(), 2.0, 0.5)
    start = torch.tensor([0.0, 1.0], dtype=torch.float64)[:, None, None]
    times = build_grid("uniform", steps, (0.0, 1.0))
    first = last_node(solver("dpmpp_2m"), data, start, times[:2])
    torch.testing.assert_close(first[:, 0, 0], (1 - times[1]) * 2.0 + times[1] * start[:, 0, 0])
    end = walk(name, data, start, times)
    assert end.isfinite().all()
    if name != "dpmpp_2m_sde":
        assert end[0].item() == pytest.approx(2.0, abs=1e-9)
        assert (end[1] - end[0]).item() == pytest.approx(0.5, abs=0.25 if steps < 30 else 0.02)

"""Grids by noise level: what is even in them, and their ends where noise or data are all there is."""

from __future__ import annotations

import pytest
import torch

from beeline.core.errors import UserError
from beeline.process.inverse import log_ratio
from beeline.process.linear import Linear
from beeline.process.path import GaussianPath
from beeline.process.vp import VariancePreserving
from beeline.samplers.grids import RATIO_GRIDS, build_grid
from tests.peers import levels_of

CASES = [
    (Linear(), (0.0, 1.0)),
    (Linear(), (0.02, 0.98)),
    (VariancePreserving(), (1e-3, 1.0)),
    (levels_of(), (0.01, 1.0)),
]


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("uniform", [1.0, 0.75, 0.5, 0.25, 0.0]),
        ("quadratic", [1.0, 0.5625, 0.25, 0.0625, 0.0]),
        ("cosine", [1.0, 0.8535533905932737, 0.5, 0.1464466094067262, 0.0]),
    ],
)
def test_grids_in_time_have_the_nodes_of_their_formulas(name: str, nodes: list[float]) -> None:
    """u, u^2 and (1 - cos(pi u)) / 2 of even u; a shift takes each unit node t to s t / (1 + (s - 1) t)."""
    for low, high, shift in ((0.0, 1.0, 1.0), (0.1, 0.9, 1.0), (0.1, 0.9, 3.0)):
        wanted = [low + (high - low) * shift * each / (1.0 + (shift - 1.0) * each) for each in nodes]
        assert build_grid(name, 4, (low, high), shift).tolist() == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("name", RATIO_GRIDS)
@pytest.mark.parametrize(("path", "interval"), CASES)
@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_e02_they_descend_between_their_ends(
    path: GaussianPath, interval: tuple[float, float], name: str, shift: float
) -> None:
    """E2: from t_max exactly to t_min exactly, on infinite log-SNR too."""
    for steps in (1, 2, 7, 100):
        times = build_grid(name, steps, interval, shift, path)
        assert len(times) == steps + 1
        assert (times[0].item(), times[-1].item()) == (interval[1], interval[0])
        assert (times.diff() < 0).all()


@pytest.mark.parametrize(("path", "interval"), CASES)
def test_inner_nodes_are_even_in_what_the_grid_is_named_after(
    path: GaussianPath, interval: tuple[float, float]
) -> None:
    for name, even in (("log_snr", lambda log: log), ("karras", lambda log: torch.exp(log / 7))):
        times = build_grid(name, 12, interval, process=path)
        gaps = even(log_ratio(path, times[1:-1])).diff()
        torch.testing.assert_close(gaps, gaps[:1].expand_as(gaps), rtol=1e-6, atol=1e-9)


def test_karras_is_the_published_formula() -> None:
    """Equation 5 of Karras et al. 2022 from 80 to 0.002 at rho = 7; on the linear path sigma / alpha = t / (1 - t)."""
    times = build_grid("karras", 10, (0.0, 1.0), process=Linear())
    for index in range(1, 10):
        sigma = (80 ** (1 / 7) + index / 10 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
        assert times[index].item() == pytest.approx(sigma / (1 + sigma), rel=1e-9)


def test_they_need_a_path_and_an_interval() -> None:
    for name in RATIO_GRIDS:
        with pytest.raises(UserError, match=f"grid {name}: needs the path"):
            build_grid(name, 4, (0.0, 1.0))
        with pytest.raises(UserError, match="grid must descend"):
            build_grid(name, 4, (0.5, 0.5), process=Linear())

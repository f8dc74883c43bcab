"""The great circle over all numbers of a sample."""

from __future__ import annotations

import pytest
import torch

from beeline.core.errors import UserError
from beeline.samplers.interpolation import slerp

SHARES = torch.linspace(0, 1, 9, dtype=torch.float64)


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_e38_noise_of_equal_norm_keeps_it_and_moves_by_equal_angles() -> None:
    """E38: over all numbers at once; per token the norm of no token but the whole sample's would be another."""
    a, b = draw(0, 6, 3), draw(1, 6, 3)
    a, b = a / a.norm(), b / b.norm()
    way = slerp(a, b, SHARES)
    assert way.flatten(1).norm(dim=1) == pytest.approx(torch.ones(9), abs=1e-12)
    cosines = (way[1:] * way[:-1]).flatten(1).sum(dim=1)
    assert cosines.std() < 1e-12
    torch.testing.assert_close(way[0], a)
    torch.testing.assert_close(way[-1], b)
    # Every number is mixed in the same proportions, so that two numbers determine those of all others.
    basis = torch.stack([a.flatten(), b.flatten()], dim=1)
    weights = torch.linalg.solve(basis[:2], way[3].flatten()[:2])
    torch.testing.assert_close(basis @ weights, way[3].flatten())


def test_e38_the_angle_is_that_between_directions_whatever_their_lengths() -> None:
    """E38: at 60 degrees and lengths 1 and 3, half-way stand 1/sqrt(3) of both."""
    a, b = torch.tensor([[1.0, 0.0]]).double(), torch.tensor([[1.5, 1.5 * 3**0.5]]).double()
    for first, last in ((a, b), (b, a)):
        half = slerp(first, last, torch.tensor([0.5]))[0]
        torch.testing.assert_close(half, (first + last) / 3**0.5)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_e38_between_two_gaussians_the_variance_stays_one(share: float) -> None:
    """E38: along a straight line it would fall to 1/2."""
    size = 100_000
    mixed = slerp(draw(0, size, 1), draw(1, size, 1), torch.tensor([share]))
    four_errors = 4 * (2 / size) ** 0.5
    assert mixed.var().item() == pytest.approx(1.0, abs=four_errors)
    assert mixed.mean().item() == pytest.approx(0.0, abs=4 * size**-0.5)


@pytest.mark.parametrize("nearness", [0.0, 1e-12, 1e-7, 1e-5, 1e-3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_e38_near_parallel_noise_gives_the_chord_and_no_nan(nearness: float, dtype: torch.dtype) -> None:
    """E38: sin w in the denominator is then next to nothing."""
    a = draw(0, 8, 2)
    b = a + nearness * draw(1, 8, 2)
    way = slerp(a.to(dtype), b.to(dtype), SHARES)
    straight = (1 - SHARES[:, None, None]) * a + SHARES[:, None, None] * b
    torch.testing.assert_close(way.to(torch.float64), straight, rtol=0, atol=1e-6 + nearness**2)
    assert way.dtype == dtype


def test_e38_opposite_noise_is_refused_and_nothing_is_a_point() -> None:
    """E38: every great circle between opposite points is as short as any other."""
    a = draw(0, 8, 2)
    with pytest.raises(UserError, match="each other's opposite"):
        slerp(a, -2 * a, SHARES)
    assert not slerp(torch.zeros(3, 1), torch.zeros(3, 1), SHARES).any()

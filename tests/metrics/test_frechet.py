"""The Frechet distance between Gaussians whose distance is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from beeline.metrics.frechet import Gaussian, frechet_distance, gaussian_frechet, moments


def covariance(size: int, rank: int, seed: int) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(size, rank))
    return root @ root.T


def test_of_diagonal_gaussians_it_is_the_distance_of_means_and_deviations() -> None:
    """|m1 - m2|^2 + sum (s1 - s2)^2."""
    first, second = np.array([1.0, 2.0, 0.5]), np.array([3.0, 0.0, 0.5])
    value = gaussian_frechet(
        Gaussian(np.zeros(3), np.diag(first**2)), Gaussian(np.array([1.0, -2.0, 2.0]), np.diag(second**2))
    )
    assert value == pytest.approx(9.0 + 4.0 + 4.0, rel=1e-12)


def test_of_any_gaussians_it_is_the_formula_with_a_matrix_square_root() -> None:
    one, other = covariance(6, 8, 0), covariance(6, 8, 1)
    written_out = np.trace(one + other - 2 * sqrtm(one @ other).real)
    assert gaussian_frechet(Gaussian(np.zeros(6), one), Gaussian(np.zeros(6), other)) == pytest.approx(
        written_out, rel=1e-9
    )


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_singular_covariances_are_no_special_case(rank: int) -> None:
    """Equal ones are at distance 0; on orthogonal supports nothing is shared and the traces add."""
    one = covariance(5, rank, 0) if rank else np.zeros((5, 5))
    assert gaussian_frechet(Gaussian(np.ones(5), one), Gaussian(np.ones(5), one)) == pytest.approx(
        0.0, abs=1e-9 * (1 + np.trace(one))
    )
    apart = [np.zeros((10, 10)), np.zeros((10, 10))]
    apart[0][:5, :5], apart[1][5:, 5:] = one, one
    value = gaussian_frechet(Gaussian(np.zeros(10), apart[0]), Gaussian(np.zeros(10), apart[1]))
    assert value == pytest.approx(2 * np.trace(one), rel=1e-6)


def test_samples_move_and_turn_together_without_changing_it() -> None:
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(60, 4)), 1.5 * random.normal(size=(50, 4)) + 0.3
    turn, _ = np.linalg.qr(random.normal(size=(4, 4)))
    value = frechet_distance(real, generated).value
    assert frechet_distance(real @ turn + 7, generated @ turn + 7).value == pytest.approx(value, rel=1e-9)
    assert frechet_distance(3 * real, 3 * generated).value == pytest.approx(9 * value, rel=1e-9)
    assert frechet_distance(generated, real).value == pytest.approx(value, rel=1e-9)


def test_its_interval_holds_the_truth_and_narrows_with_more_samples() -> None:
    truth = 4.0 * 3
    widths = []
    for count in (400, 6400):
        random = np.random.default_rng(1)
        found = frechet_distance(random.normal(size=(count, 3)), random.normal(size=(count, 3)) + 2.0, interval=True)
        assert found.low < truth < found.high
        widths.append(found.high - found.low)
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.5)


def test_a_single_sample_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="at least 2 samples"):
        moments(np.zeros((1, 3)))

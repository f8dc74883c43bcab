"""Populations of cells: known answers."""

from __future__ import annotations

import numpy as np
import pytest

from beeline.metrics.populations import (
    Components,
    correlation_error,
    genes_detected,
    library,
    size_distance,
    variance_ratio,
    wasserstein,
    zero_share_error,
)

RANDOM = np.random.default_rng(0)
REAL = RANDOM.normal(size=(400, 30))


def test_variance_ratio_is_the_square_of_the_spread_over_genes_that_vary() -> None:
    still = np.concatenate([REAL, np.full((400, 40), 5.0)], axis=1)
    assert variance_ratio(still, 0.5 * still) == pytest.approx(0.25)
    assert variance_ratio(REAL, np.tile(REAL.mean(axis=0), (9, 1))) == pytest.approx(0)
    assert np.isnan(variance_ratio(np.ones((5, 2)), REAL[:, :2]))


def test_zero_share_is_told_gene_by_gene() -> None:
    real = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert zero_share_error(real, real[::-1]) == 0
    assert zero_share_error(real, real[:, ::-1]) == pytest.approx(0.5), "the same share in all"
    assert zero_share_error(real, real - 1) == pytest.approx((0.75 + 0.25) / 2), "below 0 is nothing too"


def test_sizes_are_compared_by_the_largest_gap_between_their_distribution_functions() -> None:
    from scipy.stats import ks_2samp

    assert size_distance(np.array([1, 2, 3]), np.array([3, 1, 2])) == 0
    assert size_distance(np.array([1, 2]), np.array([5, 6, 7])) == 1
    assert size_distance(np.array([1, 2, 3, 4]), np.array([3, 4, 5, 6])) == pytest.approx(0.5)
    assert size_distance(np.array([1, 1, 2]), np.array([1, 2, 2])) == pytest.approx(1 / 3), "ties"
    one, other = RANDOM.integers(0, 30, 200), RANDOM.integers(3, 33, 90)
    assert size_distance(one, other) == pytest.approx(ks_2samp(one, other).statistic)
    cells = np.array([[0.0, 2.0, 5.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])
    assert genes_detected(cells).tolist() == [2, 1, 0]
    assert library(cells).tolist() == [7, 1, -1]


def test_correlation_error_is_a_root_mean_square_over_pairs_of_genes_that_vary_most() -> None:
    shared = RANDOM.normal(size=(20_000, 1))
    together = np.repeat(shared, 5, axis=1)
    apart = RANDOM.normal(size=(20_000, 5))
    assert correlation_error(together, apart) == pytest.approx(1.0, abs=0.02)
    assert correlation_error(REAL, 3 * REAL + 1) == pytest.approx(0, abs=1e-9)
    assert correlation_error(together, np.ones((4, 5))) == pytest.approx(1.0), "nothing varies, nothing correlates"
    loud = np.concatenate([10 * REAL[:, :3], REAL[:, 3:]], axis=1)
    changed = loud.copy()
    changed[:, 3:] = RANDOM.normal(size=changed[:, 3:].shape)
    assert correlation_error(loud, changed, most=3) == pytest.approx(0, abs=1e-9)
    assert correlation_error(loud, changed) > 0.01
    assert np.isnan(correlation_error(np.ones((5, 3)), REAL[:, :3]))


def test_wasserstein_of_a_shift_is_its_length_and_the_pairing_is_the_best() -> None:
    shift = np.zeros(30)
    shift[:2] = 3.0, 4.0
    assert wasserstein(REAL, RANDOM.permutation(REAL + shift)) == pytest.approx(5.0)
    assert wasserstein(np.array([[0.0], [1.0]]), np.array([[1.0], [0.0]])) == 0
    assert wasserstein(REAL, REAL + shift, most=10) == pytest.approx(5.0)


def test_components_keep_the_directions_of_most_variance() -> None:
    cells = RANDOM.normal(size=(300, 6)) * np.array([9.0, 5.0, 1, 1, 1, 1]) + 100
    found = Components(cells, 2)
    scores = found(cells)
    assert scores.shape == (300, 2)
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-9)
    assert np.abs(np.corrcoef(scores[:, 0], cells[:, 0])[0, 1]) > 0.99

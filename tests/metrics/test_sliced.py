"""Wasserstein distances of one number, and sliced ones of many, against transports that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from beeline.metrics.intervals import jackknife
from beeline.metrics.sliced import directions, sliced_wasserstein, wasserstein


def test_of_equal_numbers_it_is_the_best_assignment() -> None:
    random = np.random.default_rng(0)
    one, other = random.normal(size=9), random.exponential(size=9)
    for order in (1, 2):
        costs = np.abs(one[:, None] - other[None]) ** order
        best = costs[linear_sum_assignment(costs)].mean()
        assert wasserstein(one, other, order) == pytest.approx(best ** (1 / order))


def test_sets_of_any_two_sizes_are_compared_exactly() -> None:
    """Each item repeated so often that both sets have 4 x 6 = 24 items is the same distribution."""
    random = np.random.default_rng(0)
    for m, n in ((4, 6), (1, 5), (7, 3)):
        one, other = random.normal(size=m), random.normal(size=n)
        for order in (1, 2):
            repeated = wasserstein(np.repeat(one, n), np.repeat(other, m), order)
            assert wasserstein(one, other, order) == pytest.approx(repeated)
    assert wasserstein(np.array([0.0, 1.0]), np.array([5.0])) == 4.5
    assert math.isnan(wasserstein(np.array([0.0, np.nan]), np.array([5.0])))


def test_between_gaussians_of_one_number_it_is_the_difference_of_mean_and_spread() -> None:
    random = np.random.default_rng(0)
    one, other = random.normal(size=40000), 0.3 + 1.4 * random.normal(size=30000)
    assert wasserstein(one, other, 2) == pytest.approx(math.hypot(0.3, 0.4), rel=0.03)


def test_directions_are_orthonormal_within_a_basis_and_uniform_over_seeds() -> None:
    along = directions(5, 12, 0)
    assert along.shape == (5, 12)
    for basis in (along[:, :5], along[:, 5:10], along[:, 10:]):
        assert basis.T @ basis == pytest.approx(np.eye(basis.shape[1]), abs=1e-12)
    first = np.stack([directions(3, 1, seed)[:, 0] for seed in range(3000)])
    assert np.abs(first.mean(axis=0)).max() < 0.04, "not of one sign"
    assert np.abs(first.T @ first / 3000 - np.eye(3) / 3).max() < 0.03


@pytest.mark.parametrize("numbers", [1, 4, 30])
def test_a_shift_is_its_length_over_the_root_of_the_dimension(numbers: int) -> None:
    """Along a the distance is |a.m|, and over an orthonormal basis (a.m)^2 adds up to |m|^2."""
    random = np.random.default_rng(0)
    real, shift = random.normal(size=(50, numbers)), random.normal(size=numbers)
    found = sliced_wasserstein(real, real + shift, count=4 * numbers)
    assert found.value == pytest.approx(np.linalg.norm(shift) / math.sqrt(numbers), rel=1e-9)


def test_between_gaussians_of_other_spread_it_is_the_difference_of_spreads() -> None:
    """Equal means, twice the spread: 1 along every direction; equal distributions: small, and positive."""
    random = np.random.default_rng(0)
    real = random.normal(size=(4000, 8))
    assert sliced_wasserstein(real, 2 * random.normal(size=(3000, 8))).value == pytest.approx(1.0, rel=0.03)
    assert 0 < sliced_wasserstein(real, random.normal(size=(3000, 8))).value < 0.06


def test_its_interval_is_what_leaving_out_each_twentieth_gives() -> None:
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(47, 3)), random.normal(size=(35, 3)) + 0.5
    found = sliced_wasserstein(real, generated, seed=3, count=20, interval=True)
    parts = [
        [sliced_wasserstein(real[np.arange(47) % 20 != group], generated, 3, 20).value for group in range(20)],
        [sliced_wasserstein(real, generated[np.arange(35) % 20 != group], 3, 20).value for group in range(20)],
    ]
    wanted = jackknife(found.value, [np.array(each) for each in parts], low=0.0)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))

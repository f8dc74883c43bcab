"""MMD against its definition, its closed form between Gaussians, and its mean where there is nothing to find."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from beeline.metrics.distances import squared_distances
from beeline.metrics.mmd import CubicDiscrepancy, KernelDiscrepancy, median_bandwidth


def kernel(x: np.ndarray, y: np.ndarray, bandwidth: float) -> np.ndarray:
    return np.exp(-np.square(x[:, None] - y[None]).sum(-1) / (2 * bandwidth**2))


def written_out(real: np.ndarray, generated: np.ndarray, bandwidth: float) -> float:
    def within(x: np.ndarray) -> float:
        of_pairs = kernel(x, x, bandwidth)
        return float((of_pairs.sum() - np.trace(of_pairs)) / (len(x) * (len(x) - 1)))

    return within(real) + within(generated) - 2 * float(kernel(real, generated, bandwidth).mean())


def test_it_is_the_u_statistic_and_its_jackknife_leaves_out_one_sample_at_a_time() -> None:
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(13, 3)), random.normal(size=(9, 3)) + 1
    found = KernelDiscrepancy(real, 1.3)(generated, interval=True)
    assert found.value == pytest.approx(written_out(real, generated, 1.3), abs=1e-12)
    parts = [
        [written_out(np.delete(real, index, 0), generated, 1.3) for index in range(13)],
        [written_out(real, np.delete(generated, index, 0), 1.3) for index in range(9)],
    ]
    variance = sum((len(each) - 1) * np.var(each) for each in parts)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 8) * np.sqrt(variance), rel=1e-9)


def test_between_gaussians_it_is_the_closed_form() -> None:
    """E k(x, y) = (1 + 2/s^2)^(-D/2) exp(-|m|^2 / (2 (s^2 + 2))) for unit Gaussians a distance m apart."""
    random, shift, bandwidth = np.random.default_rng(0), np.array([1.0, 0.0]), 1.5
    found = KernelDiscrepancy(random.normal(size=(3000, 2)), bandwidth)(random.normal(size=(3000, 2)) + shift)
    truth = 2 / (1 + 2 / bandwidth**2) * (1 - np.exp(-1 / (2 * (bandwidth**2 + 2))))
    assert found.value == pytest.approx(truth, rel=0.1)


def test_where_there_is_no_difference_its_mean_is_zero_and_it_is_negative_about_as_often() -> None:
    random = np.random.default_rng(0)
    values = [KernelDiscrepancy(random.normal(size=(30, 2)))(random.normal(size=(40, 2))).value for _ in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert 0.3 < np.mean(np.array(values) < 0) < 0.8


def test_the_bandwidth_is_the_median_of_the_real_set_alone() -> None:
    real = np.array([[0.0], [1.0], [3.0]])
    assert median_bandwidth(real) == 2.0
    line = np.arange(2000.0)[:, None]
    assert median_bandwidth(line) == 2 * median_bandwidth(line[:1000]), "of many, those evenly spread"
    far = KernelDiscrepancy(real)(1000.0 + real)
    assert far.value == pytest.approx(2 * np.exp([-1 / 8, -4 / 8, -9 / 8]).mean(), rel=1e-9)
    with pytest.raises(ValueError, match="no bandwidth"):
        median_bandwidth(np.array([[0.0], [0.0], [0.0], [0.0], [1.0]]))


def test_numbers_far_from_zero_lose_no_digits() -> None:
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(30, 5)), random.normal(size=(30, 5)) + 0.3
    near = KernelDiscrepancy(real)(generated).value
    assert KernelDiscrepancy(real + 2.0**26)(generated + 2.0**26).value == pytest.approx(near, abs=1e-7)


def test_distances_between_whole_numbers_are_whole() -> None:
    """Of 8-bit images equal distances stay equal, and two that are alike have none."""
    random = np.random.default_rng(0)
    whole = random.integers(0, 256, size=(20, 7)).astype(np.uint8)
    found = np.concatenate([rows for _, rows in squared_distances(whole, whole)])
    apart = whole[:, None].astype(int) - whole[None].astype(int)
    assert np.array_equal(found, (apart**2).sum(axis=-1))


def test_the_cubic_kernel_compares_three_moments() -> None:
    """Of one number (xy + 1)^3 = 1 + 3 xy + 3 (xy)^2 + (xy)^3: MMD^2 = 3 d1^2 + 3 d2^2 + d3^2 of moment differences.

    Exactly so in the mean over all sets of three that can be drawn, from two values and from three.
    """
    real, generated = np.array([0.0, 1.0]), np.array([-1.0, 0.5, 1.5])
    sets = [np.array(list(itertools.product(values, repeat=3)))[..., None] for values in (real, generated)]
    found = [CubicDiscrepancy(one)(other).value for one in sets[0] for other in sets[1]]
    moments = [(real**power).mean() - (generated**power).mean() for power in (1, 2, 3)]
    assert np.mean(found) == pytest.approx(3 * moments[0] ** 2 + 3 * moments[1] ** 2 + moments[2] ** 2)


def test_the_cubic_kernel_is_the_u_statistic_over_all_pairs() -> None:
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(7, 4)), random.normal(size=(5, 4)) + 1

    def cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / 4 + 1) ** 3

    own = [(np.sum(of) - np.trace(of)) / (len(of) * (len(of) - 1)) for of in (cubic(x, x) for x in (real, generated))]
    assert CubicDiscrepancy(real)(generated).value == pytest.approx(sum(own) - 2 * cubic(real, generated).mean())


def test_a_kernel_of_median_width_sees_what_fixed_narrow_ones_do_not() -> None:
    """Trap 4 of the domains: in 50 dimensions of spread 3 a kernel exp(-2 |d|^2) is 0 for every pair."""
    random = np.random.default_rng(0)
    real, shifted = 3 * random.normal(size=(400, 50)), 3 * random.normal(size=(400, 50)) + 1
    assert KernelDiscrepancy(real, bandwidth=0.5)(shifted).value == pytest.approx(0.0, abs=1e-12)
    assert KernelDiscrepancy(real)(shifted, interval=True).low > 0.01

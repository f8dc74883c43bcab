"""Errors, totals and similarity of fields with known differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ks_2samp

from beeline.metrics.fields import (
    kolmogorov_smirnov,
    mean_squared_error,
    relative_l2,
    rescaled_to_totals,
    total_departure,
    totals,
)
from beeline.metrics.reduction import masked_mean, root_mean
from beeline.metrics.similarity import peak_signal_to_noise, structural_similarity


def test_a_masked_mean_is_over_what_counts_and_nan_where_nothing_does() -> None:
    values = np.array([[[1.0, 10.0], [3.0, 20.0]], [[5.0, 30.0], [7.0, np.nan]]])
    assert masked_mean(values)[0] == 8.5
    assert np.isnan(masked_mean(values)[1]), "never skipped silently"
    kept = ~np.isnan(values)
    assert masked_mean(values, kept) == pytest.approx([8.5, 14.0])
    assert masked_mean(values, np.array([[True], [False]]), axes=(1,)).tolist() == [[1.0, 10.0], [5.0, 30.0]]
    assert np.isnan(masked_mean(values, np.zeros(2, dtype=bool))).all()


def test_an_error_is_per_example_and_channel_and_its_root_comes_last() -> None:
    real = np.zeros((2, 4, 5, 2))
    found = mean_squared_error(real + np.array([1.0, 3.0])[:, None, None, None] * np.array([1.0, 10.0]), real)
    assert found.tolist() == [[1.0, 100.0], [9.0, 900.0]]
    assert root_mean(found[:, 0]) == pytest.approx(math.sqrt(5)), "not 2, the mean of the roots"
    half = np.arange(5) < 2
    wrong = np.where(half[:, None], 7.0, real)
    assert mean_squared_error(wrong, real, ~half[:, None]) == pytest.approx(0.0)
    with pytest.raises(ValueError, match="cannot be compared"):
        mean_squared_error(real[..., :1], real)


def test_a_relative_error_has_no_unit() -> None:
    real = np.random.default_rng(0).normal(size=(3, 6, 1))
    assert relative_l2(1.1 * real, real) == pytest.approx(0.1)
    assert relative_l2(1.1e5 * real, 1e5 * real) == pytest.approx(0.1)
    assert relative_l2(np.zeros_like(real), real) == pytest.approx(1.0)
    orthogonal = np.array([[[3.0], [0.0]]]), np.array([[[0.0], [4.0]]])
    assert relative_l2(*orthogonal) == pytest.approx(5 / 4)
    kept = np.array([True] * 3 + [False] * 3)[:, None]
    assert relative_l2(np.where(kept, 2 * real, 99.0), real, kept) == pytest.approx(1.0)
    assert np.isnan(relative_l2(real, 0 * real)).all()


def test_a_total_is_a_sum_of_cells_and_its_scatter_that_of_inputs() -> None:
    real = np.stack([np.full((4, 5, 1), level) for level in (1.0, 2.0, 4.0)])
    factor = np.array([0.9, 1.0, 1.2])
    generated = real * factor[:, None, None, None]
    assert totals(real, cell=0.5)[:, 0].tolist() == [10.0, 20.0, 40.0]
    assert totals(real, how="mean")[:, 0].tolist() == [1.0, 2.0, 4.0]
    mean, scatter = total_departure(totals(generated), totals(real))
    assert (mean[0], scatter[0]) == pytest.approx(((factor - 1).mean(), factor.std(ddof=1)))
    mean, _ = total_departure(totals(generated), totals(real), relative=False)
    assert mean[0] == pytest.approx((-2 + 0 + 16) / 3)
    with pytest.raises(ValueError, match="a true total is 0"):
        total_departure(totals(real), np.zeros((3, 1)))


def test_e35_totals_are_as_sampled_and_rescaling_is_asked_for() -> None:
    """Feedback moves a tenth of the matter out of a box: rescaled to the input's total, the truth looks wrong."""
    random = np.random.default_rng(0)
    matter = random.gamma(2.0, size=(20, 8, 8, 1))
    truth = 0.9 * matter
    generated = truth * (1 + 0.02 * random.normal(size=(20, 1, 1, 1)))
    mean, scatter = total_departure(totals(generated), totals(truth))
    assert abs(mean[0]) < 0.02
    assert scatter[0] == pytest.approx(0.02, rel=0.4)
    rescaled = rescaled_to_totals(generated, totals(matter))
    assert totals(rescaled) == pytest.approx(totals(matter))
    mean, scatter = total_departure(totals(rescaled), totals(truth))
    assert mean[0] == pytest.approx(1 / 9), "a bias that nobody sampled"
    assert scatter[0] == pytest.approx(0.0, abs=1e-12), "and an error that is hidden"
    with pytest.raises(ValueError, match="total is 0"):
        rescaled_to_totals(0 * generated, totals(matter))


def test_the_distance_of_distribution_functions_is_the_library_s() -> None:
    random = np.random.default_rng(0)
    for one, other in (
        (random.normal(size=70), random.normal(size=50) + 0.5),
        (random.integers(0, 4, 60), random.integers(1, 6, 31)),
    ):
        assert kolmogorov_smirnov(one, other) == pytest.approx(ks_2samp(one, other).statistic)
        assert kolmogorov_smirnov(other, one) == kolmogorov_smirnov(one, other)
    assert kolmogorov_smirnov(np.zeros((2, 3)), np.ones(4)) == 1.0
    assert math.isnan(kolmogorov_smirnov(np.array([1.0, np.nan]), np.ones(4)))
    with pytest.raises(ValueError, match="either side"):
        kolmogorov_smirnov(np.zeros(0), np.ones(4))


def similarity_written_out(x: np.ndarray, y: np.ndarray, data_range: float) -> float:
    """Wang et al. 2004, place by place."""
    places = np.arange(-5, 6)
    weights = np.exp(-(places[:, None] ** 2 + places**2) / (2 * 1.5**2))
    weights /= weights.sum()
    one, two = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = []
    for row in range(x.shape[0] - 10):
        for column in range(x.shape[1] - 10):
            a, b = (each[row : row + 11, column : column + 11] for each in (x, y))
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            variance_a, variance_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            both = (weights * (a - mean_a) * (b - mean_b)).sum()
            top = (2 * mean_a * mean_b + one) * (2 * both + two)
            values.append(top / ((mean_a**2 + mean_b**2 + one) * (variance_a + variance_b + two)))
    return float(np.mean(values))


def test_similarity_is_the_published_formula_place_by_place() -> None:
    random = np.random.default_rng(0)
    real = random.random((2, 17, 14, 2)) * np.array([255.0, 1.0])
    generated = real + random.normal(size=real.shape) * np.array([30.0, 0.3])
    found = structural_similarity(generated, real, np.array([255.0, 1.0]))
    for example in range(2):
        for channel, data_range in enumerate((255.0, 1.0)):
            wanted = similarity_written_out(generated[example, ..., channel], real[example, ..., channel], data_range)
            assert found[example, channel] == pytest.approx(wanted, rel=1e-9)
    assert structural_similarity(real, real, 1.0) == pytest.approx(1.0)
    far = 1e5 + real[..., 1:]
    wanted = similarity_written_out(far[0, ..., 0] + 1, far[0, ..., 0], 1.0)
    assert structural_similarity(far + 1, far, 1.0)[0, 0] == pytest.approx(wanted, rel=1e-6)


def test_similarity_of_two_flat_fields_is_that_of_their_means() -> None:
    """No variance: (2 a b + C1) / (a^2 + b^2 + C1), in one, two and three dimensions."""
    for shape in ((12,), (11, 13), (11, 11, 12)):
        a, b = np.full((1, *shape, 1), 3.0), np.full((1, *shape, 1), 4.0)
        one = (0.01 * 10.0) ** 2
        assert structural_similarity(a, b, 10.0)[0, 0] == pytest.approx((24 + one) / (25 + one))
    with pytest.raises(ValueError, match="window of 11 points does not fit"):
        structural_similarity(a[:, :5], b[:, :5], 1.0)
    with pytest.raises(ValueError, match="data range must be positive"):
        structural_similarity(a, b, 0.0)


def test_the_signal_to_noise_ratio_is_in_decibels_of_the_stated_range() -> None:
    real = np.zeros((1, 8, 8, 1))
    assert peak_signal_to_noise(real + 0.1, real, 1.0)[0, 0] == pytest.approx(20.0)
    assert peak_signal_to_noise(real + 0.1, real, 10.0)[0, 0] == pytest.approx(40.0)
    assert peak_signal_to_noise(real, real, 1.0)[0, 0] == np.inf

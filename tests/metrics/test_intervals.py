"""Intervals hold the truth about as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from beeline.metrics.intervals import bootstrap, difference, jackknife


def test_a_bootstrap_of_the_mean_holds_it_19_times_of_20() -> None:
    random = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        found = bootstrap([random.exponential(size=60)], np.mean, seed)
        held += found.low <= 1.0 <= found.high
    assert 0.88 <= held / 200 <= 0.99


def test_a_bootstrap_redraws_every_sample_and_depends_on_its_seed_alone() -> None:
    random = np.random.default_rng(0)
    one, other = random.normal(size=50), random.normal(size=50)

    def ratio(x: np.ndarray, y: np.ndarray) -> float:
        return float(x.sum() - y.sum())

    both = bootstrap([one, other], ratio, 1)
    assert both == bootstrap([one, other], ratio, 1)
    assert both != bootstrap([one, other], ratio, 2)
    single = bootstrap([one], lambda x: ratio(x, other), 1)
    assert both.high - both.low > 1.15 * (single.high - single.low)
    assert math.isnan(bootstrap([one], np.mean, None).low)


def test_where_leaving_out_changes_nothing_there_is_no_interval() -> None:
    assert math.isnan(jackknife(0.0, [np.zeros(20), np.zeros(20)], 0.0, 1.0).high)


def test_the_jackknife_of_a_mean_is_its_standard_error_and_samples_add() -> None:
    values = np.random.default_rng(0).normal(size=40)
    left_out = (values.sum() - values) / 39
    error = values.std(ddof=1) / math.sqrt(40)
    found = jackknife(values.mean(), [left_out])
    assert found.high - found.value == pytest.approx(1.959964 * error)
    twice = jackknife(values.mean(), [left_out, left_out])
    assert twice.high - twice.value == pytest.approx(1.959964 * error * math.sqrt(2))
    assert jackknife(0.0, [left_out], low=0.0).low == 0.0


def test_a_paired_difference_is_the_interval_of_the_differences() -> None:
    """Of means, leaving out of both does what leaving out of the differences does; what they share cancels."""
    random = np.random.default_rng(0)
    shared = random.normal(size=60)
    one, other = shared + 0.1 * random.normal(size=60), shared + 0.1 * random.normal(size=60)

    def of_mean(values: np.ndarray) -> np.ndarray:
        return (values.sum() - values) / 59

    whole = [jackknife(each.mean(), [of_mean(each)]) for each in (one, other)]
    apart, direct = difference(*whole), jackknife((one - other).mean(), [of_mean(one - other)])
    assert apart.low == pytest.approx(direct.low)
    assert apart.high == pytest.approx(direct.high)
    assert apart.high - apart.low < 0.3 * (whole[0].high - whole[0].low)
    redrawn = difference(bootstrap([one], np.mean, 7), bootstrap([other], np.mean, 7))
    again = bootstrap([one - other], np.mean, 7)
    assert redrawn.low == pytest.approx(again.low)
    assert redrawn.high == pytest.approx(again.high)


def test_numbers_of_unequal_sizes_have_a_difference_but_no_interval() -> None:
    found = difference(jackknife(1.0, [np.arange(4.0)]), jackknife(0.5, [np.arange(5.0)]))
    assert found.value == 0.5
    assert math.isnan(found.low)

"""Intervals hold the truth about as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from beeline.metrics.intervals import bootstrap, difference, group_bootstrap, jackknife, redrawn_groups, tail


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


def test_the_smaller_of_two_samples_says_how_far_out_the_ends_lie() -> None:
    """Of four items against 200 the interval is Student's, even about the value, as of four alone."""
    random = np.random.default_rng(0)
    few, many = random.exponential(size=4), random.exponential(size=200)
    found = bootstrap([few, many], lambda x, y: float(x.mean() - y.mean()), 0)
    assert found.redrawn is not None
    margin = stats.t.ppf(0.975, 3) * found.redrawn.std() * math.sqrt(4 / 3)
    assert (found.high - found.value, found.value - found.low) == pytest.approx((margin, margin))


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
    assert jackknife(0.0, [left_out], low=0.0).low == jackknife(0.0, [left_out], high=0.0).high == 0.0


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


def test_with_groups_of_one_the_group_bootstrap_is_the_bootstrap() -> None:
    values = np.random.default_rng(0).exponential(size=40)
    for statistic in (np.mean, np.median):
        assert group_bootstrap([values], statistic, np.arange(40), 5) == bootstrap([values], statistic, 5)


def test_examples_that_are_alike_within_a_group_are_worth_one_each() -> None:
    """12 groups of 25 equal examples: the interval of the 12, five times that of 300 independent ones and the tails."""
    means = np.random.default_rng(0).normal(size=12)
    values, group = np.repeat(means, 25), np.repeat([f"month {place:02}" for place in range(12)], 25)
    found = group_bootstrap([values], np.mean, group, 3)
    of_means = bootstrap([means], np.mean, 3)
    assert (found.value, found.low, found.high) == pytest.approx((of_means.value, of_means.low, of_means.high))
    blind = bootstrap([values], np.mean, 3)
    assert found.high - found.low == pytest.approx(5 * 2.3 / 1.96 * (blind.high - blind.low), rel=0.2)


def test_a_group_bootstrap_holds_the_mean_19_times_of_20_where_the_plain_one_does_not() -> None:
    random, group = np.random.default_rng(0), np.repeat(np.arange(40), 5)
    held, held_by_plain = 0, 0
    for seed in range(100):
        values = random.normal(size=40)[group] + 0.3 * random.normal(size=200)
        found, plain = group_bootstrap([values], np.mean, group, seed), bootstrap([values], np.mean, seed)
        held += found.low <= 0.0 <= found.high
        held_by_plain += plain.low <= 0.0 <= plain.high
    assert 85 <= held <= 99
    assert held_by_plain < 75


def test_groups_of_any_order_and_size_are_drawn_whole_and_values_stay_together() -> None:
    group = np.array(["b", "a", "c", "a", "b", "a"])
    for rows in redrawn_groups(group, 0, 50):
        counts = np.bincount(rows, minlength=6)
        for name in "abc":
            assert len(set(counts[group == name])) == 1, "all examples of a group, equally often"
        assert sum(counts[[0, 1, 2]]) == 3, "as many groups as there are"
    one = np.random.default_rng(0).normal(size=6)
    ratio = group_bootstrap([2 * one, one], lambda x, y: float(x.sum() / y.sum()), group, 0)
    assert (ratio.low, ratio.high) == pytest.approx((2.0, 2.0)), "redrawn at the same places"
    assert math.isnan(group_bootstrap([one], np.mean, np.zeros(6), 0).low), "one group has no interval"
    with pytest.raises(ValueError, match="6 examples have a group, but 5 have a value"):
        group_bootstrap([one[:5]], np.mean, group, 0)


def test_what_both_models_find_hard_cancels_in_their_paired_difference() -> None:
    random = np.random.default_rng(0)
    hard = 10 * random.normal(size=100)
    better, worse = hard + random.normal(size=100), hard + 1.0 + random.normal(size=100)
    group = np.arange(100) // 2
    found = difference(*(group_bootstrap([each], np.mean, group, 0) for each in (better, worse)))
    assert found.value == pytest.approx((better - worse).mean())
    assert found.high < 0, "the difference is sure"
    wide = group_bootstrap([better], np.mean, group, 0)
    assert found.high - found.low < 0.3 * (wide.high - wide.low)
    same = difference(*[group_bootstrap([hard], np.median, group, 0)] * 2)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 8, 12])
def test_intervals_of_few_groups_hold_the_mean_in_nineteen_of_twenty(count: int) -> None:
    """Of Gaussian groups, within what 400 trials can tell and what quantiles of 200 replicates can resolve."""
    random, held = np.random.default_rng(count), 0
    for trial in range(400):
        values = np.repeat(random.normal(size=count), 3)
        found = group_bootstrap([values], np.mean, np.repeat(np.arange(count), 3), trial)
        held += found.low <= 0 <= found.high
    assert held / 400 > 0.95 - (0.03 if count < 8 else 0.06)


def test_a_jackknife_of_few_groups_takes_students_quantile() -> None:
    values = np.array([1.0, 2.0, 4.0])
    left_out = (values.sum() - values) / 2
    found = jackknife(values.mean(), [left_out])
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 2) * values.std(ddof=1) / math.sqrt(3))
    assert math.isnan(jackknife(1.0, [left_out[:1]]).low), "a single group tells nothing"
    assert math.isnan(jackknife(1.0, [np.array([1.0, np.nan, 2.0])]).low), "nor does one that cannot be left out"


def test_levels_of_quantiles_are_those_of_the_normal_law_with_many_items() -> None:
    assert tail(10_000) == pytest.approx(0.025, rel=1e-3)
    assert tail(8) == pytest.approx(0.005738, rel=1e-3)

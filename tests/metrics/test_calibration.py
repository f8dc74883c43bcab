"""Ranks, coverage and spread/skill of ensembles that are calibrated by construction: exact at every number of draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from beeline.metrics.calibration import (
    calibration_curve,
    central_levels,
    covered,
    expected_squared_error,
    nearest_level,
    probability_integral_transform,
    rank_histogram,
    ranks,
    spread_skill,
    squared_error_of_mean,
)
from beeline.metrics.ensembles import deviation_map, mean_map, quantile_maps


def perfect(members: int, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws and truth from one skewed distribution an input: of its own scale and place."""
    random = np.random.default_rng(seed)
    place, scale = random.normal(size=count), 1 + random.random(count)
    drawn = place[:, None] + scale[:, None] * random.exponential(size=(count, members + 1))
    return drawn[:, 1:], drawn[:, 0]


def test_every_order_is_one_rank() -> None:
    members = np.array([[1.0, 5.0, 3.0]] * 4)
    assert ranks(members, np.array([0.0, 2.0, 4.0, 6.0])).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("members", [1, 2, 9, 63])
def test_a_perfect_ensemble_has_a_flat_histogram_and_covers_at_every_level(members: int) -> None:
    count = 20000
    draws, truth = perfect(members, count)
    found = ranks(draws, truth)
    histogram, wanted = rank_histogram(found, members), count / (members + 1)
    chi_squared = float(np.square(histogram - wanted).sum() / wanted)
    assert chi_squared < members + 4 * math.sqrt(2 * members)
    levels, shares = calibration_curve(found, members)
    assert levels == pytest.approx(np.arange(1, members + 1) / (members + 1))
    assert np.abs(shares - levels).max() < 0.015
    for order, level in enumerate(central_levels(members), 1):
        ordered = np.sort(draws, axis=1)
        inside = (ordered[:, order - 1] < truth) & (truth < ordered[:, members - order])
        assert (covered(found, members, order) == inside).all(), "the k-th draws from either end"
        assert inside.mean() == pytest.approx(level, abs=0.015)


def test_levels_are_those_of_ranks_and_the_nearest_is_named() -> None:
    assert nearest_level(63, 0.9) == (3, 58 / 64)
    assert nearest_level(19, 0.9) == (1, 0.9)
    assert nearest_level(2, 0.9) == (1, pytest.approx(1 / 3))
    assert central_levels(4) == pytest.approx([3 / 5, 1 / 5])


def test_e33_calibration_is_told_by_ranks_not_by_one_over_one_plus_sigma() -> None:
    """Right, twice too narrow and twice too wide for the same truth: 1/(1 + sigma) ranks the narrow one best."""
    random = np.random.default_rng(0)
    truth, draws = random.normal(size=8000), random.normal(size=(8000, 19))
    share = {}
    for spread in (0.5, 1.0, 2.0):
        found = ranks(spread * draws, truth)
        share[spread] = covered(found, 19, 1).mean()
        ends = rank_histogram(found, 19)[[0, -1]].sum() / 8000
        assert ends == pytest.approx(1 - share[spread]), "a U when too narrow, a hill when too wide"
    assert share[0.5] < 0.7 < 0.88 < share[1.0] < 0.92 < 0.98 < share[2.0]
    confidence = {spread: (1 / (1 + spread * draws.std(axis=1))).mean() for spread in share}
    assert max(confidence, key=lambda spread: confidence[spread]) == 0.5


@pytest.mark.parametrize("members", [2, 4, 16])
def test_spread_over_skill_is_one_for_a_perfect_ensemble_of_any_size(members: int) -> None:
    random = np.random.default_rng(0)
    draws, truth = random.normal(size=(60000, members)), random.normal(size=60000)
    expected, found = expected_squared_error(draws), squared_error_of_mean(draws, truth)
    assert expected.mean() == pytest.approx(1 + 1 / members, rel=0.02)
    assert spread_skill(expected, found) == pytest.approx(1.0, abs=0.015)
    without_factor = math.sqrt(draws.var(axis=1, ddof=1).mean() / found.mean())
    assert without_factor == pytest.approx(math.sqrt(members / (members + 1)), abs=0.015)
    assert math.isnan(spread_skill(expected, np.zeros(60000))), "nothing was wrong, and no ratio says so"
    half = spread_skill(expected_squared_error(draws / 2), squared_error_of_mean(draws / 2, truth))
    assert half == pytest.approx(math.sqrt((1 + 1 / members) / (4 + 1 / members)), abs=0.015)


def test_ties_are_broken_by_chance_and_by_the_seed() -> None:
    """A field of zeros with a little rain: all draws equal to the truth, and every rank as likely."""
    members, truth = np.zeros((4000, 4)), np.zeros(4000)
    found = ranks(members, truth, seed=1)
    assert rank_histogram(found, 4) == pytest.approx([800] * 5, abs=100)
    assert (found == ranks(members, truth, seed=1)).all()
    assert (found != ranks(members, truth, seed=2)).any()
    partly = ranks(np.array([[0.0, 0.0, 5.0, -5.0]] * 500), np.zeros(500))
    assert set(partly.tolist()) == {1, 2, 3}, "among its equals, and never beyond"


def test_the_pit_is_uniform_within_ranks_too() -> None:
    draws, truth = perfect(3, 20000)
    values = np.sort(probability_integral_transform(ranks(draws, truth), 3))
    assert np.abs(values - (np.arange(20000) + 0.5) / 20000).max() < 0.015
    assert 0 <= values[0] <= values[-1] < 1


def test_not_a_number_is_never_skipped_silently() -> None:
    members, truth = np.zeros((2, 3, 4)), np.ones((2, 4))
    members[0, 1, 2] = truth[1, 3] = np.nan
    found = ranks(members, truth)
    bad = np.zeros((2, 4), dtype=bool)
    bad[0, 2] = bad[1, 3] = True
    assert (np.isnan(found) == bad).all()
    assert (np.isnan(covered(found, 3, 1)) == bad).all()
    with pytest.raises(ValueError, match="2 ranks are NaN"):
        rank_histogram(found, 3)
    assert rank_histogram(found, 3, ~bad).tolist() == [0, 0, 0, 6]
    with pytest.raises(ValueError, match="keeps nothing"):
        calibration_curve(found, 3, np.zeros((2, 4), dtype=bool))
    with pytest.raises(ValueError, match="rank 3 is not one of an ensemble of 2"):
        rank_histogram(found, 2, ~bad)


def test_quantiles_are_exceeded_as_often_as_they_say() -> None:
    draws, truth = perfect(9, 20000)
    levels = (0.1, 0.5, 0.73, 0.9)
    maps = quantile_maps(draws[:, :, None], levels)
    assert maps.shape == (20000, 4, 1)
    for place, level in enumerate(levels):
        assert (truth < maps[:, place, 0]).mean() == pytest.approx(level, abs=0.02)
    assert maps[:, 0, 0] == pytest.approx(draws.min(axis=1)), "the first of nine, at 1/10"
    with pytest.raises(ValueError, match=r"9 draws have no quantile at 0.05: it needs 19"):
        quantile_maps(draws, [0.5, 0.05])
    with pytest.raises(ValueError, match="no number of draws"):
        quantile_maps(draws, [1.0])


def test_maps_of_mean_and_deviation_are_over_draws() -> None:
    members = np.array([[[1.0, 10.0], [3.0, 10.0]]])
    assert mean_map(members).tolist() == [[2.0, 10.0]]
    assert deviation_map(members) == pytest.approx(np.array([[math.sqrt(2), 0.0]]))
    with pytest.raises(ValueError, match="no spread"):
        deviation_map(members[:, :1])
    with pytest.raises(ValueError, match="no spread"):
        expected_squared_error(members[:, :1])

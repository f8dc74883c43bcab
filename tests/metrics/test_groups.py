"""Copies and near copies are no independent examples: intervals leave out whole groups."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from beeline.metrics.coverage import Neighbourhoods
from beeline.metrics.energy import EnergyDistance
from beeline.metrics.frechet import frechet_distance
from beeline.metrics.intervals import Estimate, bootstrap, group_of
from beeline.metrics.sliced import sliced_wasserstein

Array = np.ndarray


def test_groups_stay_whole_and_what_is_left_out_has_about_one_size() -> None:
    codes = np.repeat(np.arange(50), np.arange(50) % 7 + 1)
    merged = group_of(len(codes), codes)
    assert all(len(np.unique(merged[codes == code])) == 1 for code in range(50))
    sizes = np.bincount(merged)
    assert len(sizes) == 20
    assert sizes.max() - sizes.min() <= 7
    assert (group_of(45, np.arange(45)) == group_of(45)).all(), "groups of one are the items themselves"
    assert (group_of(4, np.zeros(4, dtype=int)) == 0).all()


@pytest.mark.parametrize(
    "measure",
    [
        lambda real, own, codes: frechet_distance(real, own, True, group_N=codes),
        lambda real, own, codes: sliced_wasserstein(real, own, interval=True, group_N=codes),
        lambda real, own, codes: Neighbourhoods(real)(own, True, codes)["precision"],
    ],
    ids=["frechet", "sliced", "precision"],
)
def test_ten_copies_of_each_sample_do_not_narrow_an_interval(measure: Callable[..., Estimate]) -> None:
    random = np.random.default_rng(0)
    real, few = random.normal(size=(400, 3)), random.normal(size=(60, 3)) + 0.8
    own, codes = np.repeat(few, 10, axis=0) + 1e-3 * random.normal(size=(600, 3)), np.repeat(np.arange(60), 10)
    alone, blind, told = measure(real, few, None), measure(real, own, None), measure(real, own, codes)
    assert told.value == blind.value, "groups change intervals alone"
    blind_width, told_width, wanted = (each.high - each.low for each in (blind, told, alone))
    assert told_width > 0.6 * wanted
    assert told_width > 1.3 * blind_width
    assert np.isnan(measure(real, own, np.zeros(600, dtype=int)).low), "of one group there is no interval"


@pytest.mark.parametrize(
    "measure",
    [
        lambda real, own, groups, codes, places: EnergyDistance(real, groups)(own, True, codes, places),
        lambda real, own, groups, codes, _: frechet_distance(real, own, True, groups, codes),
        lambda real, own, groups, codes, _: sliced_wasserstein(real, own, 0, 16, True, groups, codes),
        lambda real, own, groups, codes, _: Neighbourhoods(real, groups)(own, True, codes)["density"],
    ],
    ids=["energy", "frechet", "sliced", "density"],
)
def test_an_interval_of_answers_is_as_wide_as_they_scatter(measure: Callable[..., Estimate]) -> None:
    """Answers share with the truth what is particular to an input: what its absence does to both largely cancels."""
    random = np.random.default_rng(0)
    groups, draws = np.repeat(np.arange(20), 2), 3
    places = np.arange(40 * draws) % 40
    found = []
    for _ in range(60):
        centres = np.repeat(2 * random.normal(size=(20, 3)), 2, axis=0)
        real = centres + 0.5 * random.normal(size=(40, 3))
        own = centres[places] + 0.5 * random.normal(size=(120, 3)) + [1.0, 0.0, 0.0]
        found.append(measure(real, own, groups, groups[places], places))
    wanted = 1.96 * np.std([each.value for each in found])
    assert 0.7 * wanted < np.median([each.high - each.low for each in found]) / 2 < 1.6 * wanted


def test_a_bootstrap_of_groups_covers_the_groups() -> None:
    random = np.random.default_rng(0)
    one, other = random.normal(size=30), random.normal(size=200)
    groups = [np.repeat(np.arange(30), 20), np.arange(200)]

    def shift(a: Array, b: Array) -> float:
        return float(np.median(a) - np.median(b))

    blind = bootstrap([np.repeat(one, 20), other], shift, 0)
    told = bootstrap([np.repeat(one, 20), other], shift, 0, groups=groups)
    assert told.high - told.low > 1.5 * (blind.high - blind.low)
    lone = bootstrap([one, other], shift, 0, groups=[np.zeros(30), np.arange(200)])
    assert np.isnan(lone.low), "of one group on either side there is no interval"


def test_groups_of_two_samples_are_redrawn_apart() -> None:
    """The difference of two sets of equal numbers varies sqrt 2 times as far as either; drawn alike, not at all."""
    values, groups = np.random.default_rng(0).normal(size=80), np.arange(80) // 2
    single = bootstrap([values], np.mean, 0, groups=[groups])
    apart = bootstrap([values, values], lambda x, y: float(x.mean() - y.mean()), 0, groups=[groups, groups])
    assert apart.high - apart.low == pytest.approx(np.sqrt(2) * (single.high - single.low), rel=0.2)

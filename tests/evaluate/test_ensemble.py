"""Draws beside their truths: pooled cells, spectra and scores are those of their definitions, gaps and all."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from beeline.core.data import Example, Geometry
from beeline.evaluate.ensemble import Ensemble
from beeline.evaluate.field_measures import PHYSICAL, FieldMeasures
from beeline.metrics import catalogue
from beeline.metrics.formula import Formula
from beeline.metrics.spectra import Shells

RANDOM = np.random.default_rng(0)
GEOMETRY = Geometry(("u", "v"), ("m/s", "Pa"), (1.0, 1.0), "km", (True, False))
SCALES = np.array([1.0, 1000.0])


def fields(count: int, offset: float = 0.0) -> list[Example]:
    return [Example(each) for each in RANDOM.normal(size=(count, 8, 8, 2)) * SCALES + offset]


def value(measures: FieldMeasures, samples: list[Example], formula: Formula, channel: str = "u") -> float:
    found = measures(samples, None, paired=len(samples) >= len(measures.held_out))
    return float(found[formula.formula, PHYSICAL, channel].estimate.value)


def test_cells_count_where_draw_and_truth_were_both_observed() -> None:
    truths = RANDOM.normal(size=(20, 6, 6))
    gappy = np.where(RANDOM.random((20, 1, 6, 6)) < 0.5, truths[:, None], np.nan)
    other = np.where(RANDOM.random((20, 6, 6)) < 0.5, truths, np.nan)
    for real in (truths, other):
        cells = Ensemble(gappy, real, np.arange(20), None, 1.0, gaps=True).cells
        assert cells.kolmogorov_smirnov(np.ones(20)) == 0.0
        assert cells.wasserstein(np.ones(20)) == 0.0


def test_the_cross_spectrum_is_the_mean_over_draws() -> None:
    truths = RANDOM.normal(size=(5, 8, 8))
    members = np.stack([truths, -truths, 4 * truths], axis=1)
    own, real, cross = Ensemble(members, truths, np.arange(5), Shells((8, 8), (8.0, 8.0)), 1.0).spectra
    assert own == pytest.approx(6 * real)
    assert cross == pytest.approx(4 / 3 * real)


def test_binary_fields_with_gaps_are_binary() -> None:
    truths = (RANDOM.random((4, 5, 5)) < 0.5).astype(np.float64)
    whole = Ensemble(truths[:, None], truths, np.arange(4), None, 1.0)
    assert whole.binary
    gappy = dataclasses.replace(whole, truths=np.where(RANDOM.random((4, 5, 5)) < 0.3, np.nan, truths), gaps=True)
    assert gappy.binary
    assert not dataclasses.replace(gappy, truths=gappy.truths / 2).binary


def test_the_energy_score_is_its_definition_in_deviations_of_the_training_fields() -> None:
    """Mean |x - y| less half of mean |x - x'| over pairs, per root of the number of values; of whole rounds alone."""
    training, held_out, samples = fields(30, 5.0), fields(6), fields(6 * 3 + 4)
    deviation = np.std([each.array for each in training], axis=(0, 1, 2))
    truths, draws = (np.stack([each.array for each in some]) / deviation for some in (held_out, samples))
    wanted: list[Any] = []
    for place, truth in enumerate(truths):
        own = draws[place:18:6].reshape(3, -1)
        apart = np.linalg.norm(own[:, None] - own[None], axis=-1).sum() / (3 * 2)
        wanted.append((np.linalg.norm(own - truth.ravel(), axis=1).mean() - apart / 2) / np.sqrt(truth.size))
    measures = FieldMeasures(training, held_out, GEOMETRY)
    assert value(measures, samples, catalogue.FAIR_ENERGY_SCORE, "") == pytest.approx(np.mean(wanted), rel=1e-6)
    whole, more = measures(samples[:18], 0), measures(samples, 0)
    assert {place: each.estimate.value for place, each in more.items()} == pytest.approx(
        {place: each.estimate.value for place, each in whole.items()}, nan_ok=True
    )


def test_axes_that_end_are_windowed_and_those_that_close_are_not() -> None:
    """Rolled along the axis that closes, a slope along the other has the power that it had."""
    slope = np.arange(8.0)[None, :, None] * np.ones((8, 1, 2))
    held_out = [Example(each.array + 3 * slope) for each in fields(12)]
    measures = FieldMeasures(held_out, held_out, GEOMETRY)
    rolled = [[Example(np.roll(each.array, 3, axis)) for each in held_out] for axis in (0, 1)]
    assert value(measures, rolled[0], catalogue.POWER_DEPARTURE) == pytest.approx(0.0, abs=1e-9)
    assert value(measures, rolled[1], catalogue.POWER_DEPARTURE) > 0.1


def test_the_peak_of_a_signal_to_noise_ratio_is_the_range_of_the_training_fields() -> None:
    """Far from zero or not: 20 log10 of range over error."""
    training, held_out = fields(10), fields(5)
    size = np.ptp([each.array[..., 0] for each in training])
    for offset in (0.0, 500.0):
        moved, truth = ([Example(each.array + offset) for each in some] for some in (training, held_out))
        shifted = [Example(each.array + np.array([0.1, 0.0])) for each in truth]
        found = value(FieldMeasures(moved, truth, GEOMETRY), shifted, catalogue.PSNR)
        assert found == pytest.approx(20 * np.log10(size / 0.1), rel=1e-6)

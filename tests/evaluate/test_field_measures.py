"""Draws from the truth's distribution get the numbers that are right; a fault is told by the number for it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from beeline.core.data import Example, Geometry
from beeline.evaluate.field_charts import field_sections
from beeline.evaluate.field_curves import field_curves
from beeline.evaluate.field_draws import FUNCTIONS, MEAN_CORRELATION, MEAN_DEPARTURE, MEAN_SCATTER, UnfitError
from beeline.evaluate.field_measures import PHYSICAL, FieldMeasures
from beeline.evaluate.outcome import Outcome, Place
from beeline.metrics import catalogue
from beeline.metrics.fields import Pooled, kolmogorov_smirnov
from beeline.metrics.formula import Formula
from beeline.metrics.sliced import wasserstein

GEOMETRY = Geometry(("u", "v"), ("m/s", "Pa"), (0.5, 0.5), "km", (True, True))
INPUTS, DRAWS = 60, 7


SPECTRAL = tuple(each.formula for each in (catalogue.POWER_DEPARTURE, catalogue.RESOLVED_DEPARTURE))


def smooth(random: np.random.Generator, count: int) -> np.ndarray:
    """Periodic fields of 12 x 12 cells whose power falls with |k|."""
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(12), np.fft.rfftfreq(12), indexing="ij"))
    noise = np.fft.rfft2(random.normal(size=(count, 12, 12)))
    return np.fft.irfft2(noise / (0.1 + k), s=(12, 12))


def answers(random: np.random.Generator, known: np.ndarray) -> np.ndarray:
    """A draw of each input: what the input says, and as much that it does not say; two channels of different scale."""
    own = known + smooth(random, len(known))
    return np.stack([own, 1000.0 * smooth(random, len(known)) + 5000.0], axis=-1)


@pytest.fixture(scope="module")
def measures() -> tuple[FieldMeasures, np.ndarray]:
    random = np.random.default_rng(0)
    training = [Example(each) for each in answers(random, smooth(random, 80))]
    known = smooth(random, INPUTS)
    held_out = [Example(each, group=index // 2) for index, each in enumerate(answers(random, known))]
    return FieldMeasures(training, held_out, GEOMETRY), known


def value(found: dict[Place, Outcome], formula: Formula, channel: str = "u") -> float:
    return float(found[formula.formula, PHYSICAL, channel].estimate.value)


def test_draws_of_the_truths_own_distribution_are_calibrated(measures: tuple[FieldMeasures, np.ndarray]) -> None:
    fields, known = measures
    random = np.random.default_rng(1)
    samples = [Example(each) for _ in range(DRAWS) for each in answers(random, known)]
    found = fields(samples, 0)
    for channel in ("u", "v"):
        spread = found[catalogue.SPREAD_SKILL.formula, PHYSICAL, channel]
        assert spread.estimate.low < 1.0 < spread.estimate.high
        coverage = found[catalogue.RANK_COVERAGE.formula, PHYSICAL, channel]
        assert coverage.target == pytest.approx(0.75), "of 7 draws the widest central interval is k = 1: 6/8"
        assert coverage.estimate.value == pytest.approx(0.75, abs=0.03)
        assert value(found, catalogue.PIXEL_KS, channel) < 0.06
    assert 0.4 < value(found, MEAN_CORRELATION) < 0.6, "half of the power is said by the input"
    assert abs(value(found, MEAN_CORRELATION, "v")) < 0.1
    assert fields.units(catalogue.FAIR_CRPS.formula, "v") == "Pa"
    assert fields.units(catalogue.SPREAD_SKILL.formula, "v") == ""
    climate = fields(fields.climate(samples, 0), None)
    assert value(found, catalogue.FAIR_CRPS) < 0.85 * value(climate, catalogue.FAIR_CRPS)


def test_the_mean_of_draws_wins_per_input_and_loses_as_a_draw(measures: tuple[FieldMeasures, np.ndarray]) -> None:
    """A point forecast has the smallest error and the wrong spectrum: the two kinds of numbers are never mixed."""
    fields, known = measures
    random = np.random.default_rng(1)
    single = [Example(each) for each in answers(random, known)]
    best = [Example(np.stack([each, np.full_like(each, 5000.0)], axis=-1)) for each in known]
    one, mean = fields(single, None), fields(best, None)
    assert value(mean, catalogue.ABSOLUTE_ERROR) < value(one, catalogue.ABSOLUTE_ERROR)
    assert value(mean, catalogue.POWER_DEPARTURE) > 0.35 > value(one, catalogue.POWER_DEPARTURE)
    assert (catalogue.FAIR_CRPS.formula, PHYSICAL, "u") not in one, "of one draw an input there is no fair CRPS"


def test_each_fault_is_told_by_the_number_for_it(measures: tuple[FieldMeasures, np.ndarray]) -> None:
    fields, known = measures
    random = np.random.default_rng(1)
    right = [answers(random, known) for _ in range(DRAWS)]

    def found(change: np.ndarray, shift: float = 0.0) -> dict[Place, Outcome]:
        mean = np.stack([known, np.full_like(known, 5000.0)], axis=-1)
        return fields([Example(each) for draw in right for each in mean + (draw - mean) * change + shift], 0)

    narrow = found(np.array([0.5, 0.5]))
    assert value(narrow, catalogue.SPREAD_SKILL) < 0.6
    assert value(narrow, catalogue.RANK_COVERAGE) < 0.55
    shifted = found(np.ones(2), 3.0)
    assert value(shifted, MEAN_DEPARTURE) == pytest.approx(3.0, abs=0.3)
    assert value(shifted, catalogue.PIXEL_W1) == pytest.approx(3.0, abs=0.3)


def test_binary_fields_have_a_calibration_error_and_others_do_not() -> None:
    random = np.random.default_rng(0)
    chance = random.random((40, 8, 8, 1))
    geometry = Geometry(("k",), ("",), (1.0, 1.0))

    def draw() -> list[Example]:
        return [Example((random.random(each.shape) < each).astype(np.float32)) for each in chance]

    fields = FieldMeasures(draw(), draw(), geometry)
    found = fields([each for _ in range(31) for each in draw()], 0)
    assert value(found, catalogue.CALIBRATION_ERROR, "k") < 0.04
    wrong = fields([Example(np.float32(1) - each.array) for _ in range(31) for each in draw()], 0)
    assert value(wrong, catalogue.CALIBRATION_ERROR, "k") > 0.3


def test_intervals_redraw_groups_and_real_fields_in_the_place_of_draws_answer_nothing(
    measures: tuple[FieldMeasures, np.ndarray],
) -> None:
    fields, _ = measures
    assert len(np.unique(fields.ensemble(fields.held_out, 0).groups)) == INPUTS // 2
    found = fields(fields.training, None, paired=False)
    assert {formula for formula, _, _ in found} == {
        each.formula
        for each in (catalogue.POWER_DEPARTURE, catalogue.RESOLVED_DEPARTURE, catalogue.PIXEL_KS, catalogue.PIXEL_W1)
    }


def test_the_curves_are_those_that_the_numbers_summarise(measures: tuple[FieldMeasures, np.ndarray]) -> None:
    fields, known = measures
    random = np.random.default_rng(1)
    samples = [Example(each) for _ in range(DRAWS) for each in answers(random, known)]
    curves, found = field_curves(fields, samples, 0), fields(samples, None)
    each = curves["u"]
    complete = np.array(each["complete"])
    departure = np.abs(np.array(each["power_ratio"])[complete] - 1).max()
    assert departure == pytest.approx(value(found, catalogue.POWER_DEPARTURE))
    assert np.mean(np.array(each["correlation"])[complete]) == pytest.approx(value(found, MEAN_CORRELATION))
    assert sum(each["rank_counts"]) == INPUTS * 144
    assert np.allclose(each["below"], each["levels"], atol=0.05)
    assert np.array(each["correlation_of_mean"])[complete].mean() > value(found, MEAN_CORRELATION)
    assert (np.array(each["power_ratio_low"]) <= np.array(each["power_ratio_high"])).all()
    page = "".join(section.html() for section in field_sections(curves))
    assert page.count("<svg") == 12, "six charts for either channel; neither is binary"
    assert "rad/km" in page
    assert "value, Pa" in page
    one = field_curves(fields, samples[:INPUTS], 0)["v"]
    assert "rank_counts" not in one
    assert one["draws"] == 1


def bounded(random: np.random.Generator, count: int) -> np.ndarray:
    """Fields whose edge is another than their inside, as those of a solver between walls are."""
    found = random.normal(size=(count, 20, 20, 1))
    found[:, (0, -1)], found[:, :, (0, -1)] = 100.0, 100.0
    return found


def test_cells_of_draws_and_of_truths_are_the_same_cells() -> None:
    """With strides of their own, draws and truths see an edge unequally often, and of many inputs a corner alone."""
    random = np.random.default_rng(0)
    geometry = Geometry(("u",), ("",), (1.0, 1.0))
    for count, draws in ((300, 7), (4_500, 1)):
        truths = [Example(each) for each in bounded(random, count)]
        fields = FieldMeasures(truths[:50], truths, geometry)
        cells = fields.ensemble(truths * draws, 0).cells
        assert cells.kolmogorov_smirnov(np.ones(count)) == 0.0
        assert cells.wasserstein(np.ones(count)) == 0.0
        other = fields.ensemble([Example(each + 0.5) for each in bounded(random, count)] * draws, 0).cells
        assert 0.14 < other.kolmogorov_smirnov(np.ones(count)) < 0.26, "0.197 of normal numbers"
        assert other.wasserstein(np.ones(count)) == pytest.approx(0.5, abs=0.05)


def test_pooled_cells_have_the_distances_of_the_values_that_they_hold() -> None:
    random = np.random.default_rng(0)
    one, other = np.round(random.normal(size=(9, 30)), 1), np.round(random.normal(size=(9, 30)) + 0.4, 1)
    pooled, rows = Pooled(one, other), np.array([0, 0, 3, 4, 8])
    weight = np.bincount(rows, minlength=9)
    assert pooled.kolmogorov_smirnov(weight) == pytest.approx(kolmogorov_smirnov(one[rows], other[rows]))
    assert pooled.wasserstein(weight) == pytest.approx(wasserstein(one[rows].ravel(), other[rows].ravel()))


def test_axes_without_a_unit_that_they_share_have_no_spectrum_and_it_is_said_why() -> None:
    examples = [Example(each) for each in np.random.default_rng(0).normal(size=(6, 8, 8, 1))]
    mixed = FieldMeasures(examples, examples, Geometry(("u",), ("",), (10.0, 0.5)))
    assert mixed.shells is None
    assert "10 and 0.5" in str(mixed.no_spectrum)
    uneven = FieldMeasures(examples, examples, Geometry(("u",), ("",), (np.nan, 0.5), "km"))
    assert uneven.shells is None
    assert "the steps of an axis are uneven" in str(uneven.no_spectrum)
    for geometry in (Geometry(("u",), ("",), (1.0, 1.0)), Geometry(("u",), ("",), (10.0, 0.5), "km")):
        assert FieldMeasures(examples, examples, geometry).shells is not None


def test_an_overdensity_has_the_spectrum_of_contrast_whatever_the_mass(
    measures: tuple[FieldMeasures, np.ndarray],
) -> None:
    """Maps of another total and the same contrast: P is off by the square of the total, that of contrast by nothing."""
    random = np.random.default_rng(0)
    known = smooth(random, INPUTS)
    held_out = [Example(np.exp(0.3 * each / known.std())[..., None]) for each in known]
    heavier = [Example(2.0 * each.array) for each in held_out]
    plain, contrast = (
        FieldMeasures(held_out, held_out, Geometry(("rho",), ("",), (1.0, 1.0), "", (True, True), names))
        for names in ((), ("rho",))
    )
    assert value(plain(heavier, None), catalogue.POWER_DEPARTURE, "rho") == pytest.approx(3.0, rel=1e-6)
    assert value(contrast(heavier, None), catalogue.POWER_DEPARTURE, "rho") == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(field_curves(contrast, heavier, 0)["rho"]["power_ratio"], 1.0, rtol=1e-6)
    empty = [Example(each.array - 5.0) for each in held_out]
    found = contrast(empty, 0)[catalogue.POWER_DEPARTURE.formula, PHYSICAL, "rho"]
    assert "positive mean" in str(found.failure)
    assert "power_ratio" not in field_curves(contrast, empty, 0)["rho"]


def test_no_value_depends_on_how_many_inputs_a_block_has(measures: tuple[FieldMeasures, np.ndarray]) -> None:
    fields, known = measures
    random = np.random.default_rng(1)
    samples = [Example(np.round(each)) for _ in range(DRAWS) for each in answers(random, known)]
    whole = fields.ensemble(samples, 0)
    truths = np.round(whole.truths)
    for change in (lambda each: each, lambda each: (each > 0).astype(np.float64)):
        one = dataclasses.replace(whole, members=change(whole.members), truths=change(truths))
        small = dataclasses.replace(one, at_once=3 * one.members[0].size)
        assert len(list(small.parts())) == INPUTS // 3
        for formula, function in FUNCTIONS.items():
            try:
                expected = function(one, 0)
            except UnfitError:
                continue
            found = function(small, 0)
            assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high), formula


def test_one_sample_that_is_not_finite_fails_every_number_with_a_reason(
    measures: tuple[FieldMeasures, np.ndarray],
) -> None:
    fields, known = measures
    samples = [Example(each) for each in answers(np.random.default_rng(1), known)]
    samples[3].array[2, 2, 0] = np.inf
    found = fields(samples, 0)
    assert set(found) == {(formula.formula, space, channel) for formula, space, channel in fields.places()}
    assert {each.failure for each in found.values()} == {f"1 of {INPUTS} samples have numbers that are not finite"}


def test_scatter_and_energy_score_tell_what_means_and_channels_alone_do_not(
    measures: tuple[FieldMeasures, np.ndarray],
) -> None:
    fields, known = measures
    random = np.random.default_rng(1)
    right = [answers(random, known) for _ in range(DRAWS)]
    jumping = [draw + np.where(random.random((INPUTS, 1, 1, 1)) < 0.5, 3.0, -3.0) for draw in right]
    one, other = (fields([Example(each) for draw in draws for each in draw], 0) for draws in (right, jumping))
    assert abs(value(other, MEAN_DEPARTURE)) < 0.5, "the mean is right"
    assert value(other, MEAN_SCATTER) > 2.5 > 1.5 > value(one, MEAN_SCATTER)
    assert value(one, catalogue.FAIR_ENERGY_SCORE, "") > 0
    assert value(other, catalogue.FAIR_ENERGY_SCORE, "") > value(one, catalogue.FAIR_ENERGY_SCORE, "")


def with_gaps(examples: list[Example], kept: np.ndarray, marked: bool = False) -> list[Example]:
    """The same fields with NaN where nothing is kept, or with any number there, which is said to be no observation."""
    if marked:
        return [dataclasses.replace(each, array=np.where(kept, each.array, 1e9), observed=kept) for each in examples]
    return [dataclasses.replace(each, array=np.where(kept, each.array, np.nan)) for each in examples]


@pytest.mark.parametrize("marked", [False, True])
def test_numbers_of_fields_with_gaps_are_those_of_the_observed_cells(
    measures: tuple[FieldMeasures, np.ndarray], marked: bool
) -> None:
    """Rows 0 ... 7 of 12 were observed: every number is that of fields of 8 x 12, to rounding."""
    fields, known = measures
    random = np.random.default_rng(2)
    samples = [Example(each) for _ in range(DRAWS) for each in answers(random, known)]
    kept = np.zeros((12, 12, 2), dtype=bool)
    kept[:8] = True
    training, held_out = (list(each) for each in (fields.training, fields.held_out))
    masked = FieldMeasures(with_gaps(training, kept, marked), with_gaps(held_out, kept, marked), GEOMETRY)
    cut = [[dataclasses.replace(each, array=each.array[:8]) for each in some] for some in (training, held_out, samples)]
    small = FieldMeasures(cut[0], cut[1], GEOMETRY)
    for n in (len(samples), INPUTS):
        found, expected = masked(samples[:n], 0), small(cut[2][:n], 0)
        assert found.keys() | {(catalogue.SSIM.formula, PHYSICAL, each) for each in "uv"} == found.keys()
        for place, each in expected.items():
            if place[0] in (*SPECTRAL, MEAN_CORRELATION.formula):
                assert "some cells were not observed" in str(found[place].failure)
                continue
            own, wanted = found[place].estimate, each.estimate
            assert found[place].failure is None
            assert (own.value, own.low, own.high) == pytest.approx((wanted.value, wanted.low, wanted.high)), place
    curves, wanted_curves = field_curves(masked, samples, 0)["v"], field_curves(small, cut[2], 0)["v"]
    assert "k" not in curves
    for name in ("rank_counts", "below", "edges", "pdf", "pdf_truth", "spread", "skill"):
        assert curves[name] == pytest.approx(wanted_curves[name]), name
    real = masked(masked.training[:INPUTS], None, paired=False)
    of_real = small(cut[0][:INPUTS], None, paired=False)
    assert value(real, catalogue.PIXEL_KS) == pytest.approx(value(of_real, catalogue.PIXEL_KS))
    assert masked.notes == {
        f"cells of {each}": "33.3% of those held out were not observed" for each in GEOMETRY.channels
    }


def test_inputs_of_which_a_channel_was_never_observed_are_counted_and_told() -> None:
    random = np.random.default_rng(0)
    geometry = Geometry(("u", "v"), ("", ""), (1.0, 1.0))
    whole = [random.normal(size=(6, 6, 2)) for _ in range(10)]
    held_out = [Example(each.copy(), group=index) for index, each in enumerate(whole)]
    held_out[3].array[..., 1] = np.nan
    held_out[4].array[:2, 2, 1] = np.nan
    fields = FieldMeasures([Example(each) for each in whole], held_out, geometry)
    samples = [Example(random.normal(size=(6, 6, 2))) for _ in range(20)]
    found = fields(samples, 0)
    errors = np.stack([(samples[i].array + samples[10 + i].array) / 2 - held_out[i].array for i in range(10)])
    for channel, name in enumerate("uv"):
        inputs = [i for i in range(10) if name == "u" or i != 3]
        wanted = np.sqrt(np.mean([np.nanmean(np.square(errors[i, ..., channel])) for i in inputs]))
        assert value(found, catalogue.RMSE_OF_MEAN, name) == pytest.approx(wanted)
    assert fields.counts(20, "u") == {"n": 20, "inputs": 10, "draws": 2, "groups": 10}
    assert fields.counts(20, "v") == {"n": 18, "inputs": 9, "draws": 2, "groups": 9}
    assert fields.notes == {
        "cells of v": "10.6% of those held out were not observed, among them all cells of 1 of 10 inputs"
    }
    assert found[catalogue.POWER_DEPARTURE.formula, PHYSICAL, "u"].failure is None, "u is whole, and has a spectrum"


def test_the_climate_of_training_fields_with_gaps_has_none() -> None:
    """A cell takes what another training field saw there; where none did, the mean of the channel."""
    arrays = np.full((3, 2, 2, 1), np.nan)
    arrays[0, 0, 0], arrays[1, 0], arrays[2, 1, 0] = 1.0, 2.0, 5.0
    training = [Example(each) for each in arrays]
    fields = FieldMeasures(training, [Example(np.zeros((2, 2, 1)))], Geometry(("u",), ("",), (1.0, 1.0)))
    found = {each.array.tobytes() for each in fields.climate(training * 20, 0)}
    mean = (1 + 2 + 2 + 5) / 4
    wanted = [[[1.0, 2.0], [5.0, mean]], [[2.0, 2.0], [5.0, mean]]]
    assert found == {np.array(each).tobytes() for each in wanted}
    whole = [each.array for each in fields.without_gaps()]
    np.testing.assert_array_equal(whole[0], np.array([[[1.0], [2.0]], [[5.0], [mean]]]))
    assert all(np.isfinite(each).all() for each in whole), "so that a mean of the training fields is a baseline"

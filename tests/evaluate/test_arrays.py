"""Samples of any origin as arrays: known answers, floors where training examples are given, what does not fit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import beeline
from beeline.core.errors import UserError
from beeline.evaluate.records import Evaluation

RANDOM = np.random.default_rng(0)
COUNT, DRAWS, NOISE = 40, 6, 0.5


def inputs(count: int) -> np.ndarray[Any, Any]:
    return RANDOM.normal(size=(count, 8, 8, 1)).cumsum(axis=1)


INPUTS = inputs(COUNT)
REAL = 10 + INPUTS + NOISE * RANDOM.normal(size=INPUTS.shape)
TRAINING = 10 + inputs(60) + NOISE * RANDOM.normal(size=(60, 8, 8, 1))


def drawn(noise: float) -> np.ndarray[Any, Any]:
    """DRAWS answers to each input, all inputs once and then all again."""
    return np.asarray(10 + np.tile(INPUTS, (DRAWS, 1, 1, 1)) + noise * RANDOM.normal(size=(COUNT * DRAWS, 8, 8, 1)))


def value(found: Evaluation, formula: str) -> float:
    return next(each.value for each in found.records if each.formula == formula)


def test_right_draws_have_the_numbers_of_right_draws_and_narrow_ones_have_not() -> None:
    asked = {"input": list(INPUTS)}
    group = [f"month {index % 10}" for index in range(COUNT)]
    right = beeline.evaluate_arrays(REAL, drawn(NOISE), asked, group, ["K"], {"made": "by hand"})
    narrow = beeline.evaluate_arrays(REAL, drawn(NOISE / 4), asked, group, ["K"])
    assert value(right, "crps-fair-1") == pytest.approx(NOISE / math.sqrt(math.pi), rel=0.03)
    assert value(right, "spread-skill-1") == pytest.approx(1.0, abs=0.03)
    assert value(narrow, "spread-skill-1") < 0.5
    record = next(each for each in right.records if each.formula == "crps-fair-1")
    assert (record.units, record.groups, record.draws, record.inputs) == ("K", 10, DRAWS, COUNT)
    assert record.low < record.value < record.high
    energy = next(each for each in right.records if each.formula == "energy-euclidean-2")
    assert energy.low <= 0 <= energy.high
    assert right.protocol["samples"] == {"made": "by hand"}
    assert all(not each.floors for each in right.records)
    assert "nearest-distance-ratio-1" not in {each.formula for each in right.records}


@pytest.mark.parametrize("absent", [None, math.nan, np.datetime64("NaT")])
def test_an_example_without_a_group_is_its_own(absent: Any) -> None:
    draws, asked = drawn(NOISE), {"input": list(INPUTS)}
    alone = beeline.evaluate_arrays(REAL, draws, asked, spaces=())
    unnamed = beeline.evaluate_arrays(REAL, draws, asked, [absent] * COUNT, spaces=())
    assert [repr(each) for each in unnamed.records] == [repr(each) for each in alone.records]
    some = beeline.evaluate_arrays(REAL, draws, asked, [absent] * 20 + ["a"] * 10 + ["b"] * 10, spaces=())
    assert {each.groups for each in some.records} == {22}
    assert some.protocol["sets"]["intervals"] == "redraw 22 held-out groups, such as a"


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("scale", "offset"), [(0.0, 0.0), (0.0, 5.1), (1.0, 1e8), (1e-30, 0.0), (1e-200, 0.0), (1e30, 0.0), (1e140, 0.0)]
)
def test_any_finite_numbers_have_numbers_or_reasons_and_no_warning(scale: float, offset: float, channels: int) -> None:
    real, samples = (np.concatenate([scale * each[:24] + offset] * channels, axis=-1) for each in (REAL, drawn(NOISE)))
    found = beeline.evaluate_arrays(real[:12], samples, {"input": list(INPUTS[:12])}, spaces=("pixels", "pca-32"))
    assert all(math.isfinite(each.value) or each.failure for each in found.records)
    reason = "training examples do not vary, as far as squares tell" if scale < 1e-150 else None
    assert found.protocol["left_out"].get("pca-32") == reason


@pytest.mark.parametrize(("scale", "offset"), [(1e-30, 0.0), (1.0, 1e8), (1e30, 0.0)])
def test_principal_components_know_no_units_and_no_zero(scale: float, offset: float) -> None:
    samples = drawn(NOISE)
    plain, moved = (
        beeline.evaluate_arrays(factor * REAL + zero, factor * samples + zero, spaces=("pca-32",))
        for factor, zero in ((1.0, 0.0), (scale, offset))
    )
    assert value(moved, "mmd2-gaussian-median-2") == pytest.approx(value(plain, "mmd2-gaussian-median-2"), abs=1e-5)
    assert value(moved, "two-sample-auc-trees-1") == pytest.approx(value(plain, "two-sample-auc-trees-1"), abs=0.02)


def test_training_examples_give_floors_and_samples_without_inputs_have_no_scores_by_input() -> None:
    found = beeline.evaluate_arrays(REAL, drawn(NOISE), {"input": list(INPUTS)}, training=TRAINING)
    record = next(each for each in found.records if each.formula == "crps-fair-1")
    assert set(record.floors) == {"training fields", "class means", "resampled values"}
    assert record.floor > 2 * record.value
    assert record.share == pytest.approx(1 - record.value / record.floor)
    assert any(each.formula == "nearest-distance-ratio-1" for each in found.records)
    blind = beeline.evaluate_arrays(REAL, TRAINING)
    formulas = {each.formula for each in blind.records}
    assert "energy-euclidean-2" in formulas
    assert "crps-fair-1" not in formulas


def test_numbers_without_a_grid_are_compared_as_they_are() -> None:
    flat = beeline.evaluate_arrays(REAL.reshape(COUNT, -1), TRAINING.reshape(60, -1))
    assert {each.space for each in flat.records} == {"pca-32"}


def test_whole_numbers_are_numbers_and_cells_that_nobody_saw_count_nowhere() -> None:
    """Bytes would wrap around where they are subtracted; a truth may have gaps, and a sample may not."""
    whole = [np.clip(np.round(each), 0, 255) for each in (REAL, drawn(NOISE))]
    asked = {"input": list(INPUTS)}
    of_bytes, of_floats = (
        beeline.evaluate_arrays(whole[0].astype(kind), whole[1].astype(kind), asked, spaces=()) for kind in ("u1", "f4")
    )
    assert [repr(each) for each in of_bytes.records] == [repr(each) for each in of_floats.records]
    gappy = np.where(np.arange(8)[None, :, None, None] < 6, REAL, np.nan)
    samples = drawn(NOISE)
    part = beeline.evaluate_arrays(REAL[:, :6], samples[:, :6], asked, spaces=())
    found = beeline.evaluate_arrays(gappy, samples, asked, spaces=())
    assert value(found, "crps-fair-1") == pytest.approx(value(part, "crps-fair-1"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generated": TRAINING[:, :4]}, r"generated: examples of shape \(4, 8, 1\), real ones have \(8, 8, 1\)"),
        ({"generated": TRAINING[:50]}, "50 samples are no multiple of the 40 real examples"),
        ({"generated": np.full_like(REAL, np.nan)}, "generated: holds NaN or infinity"),
        ({"generated": np.full_like(REAL, np.inf)}, "generated: holds NaN or infinity"),
        ({"real": np.where(REAL > 12, np.inf, REAL)}, "real: holds NaN or infinity"),
        ({"training": np.where(TRAINING > 12, np.nan, TRAINING)}, "training: holds NaN or infinity"),
        ({"real": 1e160 * REAL}, "real: holds .*e.161, whose square is no number; write it in larger units"),
        ({"real": REAL.astype(complex)}, "real: needs real numbers"),
        ({"units": ["m", "s"]}, "units m, s: one for each of 1 channels"),
        ({"group": ["a"]}, "group: 1 values for 40 real examples"),
        ({"condition": {"input": 3}}, "input: 3 for 40 real examples; needs one for each"),
        ({"spaces": ["pca"]}, "unknown space 'pca'"),
        ({"condition": {"input": [1]}}, "input: 1 values for 40 real examples"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"real": REAL, "generated": drawn(NOISE), "condition": {"input": list(INPUTS)}}
    with pytest.raises(UserError, match=message):
        beeline.evaluate_arrays(**{**given, **changes})

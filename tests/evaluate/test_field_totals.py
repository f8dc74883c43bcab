"""Totals over those of the truths, where and only where totals are shares of something."""

from __future__ import annotations

import numpy as np
import pytest

from beeline.core.data import Example, Geometry
from beeline.evaluate.field_measures import PHYSICAL, FieldMeasures
from beeline.evaluate.field_totals import RELATIVE_SCATTER, RELATIVE_TOTAL
from beeline.evaluate.outcome import Outcome

RANDOM = np.random.default_rng(0)
GEOMETRY = Geometry(("mass", "wind"), ("kg", "m/s"), (1.0, 1.0))


def fields(count: int, mass: np.ndarray | float = 1.0) -> list[Example]:
    """Masses of chance above 0, times a factor a field, beside winds of either sign."""
    made = np.stack([RANDOM.lognormal(size=(count, 6, 6)), RANDOM.normal(size=(count, 6, 6))], axis=-1)
    made[..., 0] *= np.reshape(mass, (-1, 1, 1))
    return [Example(each) for each in made]


def test_totals_are_told_as_shares_of_those_of_the_truths() -> None:
    training, held_out = fields(20), fields(30, RANDOM.uniform(1.0, 1e6, 30))
    shares = np.array([0.8, 1.0, 1.5])
    samples = [Example(each.array * share) for share in shares for each in held_out]
    measures = FieldMeasures(training, held_out, GEOMETRY)
    found = measures(samples, 0)

    def outcome(formula: str, channel: str) -> Outcome:
        return found[formula, PHYSICAL, channel]

    total, scatter = (outcome(each.formula, "mass").estimate for each in (RELATIVE_TOTAL, RELATIVE_SCATTER))
    assert total.value == pytest.approx(1.1), "each input counts alike, however large its total"
    assert scatter.value == pytest.approx(np.repeat(shares, 30).std(ddof=1))
    assert total.low == pytest.approx(1.1), "of every input it is the same"
    assert (RELATIVE_TOTAL.formula, PHYSICAL, "wind") not in found
    assert measures.units(RELATIVE_TOTAL.formula, "mass") == ""
    assert (RELATIVE_TOTAL.target, RELATIVE_SCATTER.target) == (1.0, None)


def test_fields_that_are_not_positive_throughout_have_no_relative_total() -> None:
    training, held_out = fields(20), fields(10)
    hole = np.ones((6, 6), dtype=bool)
    hole[2, 3] = False
    training[7].array[2, 3, 0] = 0.0
    gapped = [*training[:7], Example(training[7].array, observed=hole), *training[8:]]
    found = FieldMeasures(gapped, held_out, GEOMETRY)(held_out, None)
    assert any(formula == RELATIVE_TOTAL.formula for formula, _, _ in found), "nobody saw the 0"
    found = FieldMeasures(training, held_out, GEOMETRY)(held_out, None)
    assert not any(formula == RELATIVE_TOTAL.formula for formula, _, _ in found)
    held_out[3] = Example(-held_out[3].array)
    found = FieldMeasures(fields(20), held_out, GEOMETRY)(held_out, None)
    assert not any(formula == RELATIVE_TOTAL.formula for formula, _, _ in found), "a total of the truth is below 0"

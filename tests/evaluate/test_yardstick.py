"""Which floors, ceilings and targets stand beside which number of fields."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from beeline.core.data import Example, Geometry
from beeline.evaluate.features import build_spaces
from beeline.evaluate.field_measures import OF_SINGLE_DRAWS
from beeline.evaluate.records import Record
from beeline.evaluate.sets import read_sets
from beeline.evaluate.yardstick import Yardstick
from beeline.metrics import catalogue

RANDOM = np.random.default_rng(0)
GEOMETRY = Geometry(("u",), ("m",), (1.0, 1.0))
COUNT, DRAWS = 20, 7


def examples(count: int) -> list[Example]:
    return [Example(each, group=str(index // 2)) for index, each in enumerate(RANDOM.normal(size=(count, 6, 6, 1)))]


TRAINING, HELD_OUT, SAMPLES = examples(30), examples(COUNT), examples(COUNT * DRAWS)
SINGLE = {each.formula for each in OF_SINGLE_DRAWS}


def records(training: list[Example], samples: list[Example], **more: Any) -> dict[str, Record]:
    yardstick = Yardstick(read_sets(training, HELD_OUT), [], geometry=GEOMETRY)
    return {each.formula: each for each in yardstick.records(samples, 0, **more)}


def test_numbers_by_input_have_a_climate_for_a_floor_and_those_of_single_draws_a_ceiling() -> None:
    """Training fields at random are right as single draws: of these numbers they are no floor."""
    found = records(TRAINING, SAMPLES)
    assert SINGLE & found.keys()
    for formula, record in found.items():
        of_single_draws = formula in SINGLE
        assert ("training fields" in record.floors) is not of_single_draws, formula
        assert record.n_ceiling == (COUNT // 2 if of_single_draws else 0)
        assert math.isnan(record.ceiling) is not of_single_draws
    assert found[catalogue.RANK_COVERAGE.formula].target == 0.75, "the level that 7 draws have"
    assert found[catalogue.SPREAD_SKILL.formula].target == catalogue.SPREAD_SKILL.target


def test_samples_that_answer_nothing_have_no_climate_and_no_baselines_where_none_are_asked_for() -> None:
    unpaired = records(TRAINING, SAMPLES[:COUNT], paired=False)
    assert unpaired.keys() <= SINGLE
    assert all("training fields" not in each.floors for each in unpaired.values())
    assert all(not each.floors for each in records(TRAINING, SAMPLES, baselines=False).values())


def test_training_fields_with_gaps_have_floors_all_the_same() -> None:
    gappy = [Example(np.where(RANDOM.random((6, 6, 1)) < 0.2, np.nan, each.array)) for each in TRAINING]
    floors = records(gappy, SAMPLES)[catalogue.FAIR_CRPS.formula].floors
    assert {"training fields", "class means"} <= floors.keys()
    assert all(math.isfinite(each) for each in floors.values())


def test_what_trees_find_has_no_ceiling_of_halves(tmp_path: Any) -> None:
    sets = read_sets(TRAINING, HELD_OUT)
    spaces, _ = build_spaces(("pixels",), sets, None, tmp_path)
    which = (catalogue.TWO_SAMPLE, catalogue.ENERGY)
    yardstick = Yardstick(sets, spaces, which=which, geometry=GEOMETRY)
    found = {each.formula: each for each in yardstick.records(SAMPLES, 0, baselines=False)}
    assert found[catalogue.TWO_SAMPLE.formula].n_ceiling == 0
    assert found[catalogue.ENERGY.formula].n_ceiling == COUNT // 2
    assert found[catalogue.ENERGY.formula].ceiling == pytest.approx(0.0, abs=0.5)

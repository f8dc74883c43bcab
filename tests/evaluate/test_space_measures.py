"""What is computed in a space is what the metric says of these very samples: their inputs, groups and copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beeline.core.data import Example
from beeline.evaluate import space_measures
from beeline.evaluate.features import build_spaces
from beeline.evaluate.sets import Sets, read_sets
from beeline.evaluate.space_measures import MEASURES, Reference
from beeline.metrics.catalogue import CUBIC_MMD, ENERGY, FRECHET, MMD, NEAREST, SLICED, TWO_SAMPLE
from beeline.metrics.classifiers import two_sample_area
from beeline.metrics.energy import EnergyDistance
from beeline.metrics.frechet import frechet_distance
from beeline.metrics.mmd import CubicDiscrepancy, KernelDiscrepancy
from beeline.metrics.sliced import sliced_wasserstein

RANDOM = np.random.default_rng(0)
COUNT = 24
INPUTS = RANDOM.normal(size=(COUNT, 3))


def examples(arrays: Any, groups: bool = False) -> list[Example]:
    return [Example(each, group=str(index // 3) if groups else None) for index, each in enumerate(arrays)]


def reference(sets: Sets, home: Path, by_trees: bool = True) -> Reference:
    (space,), _ = build_spaces(("pixels",), sets, None, home)
    return Reference(space, sets, MEASURES, None, by_trees)


def test_draws_are_compared_knowing_the_inputs_and_groups_that_they_answer(tmp_path: Path) -> None:
    sets = read_sets(examples(RANDOM.normal(size=(40, 3))), examples(INPUTS + RANDOM.normal(size=(COUNT, 3)), True))
    samples = examples(np.tile(INPUTS, (2, 1)) + RANDOM.normal(size=(2 * COUNT, 3)))
    made = reference(sets, tmp_path, by_trees=False)
    codes, answered = sets.sample_groups(2 * COUNT), sets.answered(2 * COUNT)
    found = made(samples, 0, np.arange(40), codes, answered)
    real, own = (made.space.embed(each) for each in (sets.held_out, samples))
    wanted = {
        FRECHET: frechet_distance(real, own, True, sets.groups, codes),
        MMD: KernelDiscrepancy(real, group_M=sets.groups)(own, True, codes, answered),
        CUBIC_MMD: CubicDiscrepancy(real, sets.groups)(own, True, codes, answered),
        ENERGY: EnergyDistance(real, sets.groups)(own, True, codes, answered),
        SLICED: sliced_wasserstein(real, own, interval=True, group_M=sets.groups, group_N=codes),
    }
    for formula, estimate in wanted.items():
        assert found[formula].estimate == estimate, formula.metric
    assert TWO_SAMPLE not in found, "by trees"


def test_samples_that_answer_nothing_are_no_members_of_the_groups_of_real_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = read_sets(examples(RANDOM.normal(size=(40, 3))), examples(INPUTS, True))
    given: list[Any] = []

    def spied(*sides: Any, **more: Any) -> Any:
        given.append(sides)
        return two_sample_area(*sides, **more)

    monkeypatch.setattr(space_measures, "two_sample_area", spied)
    made, samples = reference(sets, tmp_path), examples(RANDOM.normal(size=(COUNT, 3)))
    made(samples, None, None, None)
    made(samples, None, None, sets.sample_groups(COUNT))
    alone, answering = ([set(each.tolist()) for each in sides[2:]] for sides in given)
    assert not alone[0] & alone[1]
    assert answering[0] == answering[1], "an answer and its truth are on one side of every split"


def test_a_held_out_set_of_copies_has_no_nearest_distance_to_compare_with(tmp_path: Path) -> None:
    arrays = RANDOM.normal(size=(40, 3))
    samples = examples(RANDOM.normal(size=(COUNT, 3)))
    for copies, failure in ((13, "half of the held-out examples are training examples"), (11, None)):
        held_out = np.concatenate([arrays[:copies], RANDOM.normal(size=(COUNT - copies, 3))])
        sets = read_sets(examples(arrays), examples(held_out))
        found = reference(sets, tmp_path, by_trees=False)(samples, None, np.arange(40), None)
        assert found[NEAREST].failure == failure


def test_the_few_that_trees_see_are_of_all_rounds() -> None:
    """Of three rounds of 1,000 draws the first 1,000 would be one draw of each input, one in three one draw of some."""
    chosen = space_measures._some(3000)
    assert len(np.unique(chosen)) == len(chosen) == 1000
    assert np.bincount(chosen // 1000, minlength=3).min() > 280
    assert np.bincount(chosen % 3).min() > 280
    assert space_measures._some(7).tolist() == list(range(7))

"""Halves of held-out fields: whole groups on either side, and what comes of it is their mean."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from beeline.core.data import Example
from beeline.evaluate.ceilings import halves, of_halves, of_training
from beeline.evaluate.measures import Measures
from beeline.evaluate.outcome import Outcome
from beeline.evaluate.sets import Sets
from beeline.metrics.intervals import Estimate


def sets(groups: list[str]) -> Sets:
    """Ten examples whose number is that of their group."""
    examples = [Example(np.full((2, 2, 1), float(ord(group[0]))), group=group) for group in groups]
    return Sets(examples, examples, examples, {"held_out": len(groups), "held_out_cap": 100})


def test_groups_are_never_on_both_sides_and_splits_differ() -> None:
    groups = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 6])
    found = list(halves(groups, 0))
    assert len(found) == 4
    for one, other in found:
        assert not set(groups[one]) & set(groups[other])
        assert sorted([*one, *other]) == list(range(21))
        assert len(set(groups[one])) == 3
    assert len({tuple(one) for one, _ in found}) > 1
    assert [tuple(one) for one, _ in halves(groups, 0)] == [tuple(one) for one, _ in found]


def test_what_a_half_reaches_is_measured_against_the_other_and_a_single_group_has_none() -> None:
    def build(half: Sets) -> Measures:
        def measure(samples: Any, paired: bool) -> dict[Any, Outcome]:
            assert not paired
            shared = {each.group for each in half.held_out} & {each.group for each in samples}
            real, own = (np.mean([each.array for each in side]) for side in (half.held_out, samples))
            return {
                ("apart", "", ""): Outcome(Estimate(abs(real - own))),
                ("shared", "", ""): Outcome(Estimate(len(shared))),
            }

        return cast(Measures, measure)

    found, size = of_halves(build, sets(["a1", "b1", "a2", "b2", "a3", "b3", "a4", "b4"]), 0)
    assert found["shared", "", ""].estimate.value == 0
    assert 0 <= found["apart", "", ""].estimate.value <= 1
    assert size == 4
    assert of_halves(build, sets(["a", "a", "a"]), 0) == ({}, 0)


def test_training_examples_in_the_place_of_samples_answer_nothing_and_are_none_of_the_others() -> None:
    examples = [Example(np.full((2, 2, 1), float(number))) for number in range(10)]
    told: dict[str, Any] = {}

    def measure(samples: Any, **given: Any) -> dict[Any, Outcome]:
        told.update(given, samples=[each.array[0, 0, 0] for each in samples])
        return {}

    measure.sets = Sets(examples, examples, examples[:3], {})  # type: ignore[attr-defined]
    assert of_training(cast(Measures, measure), 4) == ({}, 4)
    assert told == {"samples": [0, 2, 5, 7], "seen": [0, 2, 5, 7], "paired": False}
    assert of_training(cast(Measures, measure), 40)[1] == 10


def test_a_number_that_some_half_has_not_is_none() -> None:
    def build(half: Sets) -> Measures:
        value = float("nan") if half.held_out[0].group == "a" else 1.0
        return cast(Measures, lambda samples, paired: {("x", "", ""): Outcome(Estimate(value))})

    assert of_halves(build, sets(["a", "b"]), 0) == ({}, 1)
    assert of_halves(build, sets(["b", "c"]), 0)[0]["x", "", ""].estimate.value == pytest.approx(1)

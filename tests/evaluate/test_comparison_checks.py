"""Runs whose numbers would not compare are refused before anything is drawn, each for its own reason."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from beeline.core.data import Example, Geometry
from beeline.core.errors import UserError
from beeline.evaluate.comparison_checks import check_same_data, check_same_examples
from beeline.evaluate.evaluation import Evaluator
from beeline.evaluate.sets import read_sets
from beeline.generate.engine import Engine

RANDOM = np.random.default_rng(0)
GEOMETRY = Geometry(("u",), ("m",), (1.0, 2.0), "km", (True, False))


@dataclass
class Fields:
    """As much of a modality of fields as is asked for."""

    known: Geometry

    def geometry(self) -> Geometry:
        """That of the fields."""
        return self.known


def engine(modality: Any) -> Engine:
    return cast(Engine, SimpleNamespace(modality=modality))


def examples(count: int) -> list[Example]:
    return [Example(each, {"level": 1.0}) for each in RANDOM.normal(size=(count, 4, 4, 1))]


TRAINING, HELD_OUT = examples(12), examples(5)


@pytest.mark.parametrize(
    ("training", "held_out", "message"),
    [
        (TRAINING[:11], HELD_OUT, "two: its split has 11 training examples, that of one 12"),
        (TRAINING, HELD_OUT[1:], "two: its split has 4 held-out examples, that of one 5"),
        (
            [Example(each.array.astype(np.uint8)) for each in TRAINING],
            HELD_OUT,
            "two: its samples are uint8 with 1 channels, those of one float64 with 1 channels",
        ),
        (
            TRAINING,
            [Example(np.concatenate([each.array] * 2, axis=-1)) for each in HELD_OUT],
            "its samples are float64 with 2 channels",
        ),
    ],
)
def test_sizes_and_kinds_of_numbers_are_compared(training: Any, held_out: Any, message: str) -> None:
    own = (Path("one"), engine(None), TRAINING, HELD_OUT)
    check_same_data([own, (Path("two"), engine(None), TRAINING, HELD_OUT)])
    with pytest.raises(UserError, match=message):
        check_same_data([own, (Path("two"), engine(None), training, held_out)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"units": ("mm",)}, r"u \[mm\] on cells of 1 x 2 km.*those of one as u \[m\] on cells of 1 x 2 km"),
        ({"channels": ("v",)}, r"declared as v \[m\]"),
        ({"spacing": (1.0, 1.0)}, "cells of 1 x 1 km"),
        ({"length_unit": "m"}, "cells of 1 x 2 m"),
        ({"periodic": (False, True)}, r"periodic along \[1\]"),
        ({"overdensity": ("u",)}, "overdensity of u"),
    ],
)
def test_units_and_grids_of_fields_are_compared(changes: dict[str, Any], message: str) -> None:
    own = (Path("one"), engine(Fields(GEOMETRY)), TRAINING, HELD_OUT)
    check_same_data([own, (Path("two"), engine(Fields(replace(GEOMETRY))), TRAINING, HELD_OUT)])
    with pytest.raises(UserError, match=message):
        check_same_data([own, (Path("two"), engine(Fields(replace(GEOMETRY, **changes))), TRAINING, HELD_OUT)])


def test_examples_of_one_number_that_are_others_are_refused_and_conditions_are_its_own() -> None:
    evaluator = cast(Evaluator, SimpleNamespace(sets=read_sets(TRAINING, HELD_OUT)))
    own_words = [Example(each.array, {"height": 2.0}) for each in HELD_OUT]
    found = check_same_examples(Path("one"), evaluator, Path("two"), TRAINING, own_words)
    assert [each.condition for each in found] == [{"height": 2.0}] * 5
    for name, training, held_out in (("training", TRAINING[::-1], HELD_OUT), ("held-out", TRAINING, HELD_OUT[::-1])):
        with pytest.raises(UserError, match=f"two: its {name} examples are not those of one"):
            check_same_examples(Path("one"), evaluator, Path("two"), training, held_out)

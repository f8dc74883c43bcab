"""A sweep moves one parameter and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from beeline.conditioning.label import ClassLabel
from beeline.conditioning.parameters import Parameters
from beeline.conditioning.vector import Vector
from beeline.core.data import Example, Geometry
from beeline.core.errors import UserError
from beeline.core.random import Key
from beeline.data.field_strips import LinePanel
from beeline.evaluate.field_sweep import chosen_scalar, sweep_curves, sweep_sheets, swept
from beeline.generate.engine import Request, Samples
from beeline.generate.scalars import scalars_of

LAW = Parameters("law", ("gain", "age", "mass"), log=("mass",), units=("", "s", "kg")).fit(
    [(0.0, 10.0, 1.0), (8.0, 40.0, 16.0), (4.0, None, 2.0)]
)
DOSES = Vector("doses", 2)
TRAINING = [Example(np.zeros((2, 2, 1)), {"doses": row}) for row in ([1.0, 5.0], [2.0, 3.0])]
GEOMETRY = Geometry(("u",), ("m",), (1.0, 1.0))


class Answering:
    """u = gain + mass + dose_1 + noise of the item, and it remembers what it was asked."""

    def __init__(self, is_regression: bool = False) -> None:
        self.codec = SimpleNamespace(
            conditions=[ClassLabel("kind", 3), LAW, DOSES], form=lambda array: array.shape[:-1]
        )
        self.modality = SimpleNamespace(geometry=lambda: GEOMETRY)
        self.process = SimpleNamespace(is_regression=is_regression)
        self.asked: list[list[Request]] = []

    def generate(self, requests: list[Request], seed: int, settings: Any = None) -> Samples:
        self.asked.append(requests)
        noise = Key.range(seed, 0, len(requests)).normal(4).numpy().reshape(-1, 2, 2, 1)
        examples = []
        for own, each in zip(noise, requests, strict=True):
            told = each.condition["law"]["gain"] + each.condition["law"]["mass"] + each.condition["doses"][1]
            examples.append(Example(own + told))
        return Samples(examples, {"passes": 3})


@pytest.fixture
def engine() -> Any:
    return Answering()


def held_out() -> list[Example]:
    known = {"kind": 2, "law": {"gain": 3.0, "age": 12.0, "mass": 2.0}, "doses": [1.5, 4.0], "other": "unknown to it"}
    return [Example(np.zeros((2, 2, 1)), {"kind": 1}), Example(np.zeros((2, 2, 1)), known)]


def test_only_the_parameter_moves_and_every_value_has_the_same_noise(engine: Any) -> None:
    scalar = chosen_scalar(engine, None)
    assert scalar is not None
    assert scalar.name == "gain", "the first"
    sweep = swept(engine, scalar, TRAINING, held_out(), seed=5)
    assert sweep is not None
    assert sweep.number == 1, "the first input that has a value of it"
    assert sweep.values == pytest.approx([0, 2, 4, 6, 8])
    np.testing.assert_allclose(np.diff(sweep.members, axis=0), 2.0, err_msg="of the same noise the gain alone differs")
    assert np.ptp(sweep.members[0, :, 0, 0, 0]) > 0.1, "the draws of one value are of different noise"
    for value, requests in zip(sweep.values, engine.asked, strict=True):
        assert len({id(request) for request in requests}) == 1
        assert requests[0].condition == {
            "kind": 2, "law": {"gain": pytest.approx(value), "age": 12.0, "mass": 2.0}, "doses": [1.5, 4.0],
        }  # fmt: skip
        assert requests[0].form == (2, 2)
    assert sweep.passes == 5 * 4 * 3
    curves = sweep_curves(sweep, 0)
    assert np.diff(curves["mean"]) == pytest.approx([2.0] * 4)
    assert curves["mean"][0] == pytest.approx(sweep.members[0].mean())
    assert curves["deviation"] == pytest.approx([sweep.members[0].std(axis=(1, 2, 3)).mean()] * 5)
    sheet = sweep_sheets(sweep, GEOMETRY, ("y", "x"))["u"]
    assert [name for name, _ in sheet.rows] == ["draw 1", "draw 2", "mean of 4"]
    assert len({panel.scale for panel in sheet.panels}) == 1
    assert "20 draws, 60 network passes in all" in sheet.note
    assert "gain moved over its trained range, 0 to 8, in 5 steps" in sheet.note


def test_ranges_are_those_of_training_on_the_scale_that_the_model_has(engine: Any) -> None:
    by_name = {each.name: each for each in scalars_of(engine.codec.conditions)}
    assert list(by_name) == ["gain", "age", "mass", "doses_0", "doses_1"]
    masses = swept(engine, by_name["mass"], TRAINING, held_out(), 0)
    assert masses is not None
    assert masses.values == pytest.approx([1, 2, 4, 8, 16]), "of a logarithmic one by equal factors"
    doses = swept(engine, by_name["doses_1"], TRAINING, held_out(), 0)
    assert doses is not None
    assert doses.values == pytest.approx([3, 3.5, 4, 4.5, 5])
    assert engine.asked[-1][0].condition["doses"] == [1.5, 5.0]
    assert swept(engine, by_name["doses_1"], TRAINING[:1], held_out(), 0) is None, "it never varies"
    assert swept(engine, by_name["age"], TRAINING, held_out()[:1], 0) is None, "no input has it"


def test_missing_parameters_stay_missing() -> None:
    (gain, age, _, *_) = scalars_of([LAW])
    assert gain.put({"gain": 1.0, "mass": 2.0}, 4.0) == {"gain": 4.0, "mass": 2.0}
    assert gain.put((1.0, None, 2.0), 4.0) == [4.0, None, 2.0]
    assert np.isnan(age.value((1.0, None, 2.0)))
    assert np.isnan(age.value({"gain": 1.0, "mass": 2.0}))
    assert np.isnan(age.value(None))


def test_a_regression_answers_once_and_lines_are_drawn_as_lines() -> None:
    engine: Any = Answering(is_regression=True)
    sweep = swept(engine, scalars_of([LAW])[0], TRAINING, held_out(), 0)
    assert sweep is not None
    assert sweep.members.shape == (5, 1, 2, 2, 1)
    line = type(sweep)(sweep.scalar, sweep.values, sweep.members[..., 0, :], sweep.number, sweep.passes)
    sheet = sweep_sheets(line, Geometry(("u",), ("m",), (1.0,)), ("x",))["u"]
    assert all(isinstance(panel, LinePanel) for panel in sheet.panels)
    assert [name for name, _ in sheet.rows] == ["draw 1"]


def test_parameters_are_chosen_by_name(engine: Any) -> None:
    age = chosen_scalar(engine, "age")
    assert age is not None
    assert (age.name, age.units) == ("age", "s")
    assert chosen_scalar(engine, "none") is None
    with pytest.raises(UserError, match="unknown --sweep 'ags'; did you mean 'age'"):
        chosen_scalar(engine, "ags")
    engine.modality = None
    with pytest.raises(UserError, match="--sweep age: the model is not of fields on a grid"):
        chosen_scalar(engine, "age")
    engine.codec.conditions = []
    assert chosen_scalar(engine, None) is None
    with pytest.raises(UserError, match="--sweep age: the model takes no parameters"):
        chosen_scalar(engine, "age")

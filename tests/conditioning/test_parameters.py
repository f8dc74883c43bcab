"""Named numbers: scaled by the training values, missing one by one, warned of outside of their range."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from beeline.cli.main import _warnings_told
from beeline.conditioning.parameters import Parameters
from beeline.core.errors import InputWarning, UserError
from beeline.core.parts import describe_part, rebuild_part
from beeline.core.protocols import Condition
from beeline.generate.asking import look_over
from beeline.model.codec import Codec
from beeline.tokenizers.grid import GridTokenizer

LAW = Parameters("law", ("month", "level"), log=("level",), units=("", "hPa"))
FITTED = LAW.fit([(1, 10.0), (12, 1000.0), {"month": 6, "level": 100.0}, (3, None)])


def test_e31_parameters_are_scaled_inside_the_model_on_their_own_scales() -> None:
    """E31: stored minima and maxima become -1 and 1, on a log scale where asked, and travel with the model."""
    assert isinstance(LAW, Condition)
    assert (FITTED.low, FITTED.high, FITTED.missing) == ((1.0, 10.0), (12.0, 1000.0), ("level",))
    again = rebuild_part(describe_part(FITTED), "")
    assert again == FITTED
    for value, expected in (((1, 10), (-1, -1)), ((12, 1000), (1, 1)), ((6.5, 100), (0, 0)), ((1, 1000), (-1, 1))):
        torch.testing.assert_close(again.encode(value), torch.tensor([*expected, 0, 0], dtype=torch.float32))
    assert torch.equal(FITTED.encode({"level": 100, "month": 3}), FITTED.encode(np.array([3.0, 100.0])))


def test_one_is_missing_without_the_other() -> None:
    expected = torch.tensor([-1.0, 0.0, 0.0, 1.0])
    for value in ((1, None), (1, math.nan), {"month": 1}, {"month": 1, "level": None}):
        assert torch.equal(FITTED.encode(value), expected)
    with pytest.raises(UserError, match="parameter month is missing and never was in training"):
        FITTED.encode({"level": 10})
    torch.manual_seed(0)
    embedder, present = FITTED.embedder(8, GridTokenizer((2,))), torch.tensor([False])
    middle, absent = (embedder(FITTED.encode(value)[None], present) for value in ((1, 100), (1, None)))
    assert not torch.allclose(middle, absent), "missing is not the middle of the range"
    flag = embedder.first.weight.grad_fn, torch.autograd.grad(absent.sum(), embedder.first.weight)[0]  # type: ignore
    assert flag[1][:, 3].abs().sum() > 0
    assert not flag[1][:, 1].any()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((1, -5.0), "level = -5 has no logarithm"),
        ((1, 0), "level = 0 has no logarithm"),
        ((1,), "need 2 numbers, or some by name such as month=...,level=..."),
        ((1, math.inf), "finite or NaN"),
        ("ab", "need 2 numbers"),
        (3.0, "need 2 numbers"),
        ({"mouth": 1}, "unknown parameter of condition law 'mouth'; did you mean 'month'"),
    ],
)
def test_values_that_do_not_fit_are_refused(value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        FITTED.encode(value)


def test_a_parameter_from_which_nothing_can_be_learned_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="parameter level is 10 in every example; leave it out"):
        LAW.fit([(1, 10.0), (2, 10.0)])
    with pytest.raises(UserError, match="parameter month is never given"):
        LAW.fit([{"level": 10.0}, {"level": 20.0}])


@pytest.mark.parametrize(
    "wrong", [{"names": ()}, {"names": ("a", "a")}, {"names": ("a=b",)}, {"log": ("c",)}, {"units": ("m", "s")}]
)
def test_names_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="condition law"):
        Parameters(**{"name": "law", "names": ("a",), **wrong})


def test_values_are_read_by_name_or_in_order() -> None:
    for text in ("month=7,level=200", "level=200, month=7", "7,200"):
        assert torch.equal(FITTED.encode(FITTED.parse(text)), FITTED.encode((7, 200)))
    for text in ("month=7", "7,?", "7,nan", "month=7,level="):
        assert torch.equal(FITTED.encode(FITTED.parse(text)), FITTED.encode((7, None)))
    for text, message in (("7", "need 2 numbers"), ("month=a", "need 2"), ("month=1,month=2", "need 2"),
                          ("month=7,200", "need 2"), ("lewel=3", "did you mean 'level'")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            FITTED.parse(text)


def test_what_lies_outside_of_the_trained_range_is_told_once_and_by_name() -> None:
    codec = Codec(normaliser=None, tokenizer=GridTokenizer((2,)), conditions=(FITTED,))  # type: ignore[arg-type]
    inside: list[dict[str, Any]] = [{"law": (1, 10)}, {"law": (12.1, 1000)}, {"law": (5, None)}, {}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        look_over(codec, inside)
    with pytest.warns(InputWarning) as told:
        look_over(codec, [*inside, {"law": (5, 2000)}, {"law": (5, 4000)}, {"law": {"month": 0, "level": 4000}}])
    assert [str(each.message) for each in told] == [
        "condition law: month = 0 lies outside of what the model was trained on, 1 to 12",
        "condition law: level = 4000 hPa lies outside of what the model was trained on, 10 to 1000 hPa",
    ]


def test_values_go_over_into_one_another_on_their_own_scales() -> None:
    middle = FITTED.between((1, 10), {"month": 3, "level": 1000}, 0.5)
    assert middle == pytest.approx({"month": 2.0, "level": 100.0})
    assert math.isnan(FITTED.between((1, None), (3, 10), 0.5)["level"])


def test_the_command_line_says_a_warning_in_one_line_and_once() -> None:
    said: list[str] = []
    with _warnings_told(said.append):
        for _ in range(2):
            warnings.warn("month = 0 lies outside", InputWarning, stacklevel=1)
        with pytest.raises(UserWarning, match="of others"):
            warnings.warn("of others", UserWarning, stacklevel=1)
    assert said == ["warning: month = 0 lies outside"]

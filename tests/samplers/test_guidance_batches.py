"""The batch of a guided pass is made once, and anew as soon as anything that it depends on is another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.tokens import Layout, Tokens
from beeline.process.linear import Linear
from beeline.samplers.guidance import Guided

PLACES = [each.name for each in fields(Tokens) if each.name not in ("values", "segment")]
GIVEN = ["values of conditions", "null", "rates", "names"]


@dataclass
class Shown:
    """Remembers what it is asked, and says nothing."""

    asked: list[tuple[Tokens, Tensor, Conditions]] = field(default_factory=list)

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        self.asked.append((x_t, t, conditions))
        return Prediction(Linear(), x_t, t, torch.zeros_like(x_t.values), "velocity")


def batch(seed: int) -> tuple[Tokens, Conditions]:
    """Three samples of four tokens, with everything that tokens and conditions can have."""
    random = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    def choices(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random) < 0.7

    tokens = Tokens(
        numbers(3, 4, 2), numbers(3, 4, 1), torch.randint(0, 9, (3, 4), generator=random), choices(3, 4),
        choices(3, 4, 2), None, (Layout((4,), (4 + seed,)),) * 3, numbers(3, 4, 2), choices(3, 4, 2),
    )  # fmt: skip
    rates = {"label": 0.1, "size": 0.2 * (seed - 1)}
    given = {"label": numbers(3, 2), "size": numbers(3, 1)}
    return tokens, Conditions(given, {name: ~choices(3) for name in given}, rates)


def pieces(asked: tuple[Tokens, Tensor, Conditions]) -> list[Any]:
    tokens, t, conditions = asked
    return [tokens.values, *tokens.places(), t, *conditions.tensors(), list(conditions.values), list(conditions.null)]


def same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in zip(one, other, strict=True))


def another(way: str, tokens: Tokens, conditions: Conditions) -> tuple[Tokens, Conditions]:
    """A batch of which one piece is another, and all others are the same objects."""
    others, other_conditions = batch(2)
    if way == "names":
        other = {"label": "size", "size": "label"}
        values, null = ({other[name]: each for name, each in of.items()} for of in (conditions.values, conditions.null))
        return tokens, replace(conditions, values=values, null=null)
    if way in GIVEN:
        name = way.removesuffix(" of conditions")
        return tokens, replace(conditions, **{name: getattr(other_conditions, name)})
    return replace(tokens, **{way: getattr(others, way)}), conditions


@pytest.mark.parametrize("way", ["values", *PLACES, *GIVEN])
@pytest.mark.parametrize("scales", [(3.0, 3.0, 3.0), (3.0, 1.0, 2.0)])
@pytest.mark.parametrize("autoguidance", [False, True])
def test_what_is_asked_is_what_would_be_asked_without_a_memory(
    way: str, scales: tuple[float, ...], autoguidance: bool
) -> None:
    before, t = batch(1), torch.full((3,), 0.5)
    tokens, conditions = another(way, *before)
    asked = []
    for remembers in (True, False):
        shown = Shown()
        guided = Guided(shown, torch.tensor(scales), weak=shown if autoguidance else None)
        with torch.no_grad():
            if remembers:
                guided(before[0], t, before[1])
                shown.asked.clear()
            guided(tokens, t, conditions)
        asked.append(shown.asked)
    assert len(asked[0]) == len(asked[1]) == 1 + autoguidance
    assert all(same(pieces(one), pieces(other)) for one, other in zip(*asked, strict=True))


@pytest.mark.parametrize("scales", [(3.0, 3.0, 3.0), (3.0, 1.0, 2.0)])
@pytest.mark.parametrize("autoguidance", [False, True])
def test_the_same_places_are_shown_as_the_same_objects(scales: tuple[float, ...], autoguidance: bool) -> None:
    shown, (tokens, conditions) = Shown(), batch(1)
    guided = Guided(shown, torch.tensor(scales), weak=shown if autoguidance else None)
    with torch.no_grad():
        for t in (0.9, 0.5):
            guided(tokens.with_values(t * tokens.values), torch.full((3,), t), conditions)
    first, last = shown.asked[len(shown.asked) // 2 - 1], shown.asked[-1]
    assert all(one is other for one, other in zip(first[0].places(), last[0].places(), strict=True))
    assert all(one is other for one, other in zip(first[2].tensors(), last[2].tensors(), strict=True))
    assert not torch.equal(first[0].values, last[0].values)


def test_rows_that_are_guided_at_their_own_times_are_told_apart() -> None:
    (tokens, conditions), asked = batch(1), []
    times = [torch.tensor(each) for each in ((0.5, 0.9, 0.9), (0.9, 0.5, 0.9))]
    for remembers in (True, False):
        shown = Shown()
        guided = Guided(shown, 3.0, interval=(0.0, 0.6))
        with torch.no_grad():
            for t in times if remembers else times[1:]:
                guided(tokens, t, conditions)
        asked.append(shown.asked[-1])
    assert same(*map(pieces, asked))

"""What a peer has no place for, and what its code would compute otherwise: named one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from beeline.core.errors import UserError
from beeline.model import interop
from beeline.model.interop.fitting import anatomy_for, changes
from beeline.model.starting import Starting
from beeline.tokenizers.grid import GridTokenizer
from tests.model.peers import Recipe, state


@pytest.fixture(scope="module")
def dit(tmp_path_factory: pytest.TempPathFactory) -> Starting:
    path = tmp_path_factory.mktemp("dit") / "a.pt"
    torch.save(state(Recipe()), path)
    return interop.load(path, "dit", num_heads=4, null_row=True).starting()


def model(**options: Any) -> Callable[[Starting], Starting]:
    return lambda start: replace(start, model=replace(start.model, **options))


def codec(**options: Any) -> Callable[[Starting], Starting]:
    return lambda start: replace(start, codec=replace(start.codec, **options))


ROTARY = {"positions": "sincos_rotary", "rotary_period": 10000.0, "rotary_pairs": "adjacent"}


@pytest.mark.parametrize(
    ("change", "layout", "message"),
    [
        (codec(tokenizer=GridTokenizer((2, 2), 4, periodic=(True, False))), "dit", "periodic axes"),
        (codec(tokenizer=GridTokenizer((2, 1), 4)), "dit", "not square patches"),
        (codec(tokenizer=GridTokenizer((2, 2, 2), 4)), "dit", "two axes"),
        (codec(conditions=()), "dit", r"one class label \(none\)"),
        (codec(forms=(((8, 8), 3), ((4, 8), 1))), "dit", "data of several sizes"),
        (codec(forms=(((7, 8), 1),)), "dit", "data of 7x8"),
        (codec(forms=(((4, 16), 1),), extents=(2, 8)), "diffusers", "4x16; diffusers' are square"),
        (model(activation="silu"), "dit", "model.activation silu"),
        (model(norm="rms"), "sit", "model.norm rms"),
        (model(shift=False), "dit", "model.shift False"),
        (model(qk_norm=True), "dit", "model.qk_norm True"),
        (model(qk_norm=True), "lightningdit", "model.qk_norm_kind rms"),
        (model(qk_norm=True, qk_norm_kind="layer", norm="rms"), "lightningdit", "model.qk_norm_kind layer"),
        (model(positions="learned"), "diffusers", "model.positions learned"),
        (model(positions="none"), "dit", "model.positions none"),
        (model(**ROTARY), "sit", "model.positions sincos_rotary"),
        (model(**{**ROTARY, "rotary_pairs": "halves"}), "lightningdit", "halves pairs"),
        (model(**{**ROTARY, "rotary_period": 100.0}), "lightningdit", "period 100"),
    ],
)
def test_what_a_peer_has_no_place_for_is_named(
    change: Callable[[Starting], Starting], layout: Any, message: str, dit: Starting, tmp_path: Path
) -> None:
    source = SimpleNamespace(starting=lambda: change(dit))
    with pytest.raises(UserError, match=message) as caught:
        interop.save(source, tmp_path / ("b" if layout == "diffusers" else "b.pt"), layout, reinterpret=True)
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "layout", "expected"),
    [
        (lambda start: start, "dit", []),
        (model(second_norm_epsilon=1e-5), "dit", ["epsilon 1e-05 becomes 1e-06"]),
        (model(frequency_divisor=127), "dit", ["divisor 127 becomes 128"]),
        (model(frequency_divisor=127), "diffusers", []),
        (lambda start: start, "diffusers", ["divisor 128 becomes 127", "epsilon is 1e-06, kept as norm_eps"]),
        (
            lambda start: replace(start, objective=replace(start.objective, prediction="data")),
            "dit",
            ["prediction data becomes noise"],
        ),
        (
            lambda start: replace(start, process=replace(start.process, schedule="cosine")),
            "dit",
            ["other noise levels"],
        ),
        (
            lambda start: start,
            "sit",
            ["becomes path linear", "noise becomes velocity_to_data", "learned variance is ignored"],
        ),
    ],
)
def test_what_a_peer_would_compute_otherwise_is_named(
    change: Callable[[Starting], Starting], layout: Any, expected: list[str], dit: Starting
) -> None:
    start = change(dit)
    found = changes(start, anatomy_for(start, layout, None))
    assert len(found) == len(expected)
    assert all(part in line for part, line in zip(expected, found, strict=True))

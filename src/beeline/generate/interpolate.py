"""Strips of samples from one to another.

Between two inputs the noise of each is found first; conditions that are vectors go over into one another, others are
those of the nearer end. Shapes: L tokens an item, C numbers a token, F frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.core.offers import Blending
from beeline.core.state import SamplerState
from beeline.core.tokens import Tokens
from beeline.generate.editor import Editor, rows
from beeline.generate.engine import Array, Engine, Request, Samples
from beeline.generate.walk import Stretch
from beeline.model.codec import Form
from beeline.samplers.interpolation import slerp


def between(editor: Editor, first: Example, last: Example) -> Samples:
    """A strip of samples from one input to another.

    Args:
        editor: of the model.
        first: with its condition.
        last: of the same form, with its condition.

    Raises:
        UserError: they differ in form, or one does not fit.
    """
    if editor.engine.codec.form(first.array) != editor.engine.codec.form(last.array):
        raise UserError(
            f"interpolate: the two inputs, {first.array.shape} and {last.array.shape}, differ in shape or in what "
            "is absent; need two alike"
        )
    found = editor.inverted([first, last])
    samples = _strip(editor, found.noise, first.condition, last.condition, (first.array, last.array))
    return editor.told(samples, found.samples, cycle_error=found.errors)


def between_seeds(editor: Editor, first: Request, last: Mapping[str, Any]) -> Samples:
    """A strip of samples from the first sample of one seed to that of another.

    Args:
        editor: of the model.
        first: what the first is, and the form of all.
        last: condition of the last.

    Raises:
        UserError: a condition or the form does not fit.
    """
    seeds, ends = editor.edit.seeds or (0, 1), list[Tokens]()

    def way(stretch: Stretch) -> SamplerState:
        start = stretch.plan.times[0].item()
        ends.append(editor.engine.process.prior(stretch.tokens, editor.engine.source, stretch.key.fold("start"), start))
        return SamplerState(ends[-1], stretch.plan.times)

    editor.engine.generate([first], seeds[0], editor.settings, way=way)
    form = _form(editor.engine, ends[0])
    editor.engine.generate([Request(last, form)], seeds[1], editor.settings, way=way)
    return editor.told(_strip(editor, ends, first.condition, last))


def _strip(
    editor: Editor,
    ends: Sequence[Tokens],
    first: Mapping[str, Any],
    last: Mapping[str, Any],
    likes: tuple[Array, Array] | None = None,
) -> Samples:
    """Samples from one noise to another.

    Args:
        editor: of the model.
        ends: the noise.
        first: condition of the first.
        last: condition of the last.
        likes: the two inputs, which have what the normaliser leaves out; None where there are none.
    """
    shares = torch.linspace(0.0, 1.0, editor.edit.frames, dtype=torch.float64)
    mixed = slerp(ends[0].values[0], ends[1].values[0], shares.to(ends[0].values.device))
    noise, form = [ends[0].with_values(frame[None]) for frame in mixed], _form(editor.engine, ends[0])
    requests = [
        Request(
            _mixed(editor.engine, first, last, share),
            form,
            like=None if likes is None else (1 - share) * likes[0] + share * likes[1],
        )
        for share in shares.tolist()
    ]
    return editor.generate(requests, lambda stretch: stretch.down_from(rows(noise, stretch)))


def _mixed(engine: Engine, first: Mapping[str, Any], last: Mapping[str, Any], share: float) -> Mapping[str, Any]:
    nearer = dict(first if share < 0.5 else last)
    for condition in engine.codec.conditions:
        name = condition.name
        if _lacks(name, first, last):
            continue
        if isinstance(condition, Blending):
            nearer[name] = condition.between(first[name], last[name], share)
        elif condition.route == "global" and condition.choices is None:
            one, other = (np.asarray(each[name], dtype=np.float64) for each in (first, last))
            nearer[name] = ((1 - share) * one + share * other).tolist()
    return nearer


def _lacks(name: str, *conditions: Mapping[str, Any]) -> bool:
    return any(each.get(name) is None for each in conditions)


def _form(engine: Engine, tokens: Tokens) -> Form:
    tokenizer = engine.codec.tokenizer
    return tokenizer.form(tokenizer.decode(tokens.to("cpu")))

"""Samples that begin with data of the user's.

regenerated   data up to noise and down again, with the same condition or with another
renoised      data and noise at a time t, then down from t
inpainted     down from noise, known parts put back at the noise level of every step
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.core.state import SamplerState
from beeline.generate.editor import Editor, rows
from beeline.generate.engine import Array, Samples
from beeline.generate.walk import Stretch
from beeline.samplers.inpainting import Inpainting


def regenerated(
    editor: Editor, inputs: Sequence[Example], becoming: Sequence[Mapping[str, Any]] | None = None
) -> Samples:
    """Data from the noise that gives them.

    The way up is not guided; ``cycle_error`` in the provenance is how far each item comes from itself when it walks
    down the same way with its own condition: root mean square of the difference of normalised numbers.

    Args:
        editor: of the model.
        inputs: at least one, with their own conditions.
        becoming: the condition of each on the way down; its own when None.

    Raises:
        UserError: an input or a condition does not fit.
    """
    conditions = [each.condition for each in inputs] if becoming is None else becoming
    requests = editor.requests([replace(given, condition=each) for each, given in zip(conditions, inputs, strict=True)])
    for each, given in zip(conditions, inputs, strict=True):
        editor.engine.codec.encode(replace(given, condition=each))
    found = editor.inverted(inputs)
    if becoming is None and editor.settings.cfg_scale == 1:
        return editor.told(found.samples, found.samples, cycle_error=found.errors)

    def way(stretch: Stretch) -> SamplerState:
        return stretch.down_from(rows(found.noise, stretch))

    return editor.told(editor.generate(requests, way), found.samples, cycle_error=found.errors)


def renoised(editor: Editor, inputs: Sequence[Example]) -> Samples:
    """Data to which noise has been added and taken away again.

    Args:
        editor: of the model.
        inputs: at least one, with the conditions that they are to have.

    Raises:
        UserError: an input or a condition does not fit.
    """
    engine, data, times = editor.engine, editor.encoded(inputs), editor.kept

    def way(stretch: Stretch) -> SamplerState:
        x0 = rows(data, stretch)
        e = engine.source.sample(x0, stretch.key.fold("start"))
        t = times[0].to(x0.values).expand(x0.samples)
        shorter = replace(stretch, plan=replace(stretch.plan, times=times))
        return shorter.down_from(engine.process.mix(x0, e, t))

    share = (len(times) - 1) / (len(editor.plan.times) - 1)
    return editor.told(editor.generate(editor.requests(inputs), way, share), t=times[0].item())


def inpainted(editor: Editor, inputs: Sequence[Example], known: Sequence[Array]) -> Samples:
    """Data of which one part is kept, to the last bit, and the other is made anew.

    Args:
        editor: of the model.
        inputs: at least one, with the conditions that they are to have; what they hold where nothing is known does
            not matter.
        known: for each a boolean array that broadcasts to it, True where it is kept.

    Raises:
        UserError: an input, a condition or a mask does not fit, or leaves nothing or everything to be made.
    """
    engine, data = editor.engine, editor.encoded(inputs)
    masks = [_mask(mask, each.array, index) for index, (mask, each) in enumerate(zip(known, inputs, strict=True))]
    lift = engine.codec.tokenizer.lift
    lifted = [
        tokens.with_values(lift(torch.from_numpy(mask.astype(np.float32)), tokens))
        for mask, tokens in zip(masks, data, strict=True)
    ]

    def way(stretch: Stretch) -> SamplerState:
        x0, mask = rows(data, stretch), rows(lifted, stretch).values.bool()
        inpainting = Inpainting(engine.process, engine.source, x0, mask, stretch.key, editor.edit.resample)
        first = stretch.plan.times[0].item()
        start = engine.process.prior(x0, engine.source, stretch.key.fold("start"), first)
        return stretch.down_from(inpainting.restored(start, stretch.plan.times[0]), inpainting)

    made = editor.generate(editor.requests(inputs), way, editor.edit.resample)
    examples = [
        replace(each, array=np.where(mask, given.array, each.array))
        for each, given, mask in zip(made.examples, inputs, masks, strict=True)
    ]
    return editor.told(replace(made, examples=examples), known=[float(mask.mean()) for mask in masks])


def _mask(mask: Array, array: Array, index: int) -> Array:
    """A mask in the shape of its array, False where nothing is.

    Raises:
        UserError: it has another shape, or there is nothing to keep or to make.
    """
    real = ~np.isnan(array) if array.dtype.kind == "f" else np.ones(array.shape, dtype=bool)
    try:
        whole = np.broadcast_to(mask, array.shape) & real
    except ValueError:
        raise UserError(f"known: a mask of shape {mask.shape} for input {index}, which has {array.shape}") from None
    if not whole.any() or whole.sum() == real.sum():
        what = (
            "nothing of input {} is known, so that 'beeline sample' does it"
            if not whole.any()
            else ("everything of input {} is known, so that nothing is left to make")
        )
        raise UserError(f"known: {what.format(index)}")
    return whole

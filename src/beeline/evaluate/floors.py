"""What a number would be without a model: two cheap baselines in the place of samples.

class means        every sample is the mean of the training examples of its class: right on average, without variety
resampled pixels   every number of a sample is drawn by itself from the training examples of its class: the right
                   histogram everywhere, without structure

Without classes all training examples are one class.

Shapes: N samples, M training examples, D numbers a sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from beeline.core.data import Example
from beeline.core.protocols import Condition
from beeline.core.random import Key
from beeline.evaluate.sets import classes_of, one_shape

Array = np.ndarray[Any, Any]
_SAMPLES_AT_ONCE = 256


def floors(
    training: Sequence[Example], asked: Sequence[Example], condition: Condition | None, seed: int
) -> dict[str, list[Example]]:
    """Baselines by name, none where training examples differ in shape or have missing numbers.

    Args:
        training: real examples.
        asked: samples, whose conditions the baselines answer.
        condition: that says the class; None without classes.
        seed: number p of sample i depends on (seed, i, p) alone.
    """
    if one_shape(training) is not None:
        return {}
    real_MD = np.stack([example.array.ravel() for example in training])
    real_M, asked_N = classes_of(training, condition), classes_of(asked, condition)
    members = {each: np.flatnonzero(real_M == each) for each in np.unique(asked_N).tolist()}
    members = {
        each: (found if each >= 0 and len(found) else np.arange(len(real_MD))) for each, found in members.items()
    }
    means = {each: _native(real_MD[found].mean(axis=0, dtype=np.float64), real_MD) for each, found in members.items()}
    shape = training[0].array.shape

    def examples(rows_ND: Sequence[Array]) -> list[Example]:
        return [Example(row.reshape(shape), one.condition) for row, one in zip(rows_ND, asked, strict=True)]

    return {
        "class means": examples([means[each] for each in asked_N.tolist()]),
        "resampled pixels": examples(_resampled(real_MD, [members[each] for each in asked_N.tolist()], seed)),
    }


def _native(mean_D: Array, like: Array) -> Array:
    return (np.rint(mean_D) if like.dtype.kind in "iub" else mean_D).astype(like.dtype)


def _resampled(real_MD: Array, members: Sequence[Array], seed: int) -> list[Array]:
    numbers, rows = real_MD.shape[1], []
    for start in range(0, len(members), _SAMPLES_AT_ONCE):
        chosen = members[start : start + _SAMPLES_AT_ONCE]
        draws = Key.range(seed, start, len(chosen)).fold("floor").uniform(numbers).numpy()
        for found, draw in zip(chosen, draws, strict=True):
            rows.append(real_MD[found[(draw * len(found)).astype(np.int64)], np.arange(numbers)])
    return rows

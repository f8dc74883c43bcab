"""What a number would be without a model: cheap baselines in the place of samples.

class means        every sample is the mean of the training examples of its class: right on average, without variety
resampled values   every number of a sample is drawn by itself from the training examples of its class: the right
                   histogram everywhere, without structure

Without classes all training examples are one class. For data of several shapes there are

one example        every sample is the same training example of its class: right in itself, without variety
noise              every number is drawn from one normal distribution: the right mean and size, and nothing else

A modality may have cheap answers of its own kind beside these (``offers.Baselined``).

Shapes: N samples, M training examples, D numbers a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from beeline.core.data import Example
from beeline.core.protocols import Condition
from beeline.core.random import Key
from beeline.evaluate.sets import classes_of, one_shape

Array = np.ndarray[Any, Any]
Baselines = Callable[[Sequence[Example], Sequence[Example], int], Mapping[str, Sequence[Example]]]
"""(training examples, samples asked for, seed) -> answers by name: ``offers.Baselined.baselines``."""
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
        "resampled values": examples(_resampled(real_MD, [members[each] for each in asked_N.tolist()], seed)),
    }


def collapsed(training: Sequence[Example], asked: Sequence[Example], condition: Condition | None) -> list[Example]:
    """The same training example of its class for every sample, for data of any form.

    Args:
        training: real examples.
        asked: samples, whose conditions the baseline answers.
        condition: that says the class; None without classes.
    """
    first: dict[int, Array] = {}
    for example, one in zip(training, classes_of(training, condition).tolist(), strict=True):
        first.setdefault(one, example.array)
    wanted = classes_of(asked, condition).tolist()
    return [Example(first.get(one, training[0].array), each.condition) for each, one in zip(asked, wanted, strict=True)]


def noise(training: Sequence[Example], asked: Sequence[Example], seed: int) -> list[Example]:
    """Normal numbers of the mean and deviation of all training numbers together, for data of any form.

    What is missing in the sample asked for is missing in its baseline too; whole numbers are rounded and kept in range.

    Args:
        training: real examples.
        asked: samples, whose forms and conditions the baseline takes.
        seed: number p of sample i depends on (seed, i, p) alone.
    """
    numbers = np.concatenate([example.array.ravel() for example in training])
    present = numbers[~np.isnan(numbers)] if numbers.dtype.kind == "f" else numbers
    mean, deviation = present.mean(dtype=np.float64), present.std(dtype=np.float64)
    made = []
    for number, example in enumerate(asked):
        array = example.array
        draws = Key.range(seed, number, 1).fold("noise floor").normal(array.size).numpy().reshape(array.shape)
        drawn = mean + deviation * draws
        if array.dtype.kind in "iub":
            limits = (0, 1) if array.dtype.kind == "b" else (np.iinfo(array.dtype).min, np.iinfo(array.dtype).max)
            drawn = np.clip(np.rint(drawn), *limits)
        else:
            drawn = np.where(np.isnan(array), np.nan, drawn)
        made.append(Example(drawn.astype(array.dtype), example.condition))
    return made


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

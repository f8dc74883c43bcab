"""What real examples reach in the place of samples: the best that a model can be asked for.

Of fields, halves of the held-out ones stand on either side, since training fields may be of other months, simulations
or parameters, and whole groups go to one side. Of data with baselines of their own, whose held-out conditions training
examples do not answer either, halves are of single examples, so that every condition is on both sides. Of other data,
which are held out at random, as many training examples as there are samples are held against all held-out ones, so
that both sides are as large as those of the samples.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from beeline.evaluate.measures import Measures
from beeline.evaluate.outcome import Outcome, Place
from beeline.evaluate.sets import Sets, spread
from beeline.metrics.intervals import Estimate

Array = np.ndarray[Any, Any]
_SPLITS = 4


def of_training(measures: Measures, n: int) -> tuple[dict[Place, Outcome], int]:
    """Training examples in the place of samples.

    Args:
        measures: of the held-out examples.
        n: how many samples there are.

    Returns:
        What comes of it, and how many they are.
    """
    chosen = spread(len(measures.sets.used), n)
    real = [measures.sets.used[index] for index in chosen]
    return measures(real, seen=chosen.tolist(), paired=False), len(real)


def of_halves(
    build: Callable[[Sets], Measures], sets: Sets, seed: int, groups: Array | None = None
) -> tuple[dict[Place, Outcome], int]:
    """One half of the held-out examples in the place of samples of the other, on the mean of four splits.

    Args:
        build: measures against the held-out examples of some sets.
        sets: real examples.
        seed: of the splits.
        groups: (K,) group of each held-out example, never on both sides; those of the sets when None.

    Returns:
        What comes of it, nothing where the held-out examples are of one group, and how many a half are.
    """
    found: dict[Place, list[float]] = {}
    sizes = []
    for one, other in halves(sets.groups if groups is None else groups, seed):
        parts = [[sets.held_out[index] for index in half] for half in (one, other)]
        sizes.append(len(parts[1]))
        for place, outcome in build(dataclasses.replace(sets, held_out=parts[0]))(parts[1], paired=False).items():
            found.setdefault(place, []).append(outcome.estimate.value)
    means = {place: Outcome(Estimate(float(np.mean(values)))) for place, values in found.items()}
    whole = {place: each for place, each in means.items() if math.isfinite(each.estimate.value)}
    return whole, round(float(np.mean(sizes))) if sizes else 0


def halves(groups: Array, seed: int) -> Iterator[tuple[Array, Array]]:
    """Places of examples on either side, whole groups of them; none where there is a single group.

    Args:
        groups: (N,) number of the group of each.
        seed: of the splits.
    """
    names, random = np.unique(groups), np.random.default_rng(seed)
    for _ in range(_SPLITS if len(names) > 1 else 0):
        first = np.isin(groups, random.permutation(names)[: len(names) // 2])
        yield np.flatnonzero(first), np.flatnonzero(~first)

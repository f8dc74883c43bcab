"""The training examples nearest to some samples, so that a reader can see whether the model repeats them.

    d(a, b)^2 = mean of (a - b)^2 over the numbers that both have, after the normaliser

An example that lacks more than half of the numbers of a sample is not compared with it.

Shapes: Q samples asked about, N training examples, D numbers a sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from beeline.core.data import Example, Examples, evenly
from beeline.core.protocols import Normaliser

_MOST_SEARCHED, _MOST_NUMBERS, _NUMBERS_AT_ONCE = 20000, 2**26, 2**22
_HELD_OUT = 128


@dataclass(frozen=True)
class Neighbours:
    """What lies nearest in the training set.

    Args:
        examples: the nearest training example of each sample.
        distances: to it.
        typical: median distance of held-out examples to theirs; None where there is none to compare with.
        searched: how many training examples were looked at, evenly spread.
    """

    examples: Sequence[Example]
    distances: Sequence[float]
    typical: float | None
    searched: int


def find_neighbours(
    normaliser: Normaliser, training: Examples, held_out: Examples, samples: Examples
) -> Neighbours | None:
    """The nearest training examples; None where not all of them have the shape of the samples.

    Args:
        normaliser: fitted; distances are between what it makes of arrays.
        training: examples that the model has seen; of very many, a part is searched.
        held_out: examples that it has not, of which some are looked at, evenly spread.
        samples: at least one.
    """
    shape = samples[0].array.shape
    unseen = [held_out[index] for index in evenly(held_out, _HELD_OUT)]
    if any(each.array.shape != shape for each in (*samples, *unseen)):
        return None
    size = max(1, samples[0].array.size)
    chosen = list(evenly(training, max(1, min(_MOST_SEARCHED, _MOST_NUMBERS // size))))
    asked_QD = _rows(normaliser, [*samples, *unseen])
    nearest_Q = torch.full((len(asked_QD),), torch.inf)
    index_Q = torch.zeros(len(asked_QD), dtype=torch.long)
    at_once = max(1, _NUMBERS_AT_ONCE // size)
    for start in range(0, len(chosen), at_once):
        examples = [training[index] for index in chosen[start : start + at_once]]
        if any(each.array.shape != shape for each in examples):
            return None
        distance_Q, place_Q = _distances(asked_QD, _rows(normaliser, examples)).min(dim=1)
        closer = distance_Q < nearest_Q
        nearest_Q = torch.where(closer, distance_Q, nearest_Q)
        index_Q = torch.where(closer, place_Q + start, index_Q)
    found = [training[chosen[int(index)]] for index in index_Q[: len(samples)]]
    exact = (asked_QD[: len(samples)] - _rows(normaliser, found)).square().nanmean(dim=1).sqrt()
    typical = float(nearest_Q[len(samples) :].median()) if unseen else None
    return Neighbours(found, exact.tolist(), typical, len(chosen))


def _rows(normaliser: Normaliser, examples: Examples) -> Tensor:
    """(n, D) float64 numbers, in which near and equal are told apart."""
    return torch.from_numpy(np.stack([normaliser.apply(each.array).ravel() for each in examples])).to(torch.float64)


def _distances(a_QD: Tensor, b_ND: Tensor) -> Tensor:
    """(Q, N) distances, by way of |a|^2 + |b|^2 - 2 a.b: good enough to tell which is nearest."""
    here_QD, there_ND = (~rows.isnan() for rows in (a_QD, b_ND))
    if here_QD.all() and there_ND.all():
        return torch.cdist(a_QD, b_ND) / a_QD.shape[1] ** 0.5
    a_QD, b_ND = a_QD.nan_to_num(), b_ND.nan_to_num()
    here_QD, there_ND = here_QD.to(a_QD), there_ND.to(a_QD)
    squares_QN = (a_QD**2) @ there_ND.T + here_QD @ (b_ND**2).T - 2 * a_QD @ b_ND.T
    both_QN = here_QD @ there_ND.T
    enough_QN = 2 * both_QN >= here_QD.sum(dim=1, keepdim=True)
    return torch.where(enough_QN, squares_QN.clamp(min=0) / both_QN.clamp(min=1), torch.inf).sqrt()

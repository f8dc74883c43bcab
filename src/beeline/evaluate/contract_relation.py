"""Whether data and a condition have anything to do with one another: the Hilbert-Schmidt independence criterion.

    HSIC = tr(K H L H) / N^2,    H = 1 - 11'/N,    K_ij = k(x_i, x_j),    L_ij = l(c_i, c_j)

is zero in the limit only where x and c are independent, for characteristic kernels (Gretton et al. 2005, "Measuring
statistical dependence with Hilbert-Schmidt norms"). Kernels are Gaussian with the median distance as bandwidth, and
equality for conditions with finitely many values. The p-value is that of a permutation test: the share of permutations
of c, the true order among them, whose HSIC is at least that of the true order (Gretton et al. 2008).

Shapes: N examples, D numbers an example.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from beeline.core.data import evenly
from beeline.core.errors import UserError
from beeline.core.protocols import Array
from beeline.core.random import permutation
from beeline.evaluate.contract_subject import NotAskedError, Progress, Subject

_LEAST, _MOST, _MOST_NUMBERS = 24, 256, 1024
_PERMUTATIONS, _LEVEL = 199, 0.02


def related(subject: Subject, progress: Progress) -> str:
    """Data and each condition are not independent."""
    said = []
    for condition in subject.codec.conditions:
        told = [each for each in subject.some if each.condition.get(condition.name) is not None]
        examples = [told[index] for index in evenly(told, _MOST)]
        if not examples:
            continue
        values = [condition.encode(each.condition[condition.name]).double().numpy() for each in examples]
        if len({value.tobytes() for value in values}) == 1:
            raise UserError(
                f"condition '{condition.name}' is the same in every training example; there is nothing to learn from "
                "it: leave it out, or bring examples that differ in it"
            )
        if len(examples) < _LEAST:
            said.append(f"{condition.name} not tested on {len(examples)} examples")
            continue
        p = dependence(_table([each.array for each in examples]), _table(values), condition.choices is not None)
        if p > _LEVEL:
            raise UserError(
                f"condition '{condition.name}' and the data look independent on {len(examples)} examples "
                f"(p = {p:.2g}): is it the condition of the same example? If it is, leave it out: it tells nothing"
            )
        said.append(f"{condition.name} (p = {p:.2g})")
    if not said:
        raise NotAskedError("no example carries a condition" if subject.codec.conditions else "there are no conditions")
    return f"data depend on {', '.join(said)}"


def dependence(data_ND: Array, condition_ND: Array, finite: bool = False) -> float:
    """p-value of independence by HSIC.

    Args:
        data_ND: one row an example.
        condition_ND: one row an example.
        finite: whether the condition has finitely many values.

    Returns:
        between 1/200 and 1; draws are the same in every call.
    """
    data, condition = _kernel(data_ND), _equal(condition_ND) if finite else _kernel(condition_ND)
    centred = data - data.mean(dim=0) - data.mean(dim=1, keepdim=True) + data.mean()
    orders = [permutation(0, "contract", number, len(data)) for number in range(_PERMUTATIONS)]
    true = (centred * condition).mean()
    others = torch.stack([(centred * condition[order][:, order]).mean() for order in orders])
    return (1 + int((others >= true * (1 - 1e-12)).sum())) / (1 + _PERMUTATIONS)


def _kernel(rows_ND: Array) -> Tensor:
    rows = torch.from_numpy(np.ascontiguousarray(rows_ND, dtype=np.float64))
    squares = torch.cdist(rows, rows).square()
    apart = squares[squares > 0]
    return torch.exp(-squares / apart.median().clamp(min=1e-300)) if len(apart) else torch.ones_like(squares)


def _equal(rows_ND: Array) -> Tensor:
    rows = torch.from_numpy(rows_ND)
    return (rows[:, None] == rows[None]).all(dim=-1).double()


def _table(arrays: Sequence[Array]) -> Array:
    """(N, D) numbers of arrays, as far as all of them reach, at most 1,024 evenly spread; channels at unit scale."""
    axes = min(each.ndim for each in arrays)
    least = [min(each.shape[axis] for each in arrays) for axis in range(axes)]
    cut: list[Any] = [each[tuple(slice(extent) for extent in least)] for each in arrays]
    stack = np.nan_to_num(np.stack(cut).astype(np.float64)) if axes else np.array(cut, dtype=np.float64)
    if stack.ndim > 2:
        spread = stack.reshape(-1, stack.shape[-1]).std(axis=0)
        stack = stack / np.where(spread > 0, spread, 1.0)
    rows = stack.reshape(len(arrays), -1)
    return rows[:, :: -(-rows.shape[1] // _MOST_NUMBERS)]

"""Whether data and a condition have anything to do with one another: the Hilbert-Schmidt independence criterion.

    HSIC = tr(K H L H) / N^2,    H = 1 - 11'/N,    K_ij = k(x_i, x_j),    L_ij = l(c_i, c_j)

is zero in the limit only where x and c are independent, for characteristic kernels (Gretton et al. 2005, "Measuring
statistical dependence with Hilbert-Schmidt norms"). Kernels are Gaussian with the median distance as bandwidth, and
equality for conditions with finitely many values. The p-value is that of a permutation test: the share of permutations
of c, the true order among them, whose HSIC is at least that of the true order (Gretton et al. 2008).

That no relation is found is no fault: a real one may be too weak for so many examples, and is noted. It is a fault
where conditions taken from another place in the order (one to three examples before or after, or from the other end)
are related to the data beyond doubt, with an HSIC that lies 8 standard deviations of its permutations above their mean:
an index is off, then. Of 240 examples such a slip is told where the relation itself has a correlation of about 0.5 or
more; conditions in an order that has nothing to do with that of the data cannot be told from conditions that tell
nothing.

Shapes: N examples, D numbers an example.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from beeline.core.data import Example, evenly
from beeline.core.errors import UserError
from beeline.core.protocols import Array, Condition
from beeline.core.random import permutation
from beeline.evaluate.contract_subject import NotAskedError, Progress, Subject
from beeline.model.codec_checks import matters

_LEAST, _MOST, _MOST_NUMBERS = 24, 256, 1024
_PERMUTATIONS, _LEVEL = 199, 0.02
_SHIFTS, _BEYOND_DOUBT = (1, -1, 2, -2, 3, -3), 8.0
_WEAK = "it is weak, or the condition tells nothing"


def related(subject: Subject, progress: Progress) -> str:
    """No condition is that of a neighbouring example; whether data depend on each is said."""
    said = []
    for condition in filter(matters, subject.codec.conditions):
        told = [each for each in subject.some if each.condition.get(condition.name) is not None]
        places = list(evenly(told, _MOST))
        examples = [told[index] for index in places]
        if not examples:
            continue
        values = [_numbers(condition, each) for each in examples]
        if len({value.tobytes() for value in values}) == 1:
            raise UserError(
                f"condition '{condition.name}' is the same in every training example; there is nothing to learn from "
                "it: leave it out, or bring examples that differ in it"
            )
        if len(examples) < _LEAST:
            said.append(f"{condition.name} not tested on {len(examples)} examples")
            continue
        data, finite = _table([each.array for each in examples]), condition.choices is not None
        p = dependence(data, _table(values), finite)
        if p > _LEVEL:
            _check_slip(condition, data, told, places, p)
            said.append(f"no relation found with {condition.name} on {len(examples)} examples (p = {p:.2g}): {_WEAK}")
            continue
        said.append(f"data depend on {condition.name} (p = {p:.2g})")
    if not said:
        raise NotAskedError("no example carries a condition" if subject.codec.conditions else "there are no conditions")
    return "; ".join(said)


def _check_slip(condition: Condition, data_ND: Array, told: Sequence[Example], places: Sequence[int], p: float) -> None:
    """Refuse conditions that are those of other examples, to which the data are related beyond doubt.

    Raises:
        UserError: they are.
    """
    turned = {
        f"{abs(shift)} {'after' if shift > 0 else 'before'}": [place + shift for place in places] for shift in _SHIFTS
    }
    turned["at the same place from the other end"] = [-1 - place for place in places]
    for where, others in turned.items():
        values = [_numbers(condition, told[place % len(told)]) for place in others]
        excess = dependence_and_excess(data_ND, _table(values), condition.choices is not None)[1]
        if excess > _BEYOND_DOUBT:
            raise UserError(
                f"condition '{condition.name}' and the data look independent on {len(places)} examples (p = {p:.2g}), "
                f"and related to that of the example {where}: give each example its own condition"
            )


def _numbers(condition: Condition, example: Example) -> Array:
    return np.asarray(condition.encode(example.condition[condition.name]).double().numpy())


def dependence(data_ND: Array, condition_ND: Array, finite: bool = False) -> float:
    """p-value of independence by HSIC.

    Args:
        data_ND: one row an example.
        condition_ND: one row an example.
        finite: whether the condition has finitely many values.

    Returns:
        between 1/200 and 1; draws are the same in every call.
    """
    return dependence_and_excess(data_ND, condition_ND, finite)[0]


def dependence_and_excess(data_ND: Array, condition_ND: Array, finite: bool = False) -> tuple[float, float]:
    """p-value of independence, and by how many standard deviations of its permutations HSIC lies above their mean."""
    data, condition = _kernel(data_ND), _equal(condition_ND) if finite else _kernel(condition_ND)
    centred = data - data.mean(dim=0) - data.mean(dim=1, keepdim=True) + data.mean()
    orders = [permutation(0, "contract", number, len(data)) for number in range(_PERMUTATIONS)]
    true = (centred * condition).mean()
    others = torch.stack([(centred * condition[order][:, order]).mean() for order in orders])
    excess = (true - others.mean()) / others.std().clamp(min=1e-300)
    return (1 + int((others >= true * (1 - 1e-12)).sum())) / (1 + _PERMUTATIONS), float(excess)


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

"""Which control cell each perturbed cell is taken to come from: optimal transport inside a context.

    pi* = argmin over permutations of  sum_i |u(c_i) + d - u(p_pi(i))|^2         d = mean u(p) - mean u(c)

u are the principal components of the cells of the context, c its control cells and p its perturbed ones. No cell is
ever measured twice, so that there are no true pairs; transport pairs the populations, and what they differ in
everywhere, d, says nothing about which cell is which. Where one population is larger, members of the other are used
again, and each round draws the pairs anew.

Sources: Schiebinger et al. 2019 (transport between populations of cells); Klein et al. 2025 (CellFlow, by context).
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_COMPONENTS, _AT_ONCE = 30, 512


def paired(control: Array, perturbed: Array, rounds: int, random: np.random.Generator) -> Array:
    """(rounds, P) places of the control cell of each perturbed cell.

    Args:
        control: (C, G) cells, at least one.
        perturbed: (P, G) cells of the same context.
        rounds: how often they are paired.
        random: which cells are used again, and which are paired with which where there are more than 512.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    one, other = _components(control, perturbed)
    found = np.zeros((rounds, len(perturbed)), dtype=np.int64)
    for chosen in found:
        members = _enough(len(control), len(perturbed), random)
        order = random.permutation(len(perturbed))
        for start in range(0, len(order), _AT_ONCE):
            part, near = order[start : start + _AT_ONCE], members[start : start + _AT_ONCE]
            rows, columns = linear_sum_assignment(cdist(other[part], one[near], "sqeuclidean"))
            chosen[part[rows]] = near[columns]
    return found


def _enough(count: int, wanted: int, random: np.random.Generator) -> Array:
    """``wanted`` of so many members in random order, each used as often as any other, to within one."""
    rounds = -(-wanted // count)
    return np.concatenate([random.permutation(count) for _ in range(rounds)])[:wanted]


def _components(control: Array, perturbed: Array) -> tuple[Array, Array]:
    """Principal components of both populations, each about its own mean."""
    both = np.concatenate([each - each.mean(axis=0) for each in (control, perturbed)]).astype(np.float64)
    most = min(_COMPONENTS, *both.shape)
    _, _, rows = np.linalg.svd(both, full_matrices=False)
    projected = both @ rows[:most].T
    return projected[: len(control)], projected[len(control) :]

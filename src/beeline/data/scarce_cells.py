"""Populations with few cells: fewer than a sample shows at once, so that some stand twice, or than can be compared.

a set of S cells of a population of n < S        each cell floor(S / n) or ceil(S / n) times
M control cells of a context that has m < M      each control cell once or more
doses that are hardly ever the same              a population of its own each, too small to be compared
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from beeline.core.errors import InputWarning
from beeline.data.cell_populations import PopulationSet
from beeline.data.cell_sets import FoundCells

Array = np.ndarray[Any, Any]
_COMPARED = 10


def scarce_remarks(side: PopulationSet) -> list[str]:
    """What repeats, and where most, a line each for sets of cells and for control cells.

    Args:
        side: training examples.
    """
    remarks, size, members = [], side.cells.shape[1], side.controls.shape[1]
    kinds = Counter(_population(side, place) for place in np.unique(side.cells).tolist())
    few = {name: count for name, count in kinds.items() if count < size}
    if few:
        name = min(few, key=few.__getitem__)
        remarks.append(
            f"sets of {size} cells: {len(few):,} of {len(kinds):,} training populations have fewer, the smallest of "
            f"them {name} with {few[name]}, so that cells come more than once in a set; --data.set_size {few[name]}"
        )
    contexts: dict[str, set[int]] = {}
    for first, seen in zip(side.cells[:, 0].tolist(), side.controls, strict=True):
        contexts.setdefault(", ".join(side.found.context(first)) or "the file", set()).update(seen.tolist())
    sparse = {name: len(seen) for name, seen in contexts.items() if len(seen) < members}
    if sparse:
        name = min(sparse, key=sparse.__getitem__)
        remarks.append(
            f"{members} control cells beside each sample: {len(sparse):,} of {len(contexts):,} contexts have fewer in "
            f"training, the smallest of them {name} with {sparse[name]}, so that some are seen more than once; "
            f"--data.controls {sparse[name]}"
        )
    return remarks


def warn_of_scarce(side: PopulationSet) -> None:
    """Warn of what repeats.

    Args:
        side: training examples.
    """
    for line in scarce_remarks(side):
        warnings.warn(line, InputWarning, stacklevel=2)


def warn_of_incomparable(found: FoundCells, held_out: Array, populations: str | None) -> None:
    """Warn where an evaluation will hold populations of a handful of cells side by side.

    Args:
        found: cells, of which some may have doses.
        held_out: (N,) which cells are kept from training.
        populations: which they are, in words; None for a share of the cells.
    """
    remarks, count = [], int(held_out.sum())
    if populations is not None and count < _COMPARED:
        remarks.append(
            f"the populations {populations} have {count} cells, too few to compare populations by: distances and "
            f"significant genes need {_COMPARED} or more, and stay empty or say little"
        )
    told = Counter(tuple(sorted(each.items())) for each in found.doses or () if each)
    middle = sorted(told.values())[len(told) // 2] if told else _COMPARED
    if middle < _COMPARED:
        remarks.append(
            f"{len(told):,} perturbations with their doses have {middle} cell{'s' * (middle > 1)} each on the median, "
            "too few to compare populations by; an evaluation says more where doses are rounded to a few levels"
        )
    for line in remarks:
        warnings.warn(line, InputWarning, stacklevel=2)


def _population(side: PopulationSet, place: int) -> str:
    """What a cell has in common with the others of its sets: context, labels, and perturbation with its dose."""
    found = side.found
    under = found.perturbations[place] if found.doses is None else found.doses[place]
    doses = [f"{name}={dose:g}" for name, dose in under.items()] if isinstance(under, Mapping) else list(under)
    columns = {**found.contexts, **found.labels}  # a context may be a label too
    return ", ".join((*(str(column[place]) for column in columns.values()), "+".join(doses) or "control"))

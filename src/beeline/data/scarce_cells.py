"""Populations with few cells: fewer than a sample shows at once, so that some stand twice, or than can be compared.

a set of S cells of a population of n < S        each cell floor(S / n) or ceil(S / n) times
M control cells of a context that has m < M      each control cell once or more
doses that are hardly ever the same              a population of its own each, too small to be compared
"""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np

from beeline.core.errors import InputWarning
from beeline.data.cell_populations import PopulationSet
from beeline.data.cell_sets import FoundCells

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


def warn_of_scattered_doses(found: FoundCells) -> None:
    """Warn where most doses are those of a handful of cells, whose populations an evaluation holds side by side.

    Args:
        found: cells, of which some may have doses.
    """
    told = Counter(tuple(sorted(each.items())) for each in found.doses or () if each)
    middle = sorted(told.values())[len(told) // 2] if told else _COMPARED
    if middle < _COMPARED:
        warnings.warn(
            f"{len(told):,} perturbations with their doses have a median of {middle} cells each, too few to "
            "compare populations by; an evaluation says more where doses are rounded to a few levels",
            InputWarning,
            stacklevel=2,
        )


def _population(side: PopulationSet, place: int) -> str:
    """What a cell has in common with the others of its sets: context, labels, and perturbation with its dose."""
    found = side.found
    under = found.perturbations[place] if found.doses is None else found.doses[place]
    doses = [f"{name}={dose:g}" for name, dose in under.items()] if hasattr(under, "items") else list(under)
    columns = {**found.contexts, **found.labels}  # a context may be a label too
    return ", ".join((*(str(column[place]) for column in columns.values()), "+".join(doses) or "control"))

"""What people are told of the cells that a model is trained on: lines before training, and a card to keep."""

from __future__ import annotations

from typing import Any

import numpy as np

from beeline.core.data import Examples
from beeline.data.cell_populations import PopulationSet
from beeline.data.cell_sets import CellSet, FoundCells
from beeline.data.pictures import Picture, image_grid, scalar_image

Array = np.ndarray[Any, Any]
_SHOWN = 64


def said_of(found: FoundCells, held_out: Array, populations: str | None, share: float | None) -> list[str]:
    """What was found and how it is split, a line each.

    Args:
        found: the cells.
        held_out: (N,) which are kept from training.
        populations: which they are, in words; None for a share of the cells.
        share: of them; None where populations are held out.
    """
    known = found.description
    told = populations or f"a share of {share:g}"
    return [
        f"found {len(found):,} cells of {len(known.genes):,} genes in {found.path.name}, scale {known.scale}"
        + (f", brought to {known.target:g} counts a cell" if known.target else ""),
        *known.told_of_left_out,
        f"split: {int((~held_out).sum()):,} training cells, {int(held_out.sum()):,} held out ({told})",
    ]


def said_of_examples(training: CellSet | PopulationSet) -> list[str]:
    """What training examples are where they are more than cells, a line.

    Args:
        training: examples.
    """
    if isinstance(training, PopulationSet):
        return [f"training: {training.said()}"]
    if training.starts is None:
        return []
    return [f"training: {len(training):,} pairs of a control cell and a cell, by optimal transport"]


def smooth_remark(components: int) -> str:
    """What samples lack that are made of principal components alone, in a line.

    Args:
        components: how many there are.
    """
    return (
        f"samples hold what {components} principal components hold of a cell: they vary less than cells and have fewer "
        "zeros; --data.autoencoder FOLDER, of beeline autoencode, or --data.tokens genes has all of it"
    )


def picture_of(cells: Examples) -> Picture:
    """Cells under one another, the genes that vary most among them side by side.

    Args:
        cells: at least one.
    """
    values = np.stack([cell.array for cell in cells])
    shown = np.sort(np.argsort(-values.var(axis=0), kind="stable")[:_SHOWN])
    top = max(float(np.abs(values[:, shown]).max()), 1e-6)
    return image_grid([scalar_image(values[:, shown], -top, top)], tile=480)


def card_of(found: FoundCells, held_out: Array) -> dict[str, Any]:
    """Where the cells come from, their genes and populations.

    Args:
        found: the cells.
        held_out: (N,) which are kept from training.
    """
    known = found.description
    populations = [found.population(index) for index in range(len(found))]
    names, counts = np.unique(populations, return_counts=True)
    facts: dict[str, Any] = {
        "file": found.path.name,
        "cells": len(found),
        "held out": int(held_out.sum()),
        "genes": len(known.genes),
        "scale": known.scale,
        "genes left out": known.counts_left_out,
        "cells left out": {each.why: each.cells for each in known.cells_left_out},
        "populations": dict(zip(names.tolist(), counts.tolist(), strict=True)),
    }
    return facts | ({"counts a cell": known.target} if known.target else {})

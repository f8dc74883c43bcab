"""Which cells of a file are fit to be looked at, by what was counted in each.

    genes seen             number of genes that are not 0
    counts                 sum of all numbers
    mitochondrial share    sum over the genes whose names start with MT- or mt- / counts; 0 without counts

These are n_genes_by_counts, total_counts and pct_counts_mt / 100 of ``scanpy.pp.calculate_qc_metrics``, computed some
cells at a time, so that a file larger than memory is gone through once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from beeline.core.errors import UserError, whole_number
from beeline.data.cell_choice import CellsLeftOut
from beeline.data.cell_files import CellFile, Scale

Array = np.ndarray[Any, Any]
_MITOCHONDRIAL = ("MT-", "mt-")


@dataclass(frozen=True)
class CellLimits:
    """What a cell must have to be looked at; None for no such limit.

    Args:
        min_genes: genes that are seen in it, at least.
        min_counts: counts, at least.
        max_mitochondrial: share of its counts in mitochondrial genes, at most; 0 to 1.

    Raises:
        UserError: a limit is out of range.
    """

    min_genes: int | None = None
    min_counts: int | None = None
    max_mitochondrial: float | None = None

    def __post_init__(self) -> None:
        for name in ("min_genes", "min_counts"):
            if (value := getattr(self, name)) is not None:
                whole_number(name, value, 0)
        if (share := self.max_mitochondrial) is not None and not 0 <= share <= 1:
            raise UserError(f"max_mitochondrial {share:g}: is a share of a cell's counts, between 0 and 1")

    def __bool__(self) -> bool:
        return (self.min_genes, self.min_counts, self.max_mitochondrial) != (None, None, None)


@dataclass(frozen=True)
class CellQuality:
    """What was counted in each of N cells.

    Args:
        genes: (N,) genes that are not 0.
        counts: (N,) sum of all numbers.
        mitochondrial: (N,) sum of those of mitochondrial genes.
    """

    genes: Array
    counts: Array
    mitochondrial: Array

    @property
    def share(self) -> Array:
        """(N,) of the counts that are of mitochondrial genes; 0 in cells without counts."""
        return np.divide(self.mitochondrial, self.counts, out=np.zeros_like(self.counts), where=self.counts > 0)


def quality_of(file: CellFile) -> CellQuality:
    """Go through the cells of a file.

    Args:
        file: the cells, read some at a time.
    """
    own = np.flatnonzero([name.startswith(_MITOCHONDRIAL) for name in file.genes])
    columns: list[tuple[Array, Array, Array]] = []
    for _, part in file.parts():
        seen = np.diff(part.indptr) if part.data.all() else np.asarray((part != 0).sum(axis=1)).reshape(-1)
        all_of, own_of = (np.asarray(each.sum(axis=1, dtype=np.float64)).reshape(-1) for each in (part, part[:, own]))
        columns.append((seen.astype(np.int64), all_of, own_of))
    return CellQuality(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def fit_cells(file: CellFile, limits: CellLimits, scale: Scale) -> tuple[Array, tuple[CellsLeftOut, ...]]:
    """Places of the cells within all limits, and how many the others are, each by the first limit that it fails.

    Args:
        file: the cells, of a scale that was checked.
        limits: of each.
        scale: of their numbers.

    Raises:
        UserError: a limit means nothing on that scale or for these genes, or no cell is left.
    """
    if not limits:
        return np.arange(file.cells), ()
    _check(file, limits, scale)
    found = quality_of(file)
    rules = [
        (limits.min_counts, found.counts < (limits.min_counts or 0), "fewer than {} counts"),
        (limits.min_genes, found.genes < (limits.min_genes or 0), "fewer than {} genes seen"),
        (
            limits.max_mitochondrial,
            found.share > (1.0 if limits.max_mitochondrial is None else limits.max_mitochondrial),
            "over {} of the counts mitochondrial",
        ),
    ]
    kept, told = np.ones(file.cells, dtype=bool), []
    for limit, fails, why in rules:
        if limit is not None and (count := int((kept & fails).sum())):
            told.append(CellsLeftOut(why.format(f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"), count))
        kept &= ~fails
    if not kept.any():
        most = ", ".join(f"{each.cells:,} {each.why}" for each in told)
        raise UserError(f"{file.path}: no cell is left of {file.cells:,} ({most}); {_usual(found)}")
    return np.flatnonzero(kept), tuple(told)


def _check(file: CellFile, limits: CellLimits, scale: Scale) -> None:
    """Refuse limits that mean nothing.

    Raises:
        UserError: naming the first.
    """
    if scale != "counts" and (limits.min_counts is not None or limits.max_mitochondrial is not None):
        name = "max_mitochondrial" if limits.min_counts is None else "min_counts"
        raise UserError(f"{name}: is of counts, and the scale is {scale}; leave it out, or name a layer of counts")
    if scale == "scaled":
        raise UserError("min_genes: scaled values do not say which genes were seen; leave it out")
    if limits.max_mitochondrial is not None and not any(name.startswith(_MITOCHONDRIAL) for name in file.genes):
        raise UserError(
            f"max_mitochondrial: no gene of {file.path.name} has a name that starts with MT- or mt- (they are such as "
            f"{file.genes[0]}); leave it out, or name genes by their symbols"
        )


def _usual(found: CellQuality) -> str:
    """What cells of a file have, for who has set a limit that none of them keeps."""
    share = f", mitochondrial {np.median(found.share):.2g}" if found.mitochondrial.any() else ""
    median = [math.floor(np.median(each)) for each in (found.counts, found.genes)]
    return f"the median cell has {median[0]:,} counts of {median[1]:,} genes{share}"

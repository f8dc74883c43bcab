"""Which genes of single cells are modelled, and what their counts become.

    value = log(1 + count / library * target)

where the library of a cell is the sum of its counts over all genes of the file, and the target is the median library of
the training cells. Values of the scales lognorm and scaled stay as they are. Highly variable genes are those of
``scanpy.pp.highly_variable_genes``, flavour seurat: dispersion of the values without logarithm, compared with that of
genes of like mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from beeline.core.errors import UserError, whole_number
from beeline.core.extras import needed
from beeline.data.cell_files import CellFile, Scale, spread
from beeline.data.cell_matrices import Csr
from beeline.data.descriptions import Description

Array = np.ndarray[Any, Any]
_MOST_COMPARED = 50_000_000
_NAMED = 8


@dataclass(frozen=True)
class GenesLeftOut:
    """Genes that are not modelled.

    Args:
        why: in words.
        genes: their names, in the order of the file.
    """

    why: str
    genes: tuple[str, ...]


@dataclass(frozen=True)
class CellsLeftOut:
    """Cells that are not looked at.

    Args:
        why: in words.
        cells: how many.
    """

    why: str
    cells: int


@dataclass(frozen=True)
class LibrarySizes:
    """How much was counted in the training cells of a context.

    Args:
        context: value of each context column; none for all cells together.
        quantiles: of their libraries, evenly spread from the least to the largest.
        share: of a library that falls on the genes that are modelled, on average.
    """

    context: tuple[str, ...]
    quantiles: tuple[float, ...]
    share: float


@dataclass(frozen=True)
class CellDescription(Description):
    """What a set of cells declares.

    Args:
        genes: that are modelled, in order.
        scale: of the numbers of the file.
        target: library that counts are brought to, the median one of the training cells; None of other scales.
        cells: of the training data.
        empty: those among them whose numbers are all 0.
        left_out: genes of the file that are not modelled.
        compared: training cells by which the variability of genes was compared; 0 where it was not.
        cells_left_out: cells of the file that are not looked at, by the first reason of each.
        libraries: of all training cells, then of each context; none of other scales than counts.
    """

    genes: tuple[str, ...]
    scale: Scale
    target: float | None
    cells: int
    empty: int = 0
    left_out: tuple[GenesLeftOut, ...] = ()
    compared: int = 0
    cells_left_out: tuple[CellsLeftOut, ...] = ()
    libraries: tuple[LibrarySizes, ...] = ()

    @property
    def counts_left_out(self) -> dict[str, int]:
        """How many genes are not modelled, by the reason."""
        return {each.why: len(each.genes) for each in self.left_out}

    @property
    def told_of_left_out(self) -> list[str]:
        """How many cells and genes are not modelled and why, a line for each reason."""
        cells = [f"cells left out, {each.why}: {each.cells:,}" for each in self.cells_left_out]
        return [*cells, *(f"genes left out, {why}: {count:,}" for why, count in self.counts_left_out.items())]

    def places(self, genes: Sequence[str], where: object) -> Array:
        """Columns of a file that hold the genes, in their order here: (K,) int64.

        Args:
            genes: names of the columns of that file.
            where: the file, for the message.

        Raises:
            UserError: some are missing there, naming them.
        """
        known = {name: place for place, name in enumerate(genes)}
        missing = [name for name in self.genes if name not in known]
        if missing:
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            raise UserError(
                f"{where}: lacks {len(missing)} of the {len(self.genes)} genes that are modelled: "
                f"{', '.join(missing[:_NAMED])}{more}; add them, or train on the genes that both have"
            )
        return np.array([known[name] for name in self.genes], dtype=np.int64)


def select_genes(
    file: CellFile, training_rows: Array, scale: Scale, min_cells: int = 3, highly_variable: int | None = None
) -> CellDescription:
    """Choose genes by the training cells alone, read some at a time.

    Args:
        file: the cells, of a scale that was checked.
        training_rows: (n,) their places.
        scale: of their numbers.
        min_cells: training cells in which a gene is not 0, at least.
        highly_variable: how many genes to keep of these, by variability; None for all. It is compared by all training
            cells, or where they have over 50 million numbers, by as many of them, evenly spread, as have that many.

    Raises:
        UserError: no gene is left, a number is out of bounds, or scaled values are to be compared by variability.
    """
    whole_number("min_cells", min_cells, 0)
    if highly_variable is not None:
        whole_number("highly_variable", highly_variable, 1)
        if scale == "scaled":
            raise UserError(
                "highly_variable: scaled values are all alike in variability; leave it out, or name a layer of counts "
                "or of scale lognorm"
            )
    training_rows = np.asarray(training_rows)
    if len(training_rows) < 2:
        raise UserError(f"{file.path}: genes are chosen by training cells, and there is {len(training_rows)}; need 2")
    seen, library = np.zeros(len(file.genes), dtype=np.int64), []
    for _, part in file.parts(training_rows):
        seen += np.bincount(part.indices[part.data != 0], minlength=len(seen))
        library.append(np.asarray(part.sum(axis=1, dtype=np.float64)).reshape(-1))
    sizes = np.concatenate(library)
    target = float(np.median(sizes[sizes > 0])) if scale == "counts" and sizes.any() else None
    kept = seen >= min_cells
    if not kept.any():
        raise UserError(f"{file.path}: no gene is seen in {min_cells} of {len(sizes)} training cells; lower min_cells")
    left_out = [GenesLeftOut(f"in fewer than {min_cells} cells", _named(file, ~kept))]
    compared = 0
    if highly_variable is not None and highly_variable < kept.sum():
        share = min(1.0, _MOST_COMPARED / max(1, int(seen.sum())))
        chosen = spread(len(sizes), max(2, int(share * len(sizes))))
        candidates, compared = np.flatnonzero(kept), len(chosen)
        values = _values(file, training_rows[chosen], sizes[chosen], target, candidates)
        variable = np.zeros_like(kept)
        variable[candidates[_most_variable(values, highly_variable)]] = True
        left_out.append(GenesLeftOut("not highly variable", _named(file, kept & ~variable)))
        kept = variable
    told = tuple(each for each in left_out if each.genes)
    return CellDescription(_named(file, kept), scale, target, len(sizes), int((sizes == 0).sum()), told, compared)


def normalised(rows: Csr, library: Array, target: float | None, scale: Scale, genes: Array) -> Array:
    """log(1 + count / library * target) of counts; values of other scales as they are: (n, K) float32.

    A cell without counts is all 0.

    Args:
        rows: (n, G) of a file, CSR.
        library: (n,) of the cells, over all genes of the file; not looked at for other scales than counts.
        target: library that counts are brought to; not looked at for other scales than counts.
        scale: of the numbers.
        genes: (K,) columns that are modelled.
    """
    part = rows[:, genes]
    return np.asarray((_logarithms(part, library, target) if scale == "counts" else part).toarray(), dtype=np.float32)


def _logarithms(part: Csr, library: Array, target: float | None) -> Csr:
    """log(1 + count / library * target), sparse (n, K) float64.

    Raises:
        ValueError: there is no target.
    """
    if target is None:
        raise ValueError("counts need a target")
    sizes = np.asarray(library, dtype=np.float64)
    factor = np.divide(target, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    part = part.astype(np.float64)
    part.data = np.log1p(part.data * np.repeat(factor, np.diff(part.indptr)))
    return part


def _values(file: CellFile, rows: Array, sizes: Array, target: float | None, genes: Array) -> Csr:
    """Log-normalised values of some cells and genes, sparse (n, K) float32."""
    from scipy.sparse import vstack

    found, start = [], 0
    for cells, part in file.parts(rows):
        part = part[:, genes]
        values = part if target is None else _logarithms(part, sizes[start : start + len(cells)], target)
        found.append(values.astype(np.float32))
        start += len(cells)
    return vstack(found, format="csr")


def _most_variable(values: Csr, count: int) -> Array:
    """Whether each gene is among the most variable: (K,) booleans."""
    scanpy = needed("scanpy", "highly_variable", "cells")
    anndata = needed("anndata", "highly_variable", "cells")
    threads = torch.get_num_threads()
    try:
        cells = anndata.AnnData(values)
        table = scanpy.pp.highly_variable_genes(cells, flavor="seurat", n_top_genes=count, inplace=False)
    finally:
        torch.set_num_threads(threads)  # which numba's kernels take for all cores, whatever was asked for
    # Its own choice takes more where several are equally variable.
    spread_out = np.nan_to_num(np.asarray(table["dispersions_norm"], dtype=np.float64), nan=-np.inf)
    chosen = np.zeros(len(spread_out), dtype=bool)
    chosen[np.argsort(-spread_out, kind="stable")[:count]] = True
    return chosen


def _named(file: CellFile, chosen: Array) -> tuple[str, ...]:
    return tuple(file.genes[place] for place in np.flatnonzero(chosen))

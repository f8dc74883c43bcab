"""From a file of cells and what its owner says of it to cells that a model is trained on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from beeline.core.data import Example
from beeline.core.errors import InputWarning, UserError
from beeline.data.cell_choice import CellDescription, normalised, select_genes
from beeline.data.cell_files import CellFile, Scale, check_scale, library_sizes, open_cells
from beeline.data.cell_sets import CONTROL, PERTURBATION, FoundCells, held_out_cells, names_of

Array = np.ndarray[Any, Any]
_AT_ONCE = 4096


@dataclass(frozen=True)
class CellWishes:
    """What is asked of a file of cells.

    Args:
        path: of the file.
        layer: of its numbers; X when None.
        scale: of its numbers, as declared.
        perturbation_key: column that says what a cell was under; None where nothing does.
        control: what that column calls control cells.
        context: columns in which a control cell agrees with the cells that it stands for.
        labels: columns that the network is told.
        group: columns that tell what belongs together.
        held_out_populations: such as ``cell_type=B cells,condition=stim``; None for a share of the cells.
        held_out: the share.
        min_cells: training cells that a gene is seen in, at least.
        highly_variable: how many genes to keep by their variability; None for all.
        seed: of the split.
    """

    path: Path
    layer: str | None
    scale: Scale
    perturbation_key: str | None
    control: str
    context: tuple[str, ...]
    labels: tuple[str, ...]
    group: tuple[str, ...]
    held_out_populations: str | None
    held_out: float
    min_cells: int
    highly_variable: int | None
    seed: int = 0


def read_cells(wishes: CellWishes, known: CellDescription | None = None) -> tuple[FoundCells, Array]:
    """The cells, and which of them are kept from training.

    Args:
        wishes: what is asked for.
        known: genes and target, where they are chosen already.

    Raises:
        UserError: the file is not what it is said to be.
    """
    file = open_cells(wishes.path, wishes.layer)
    check_scale(file, wishes.scale)
    columns = {name: _texts(file, name) for name in (*wishes.context, *wishes.labels, *wishes.group)}
    under = _perturbations(file, wishes)
    groups = np.array([",".join(row) for row in zip(*(columns[name] for name in wishes.group), strict=True)])
    bare = FoundCells(
        path=wishes.path,
        description=CellDescription((), wishes.scale, None, file.cells),
        values=np.zeros((file.cells, 0)),
        library=np.zeros(file.cells),
        perturbations=under,
        contexts={name: columns[name] for name in wishes.context},
        labels={name: columns[name] for name in wishes.labels},
        groups=groups if wishes.group else None,
        named=wishes.perturbation_key is not None,
    )
    kept = held_out_cells(
        *(bare, wishes.held_out_populations, wishes.held_out, wishes.seed),
        key=wishes.perturbation_key,
        control=wishes.control,
    )
    description = known
    if description is None:
        training = np.flatnonzero(~kept)
        description = select_genes(file, training, wishes.scale, wishes.min_cells, wishes.highly_variable)
    library = library_sizes(file) if wishes.scale == "counts" else np.full(file.cells, np.nan)
    if wishes.scale == "counts" and (empty := np.flatnonzero(library == 0)).size:
        raise UserError(
            f"{wishes.path}: {empty.size} cells have no counts at all, the first of them {file.names[empty[0]]}; leave "
            "them out: scanpy.pp.filter_cells(adata, min_counts=1)"
        )
    values = _values(file, description, library)
    filled = {"description": description, "values": values, "library": library}
    return FoundCells(**{**vars(bare), **filled}), kept


def given_cells(path: Path, description: CellDescription, layer: str | None = None) -> Array:
    """Cells of a file that a model is given, in the genes and on the scale that it knows: (n, G) float32.

    Args:
        path: an .h5ad.
        description: of the model.
        layer: of the numbers; X when None.

    Raises:
        UserError: genes are missing, or the numbers are on another scale.
    """
    file = open_cells(path, layer)
    check_scale(file, description.scale)
    library = library_sizes(file) if description.scale == "counts" else np.full(file.cells, np.nan)
    places = description.places(file.genes, path)
    counted = [name for each in description.left_out for name in each.genes]
    if description.scale == "counts" and (lacking := len(set(counted) - set(file.genes))):
        warnings.warn(
            f"{path}: lacks {lacking} of the {len(counted) + len(description.genes)} genes over which the counts of a "
            "cell were summed in training, so that its values come out higher; give cells with all genes",
            InputWarning,
            stacklevel=2,
        )
    return normalised(file.rows(np.arange(file.cells)), library, description.target, description.scale, places)


def cells_brought(
    path: Path,
    description: CellDescription,
    layer: str | None,
    perturbation_key: str | None,
    control: str,
    labels: Sequence[str],
) -> list[Example]:
    """Cells of a file that a model is given, with those of their conditions that columns of the file tell.

    Args:
        path: an .h5ad.
        description: of the model.
        layer: of the numbers; X when None.
        perturbation_key: column that says what a cell was under; None where nothing does.
        control: what that column calls control cells.
        labels: further columns that the network is told.

    Raises:
        UserError: genes are missing, or the numbers are on another scale.
    """
    values, file = given_cells(path, description, layer), open_cells(path, layer)
    columns = {name: _texts(file, name).tolist() for name in labels if name in file.columns}
    if perturbation_key is not None and perturbation_key in file.columns:
        columns[PERTURBATION] = [names_of(text, control) for text in _texts(file, perturbation_key)]
    return [Example(row, {name: column[i] for name, column in columns.items()}) for i, row in enumerate(values)]


def _values(file: CellFile, description: CellDescription, library: Array) -> Any:
    from scipy.sparse import csr_matrix, vstack

    places, parts = description.places(file.genes, file.path), []
    for start in range(0, file.cells, _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, file.cells))
        numbers = file.rows(rows)
        if description.scale == "counts" and ((numbers.data < 0) | (numbers.data % 1 != 0)).any():
            check_scale(file, description.scale, file.cells)
        part = normalised(numbers, library[rows], description.target, description.scale, places)
        parts.append(csr_matrix(part))
    return vstack(parts, format="csr")


def _perturbations(file: CellFile, wishes: CellWishes) -> tuple[tuple[str, ...], ...]:
    if wishes.perturbation_key is None:
        return ((),) * file.cells
    column = _texts(file, wishes.perturbation_key)
    if not (column == wishes.control).any():
        seen = ", ".join(sorted(set(column))[:8])
        raise UserError(
            f"{wishes.path}: no cell has {wishes.perturbation_key} {wishes.control}; there are {seen}; name the "
            "control cells, --data.control NAME"
        )
    found = {text: names_of(text, wishes.control) for text in set(column)}
    return tuple(found[text] for text in column)


def _texts(file: CellFile, name: str) -> Array:
    """A column as texts.

    Raises:
        UserError: it is unknown, or a cell has no entry.
    """
    if name == CONTROL or not name.isidentifier():
        raise UserError(f"column '{name}': conditions have names of letters, digits and '_'; rename it")
    column = file.column(name)
    lacking = [place for place, value in enumerate(column.tolist()) if value is None or value != value]
    if lacking:
        first = file.names[lacking[0]]
        raise UserError(f"{file.path}: {len(lacking)} cells have no {name}, such as {first}; leave them out")
    if column.dtype.kind == "f":
        column = np.array([str(int(value)) if value == int(value) else repr(value) for value in column.tolist()])
    return column.astype(str)

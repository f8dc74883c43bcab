"""From a file of cells and what its owner says of it to cells that a model is trained on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from beeline.core.data import Example
from beeline.core.errors import InputWarning, UserError
from beeline.data.cell_choice import CellDescription, normalised, select_genes
from beeline.data.cell_columns import condition_names, doses, numbers, texts
from beeline.data.cell_files import CellFile, Scale, check_scale, library_sizes, open_cells
from beeline.data.cell_libraries import generated_cells, layer_of, library_quantiles
from beeline.data.cell_quality import CellLimits, fit_cells
from beeline.data.cell_sets import PERTURBATION, FoundCells, held_out_cells, names_of

Array = np.ndarray[Any, Any]
_AT_ONCE = 4096
_HELD_OUT = 0.2


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
        labels: columns that the network is told; those that are no context may lack entries.
        numbers: columns of numbers that the network is told.
        dose: column of the doses of perturbations; None where they have none.
        missing: whether labels and numbers may lack entries.
        group: columns that tell what belongs together.
        held_out_populations: such as ``cell_type=B cells,condition=stim``; None for a share of the cells.
        held_out: the share.
        min_cells: training cells that a gene is seen in, at least.
        highly_variable: how many genes to keep by their variability; None for all.
        limits: what a cell must have to be looked at.
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
    numbers: tuple[str, ...] = ()
    dose: str | None = None
    missing: bool = True
    limits: CellLimits = field(default_factory=CellLimits)
    seed: int = 0

    @classmethod
    def of(cls, options: Mapping[str, Any], path: Path, labels: tuple[str, ...]) -> Self:
        """The wishes among the options of the modality, which go by the same names.

        Args:
            options: by name.
            path: of the file.
            labels: columns that the network is told.
        """
        own = {name: options[name] for name in cls.__dataclass_fields__ if name in options}
        limits = CellLimits(*(options[name] for name in ("min_genes", "min_counts", "max_mitochondrial")))
        share, missing = options["held_out"] or _HELD_OUT, options["dropout"] > 0
        return cls(**{**own, "path": path, "labels": labels, "held_out": share, "missing": missing, "limits": limits})


def read_cells(wishes: CellWishes, known: CellDescription | None = None) -> tuple[FoundCells, Array]:
    """The cells, and which of them are kept from training.

    Args:
        wishes: what is asked for.
        known: genes and target, where they are chosen already.

    Raises:
        UserError: the file is not what it is said to be.
    """
    whole = open_cells(wishes.path, wishes.layer)
    check_scale(whole, wishes.scale)
    places, left_out = fit_cells(whole, wishes.limits, wishes.scale)
    file = whole.only(places)
    bare = replace(_described(file, wishes), places=places)
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
            "them out, --data.min_counts 1"
        )
    found = replace(bare, description=description, values=_values(file, description, library), library=library)
    if known is None:
        told = replace(description, cells_left_out=left_out, libraries=library_quantiles(found, ~kept))
        found = replace(found, description=told)
    return found, kept


def _described(file: CellFile, wishes: CellWishes) -> FoundCells:
    """What is known of the cells of a file, without their numbers.

    Raises:
        UserError: a column is unknown, says something else, or lacks entries that it needs.
    """
    names = condition_names((*wishes.context, *wishes.labels, *wishes.numbers))
    known = {column: name for name, column in names.items()}
    labels = {
        known[column]: texts(file, column, wishes.missing and column not in wishes.context) for column in wishes.labels
    }
    told, under = None, None if wishes.perturbation_key is None else _perturbations(file, wishes)
    if wishes.dose is not None and under is not None:
        told = doses(file, wishes.dose, under.tolist(), wishes.control)
    grouping = [texts(file, column) for column in wishes.group]
    return FoundCells(
        path=wishes.path,
        description=CellDescription((), wishes.scale, None, file.cells),
        values=np.zeros((file.cells, 0)),
        library=np.zeros(file.cells),
        perturbations=((),) * file.cells if under is None else _members(under, wishes.control),
        contexts={known[column]: texts(file, column) for column in wishes.context},
        labels=labels,
        groups=np.array([",".join(map(str, row)) for row in zip(*grouping, strict=True)]) if grouping else None,
        named=wishes.perturbation_key is not None,
        numbers={known[column]: numbers(file, column, wishes.missing) for column in wishes.numbers},
        doses=told,
    )


def given_cells(path: Path, description: CellDescription, layer: str | None = None) -> Array:
    """Cells of a file that a model is given, in the genes and on the scale that it knows: (n, G) float32.

    Args:
        path: an .h5ad.
        description: of the model.
        layer: of the numbers; X when None.

    Raises:
        UserError: genes are missing, the numbers are on another scale, or a cell has no counts.
    """
    if description.scale == "counts" and (made := generated_cells(path)) is not None:
        _refuse_empty(path, made.library)
        return normalised(made.rows, made.library, description.target, "counts", description.places(made.genes, path))
    file = open_cells(path, layer_of(path, layer))
    check_scale(file, description.scale)
    places, rows = description.places(file.genes, path), file.rows(np.arange(file.cells))
    counted = [name for each in description.left_out for name in each.genes]
    known = {*counted, *description.genes}  # others were not there to be summed in training
    summed = rows[:, [place for place, name in enumerate(file.genes) if name in known]]
    library = np.asarray(summed.sum(axis=1, dtype=np.float64)).reshape(-1)
    if description.scale == "counts":
        _refuse_empty(path, library)
    if description.scale == "counts" and (lacking := len(set(counted) - set(file.genes))):
        warnings.warn(
            f"{path}: lacks {lacking} of the {len(counted) + len(description.genes)} genes over which the counts of a "
            "cell were summed in training, so that its values come out higher; give cells with all genes",
            InputWarning,
            stacklevel=2,
        )
    return normalised(rows, library, description.target, description.scale, places)


def cells_brought(path: Path, description: CellDescription, wishes: CellWishes) -> list[Example]:
    """Cells of a file that a model is given, with those of their conditions that columns of the file tell.

    Args:
        path: an .h5ad.
        description: of the model.
        wishes: what was asked of the file of its training: columns, and what they call control cells.

    Raises:
        UserError: genes are missing, the numbers are on another scale, or a cell has no counts.
    """
    values, file = given_cells(path, description, wishes.layer), open_cells(path, layer_of(path, wishes.layer))
    columns: dict[str, list[Any]] = {}
    for name, column in condition_names((*wishes.context, *wishes.labels, *wishes.numbers)).items():
        if column in file.columns:
            read = numbers if column in wishes.numbers else texts
            columns[name] = [None if each is None or each != each else each for each in read(file, column, True)]
    key = next((name for name in (wishes.perturbation_key, PERTURBATION) if name in file.columns), None)
    if wishes.perturbation_key is not None and key is not None:
        under = texts(file, key).tolist()
        columns[PERTURBATION] = [names_of(text, wishes.control) for text in under]
        if wishes.dose is not None and wishes.dose in file.columns:
            columns[PERTURBATION] = list(doses(file, wishes.dose, under, wishes.control))
    known = ({name: column[i] for name, column in columns.items() if column[i] is not None} for i in range(len(values)))
    return [Example(row, condition) for row, condition in zip(values, known, strict=True)]


def _refuse_empty(path: Path, library: Array) -> None:
    """Refuse cells without counts of the genes of training, whose shares nobody knows.

    Raises:
        UserError: naming the first.
    """
    if (empty := np.flatnonzero(~(library > 0))).size:
        raise UserError(
            f"{path}: {empty.size} of {len(library)} cells have no counts at all of the genes of the training data, "
            f"the first of them {open_cells(path).names[empty[0]]}; leave them out"
        )


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


def _perturbations(file: CellFile, wishes: CellWishes) -> Array:
    """What the column of perturbations says: (cells,) texts."""
    assert wishes.perturbation_key is not None
    column = texts(file, wishes.perturbation_key)
    if not (column == wishes.control).any():
        seen = ", ".join(sorted(set(column))[:8])
        raise UserError(
            f"{wishes.path}: no cell has {wishes.perturbation_key} {wishes.control}; there are {seen}; name the "
            "control cells, --data.control NAME"
        )
    return column


def _members(column: Array, control: str) -> tuple[tuple[str, ...], ...]:
    found = {text: names_of(text, control) for text in set(column)}
    return tuple(found[text] for text in column)

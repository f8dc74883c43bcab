"""Columns of ``obs`` as conditions: names that a network can have, texts, numbers, and doses of perturbations.

name of a condition = name of the column, with "_" for all that is no letter, digit or "_"
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from beeline.core.conditions import condition_name
from beeline.core.errors import UserError
from beeline.data.cell_files import CellFile
from beeline.data.cell_sets import CONTROL, PERTURBATION, names_of

Array = np.ndarray[Any, Any]
_RESERVED = (CONTROL, PERTURBATION)


def condition_names(columns: Sequence[str]) -> dict[str, str]:
    """Columns by the names of their conditions, in order.

    Args:
        columns: of a file; one may be named again.

    Raises:
        UserError: two of them have one name, or that of the perturbation or of the control cell.
    """
    found: dict[str, str] = {}
    for column in columns:
        name = condition_name(column)
        if not name:
            raise UserError("a column has no name; say which one is meant")
        if name in _RESERVED:
            raise UserError(
                f"column '{column}': conditions are called '{PERTURBATION}' and '{CONTROL}' already; rename it"
            )
        if found.setdefault(name, column) != column:
            raise UserError(f"columns '{found[name]}' and '{column}' are both '{name}' as conditions; rename one")
    return found


def texts(file: CellFile, name: str, missing: bool = False) -> Array:
    """A column as texts: (cells,) objects, None where a cell has no entry.

    Args:
        file: the cells.
        name: of the column.
        missing: whether cells may have none.

    Raises:
        UserError: the column is unknown, or a cell has no entry that must have one.
    """
    column = file.column(name)
    if not missing:
        _refuse(file, name, _lacking(column), "leave them out")
    if column.dtype.kind != "f":
        return column
    return np.array([None if value != value else _whole(value) for value in column.tolist()] + [None], object)[:-1]


def numbers(file: CellFile, name: str, missing: bool = True) -> Array:
    """A column of numbers: (cells,) float64, NaN where a cell has no entry.

    Args:
        file: the cells.
        name: of the column.
        missing: whether cells may have none.

    Raises:
        UserError: the column is unknown, an entry is no finite number, or one is missing that must not be.
    """
    column = file.column(name)
    if column.dtype.kind != "f":
        column = np.array([_number(file, name, cell, text) for cell, text in enumerate(column.tolist())])
    if np.isinf(column).any():
        raise UserError(f"{file.path}: {name} of cell {file.names[np.isinf(column).argmax()]} is infinite; mend it")
    if not missing:
        _refuse(file, name, _lacking(column), "leave them out, or give dropout above 0, from which missing is learned")
    return column


def doses(file: CellFile, name: str, under: Sequence[str], control: str) -> tuple[Mapping[str, float], ...]:
    """The dose of each perturbation of each cell; none of control cells, whatever their column says.

    One number is the dose of each of a cell's perturbations; numbers joined by ``+`` are of those that the other column
    names, in its order.

    Args:
        file: the cells.
        name: of the column of doses.
        under: (cells,) what the column of perturbations says, such as ``A+B``.
        control: what it calls no perturbation.

    Raises:
        UserError: a perturbed cell has no dose, one that is no number above 0, or another number of them than
            perturbations.
    """
    column = file.column(name).tolist()
    known: dict[tuple[str, Any], Mapping[str, float]] = {}
    found = []
    for cell, pair in enumerate(zip(under, column, strict=True)):
        if pair not in known:
            known[pair] = _doses(file, name, cell, *pair, control)
        found.append(known[pair])
    return tuple(found)


def _doses(file: CellFile, name: str, cell: int, text: str, value: Any, control: str) -> Mapping[str, float]:
    members = names_of(text, control)
    if not members:
        return {}
    where = f"{file.path}: {name} of cell {file.names[cell]} ({text})"
    if value is None or value != value:
        raise UserError(f"{where} is missing; a perturbed cell needs a dose: give it one, or leave the cell out")
    parts = str(value).split("+") if isinstance(value, str) else [value]
    asked = [part.strip() for part in text.split("+")]
    named = [part for part in asked if part in members]
    if len(parts) == len(asked):  # A+control may come with doses 0.5+0
        parts = [part for part, each in zip(parts, asked, strict=True) if each in members]
    if len(parts) == 1:
        parts *= len(named)
    if len(parts) != len(named):
        raise UserError(f"{where} is {value}: {len(parts)} doses for {len(named)} perturbations; give one, or as many")
    found = [_dose(where, part) for part in parts]
    return dict(zip(named, found, strict=True))


def _dose(where: str, part: Any) -> float:
    try:
        number = float(part)
    except ValueError:
        raise UserError(f"{where} is {part}: need a number, without its unit") from None
    if not 0 < number < math.inf:
        raise UserError(f"{where} is {number:g}: a dose is above 0, and its logarithm is told; control cells have none")
    return number


def _number(file: CellFile, name: str, cell: int, text: str | None) -> float:
    try:
        return math.nan if text is None else float(text)
    except ValueError:
        raise UserError(
            f"{file.path}: {name} of cell {file.names[cell]} is '{text}', no number; tell the network by labels"
        ) from None


def _lacking(column: Array) -> Array:
    return np.flatnonzero([value is None or value != value for value in column.tolist()])


def _refuse(file: CellFile, name: str, lacking: Array, mend: str) -> None:
    if len(lacking):
        first = file.names[lacking[0]]
        raise UserError(f"{file.path}: {len(lacking)} cells have no {name}, such as {first}; {mend}")


def _whole(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)

"""Cells of a file as a dataset: what was measured, under what, and the control cell that an answer starts from.

Shapes: N cells, G genes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from beeline.core.conditions import condition_name
from beeline.core.data import Deferred, Example
from beeline.core.errors import UserError
from beeline.core.quoting import split_outside, unquoted
from beeline.data.cell_choice import CellDescription
from beeline.data.cell_pairs import paired
from beeline.data.splits import split_by_group

Array = np.ndarray[Any, Any]
PERTURBATION, CONTROL = "perturbation", "control"
_WITHOUT = ("", "none", "nan")
_LEAST_OF_A_DOSE = 10
_OPTION = "held_out_populations"


@dataclass(frozen=True)
class FoundCells:
    """Cells of a file with what is known of each.

    Args:
        path: of the file.
        description: genes, scale and target.
        values: (N, G) sparse rows (CSR) of log-normalised expression.
        library: (N,) molecules of each cell, counted over all genes; NaN where no counts are known.
        perturbations: names of what each cell was under, none of them for control cells.
        contexts: (N,) each column in which control cells must agree with the cells that they stand for, by the name
            of its condition.
        labels: (N,) each column that the network is told, by the name of its condition; None where it is missing.
        groups: (N,) what belongs together; None where each cell stands for itself.
        named: whether anything says what cells were under.
        numbers: (N,) each column of numbers that the network is told, by the name of its condition; NaN where missing.
        doses: of the perturbations of each cell; None where nothing says them.
        places: (N,) where each cell is in the file; None where they are all of its cells.
    """

    path: Path
    description: CellDescription
    values: Any
    library: Array
    perturbations: tuple[tuple[str, ...], ...]
    contexts: Mapping[str, Array]
    labels: Mapping[str, Array]
    groups: Array | None = None
    named: bool = True
    numbers: Mapping[str, Array] = field(default_factory=dict)
    doses: tuple[Mapping[str, float], ...] | None = None
    places: Array | None = None

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def row(self, index: int) -> Array:
        """(G,) one cell."""
        # Not a slice of the matrix, which takes scipy several times as long.
        start, end = self.values.indptr[index : index + 2]
        found = np.zeros(self.values.shape[1], dtype=np.float32)
        found[self.values.indices[start:end]] = self.values.data[start:end]
        return found

    def rows(self, indices: Array) -> Array:
        """(n, G) some cells."""
        return np.asarray(self.values[indices].toarray(), dtype=np.float32)

    def context(self, index: int) -> tuple[str, ...]:
        """Where a cell belongs, apart from what it was under."""
        return tuple(str(column[index]) for column in self.contexts.values())

    def name(self, index: int) -> str:
        """File and row of it, whatever cells were left out."""
        return f"{self.path.name} cell {index if self.places is None else int(self.places[index])}"

    def told(self, index: int, with_context: bool) -> dict[str, Any]:
        """Perturbation, labels and numbers of a cell, but for what is missing, and its context where that is wanted."""
        under = self.perturbations if self.doses is None else self.doses
        found: dict[str, Any] = {PERTURBATION: under[index]} if self.named else {}
        found |= {name: str(column[index]) for name, column in self.labels.items() if column[index] is not None}
        found |= {name: float(column[index]) for name, column in self.numbers.items() if not np.isnan(column[index])}
        return found | ({name: str(each[index]) for name, each in self.contexts.items()} if with_context else {})

    def population(self, index: int) -> str:
        """Context and perturbation in words."""
        return ", ".join((*self.context(index), "+".join(self.perturbations[index]) or CONTROL))


class CellSet(Deferred):
    """Some of the cells, each with a control cell of its context where answers start from control cells.

    Args:
        found: the cells.
        cells: places of those that are in the set; the same one may be there several times.
        starts: places of the control cell of each; None where samples start from noise.
    """

    def __init__(self, found: FoundCells, cells: Array, starts: Array | None = None) -> None:
        self.found, self.cells, self.starts = found, cells, starts

    def __len__(self) -> int:
        return len(self.cells)

    def read(self, index: int) -> Example:
        """A cell, and what is known of it."""
        place = int(self.cells[index])
        return Example(self.found.row(place), self.condition(index), self.group(index))

    def condition(self, index: int) -> Mapping[str, Any]:
        """Perturbation, labels and control cell."""
        place = int(self.cells[index])
        if self.starts is None:
            return self.found.told(place, with_context=False)
        return self.found.told(place, with_context=True) | {CONTROL: self.found.row(int(self.starts[index]))}

    def group(self, index: int) -> Hashable:
        """What a cell belongs to; None where each stands for itself."""
        return None if self.found.groups is None else str(self.found.groups[self.cells[index]])

    def name(self, index: int) -> str:
        """File and row."""
        return self.found.name(int(self.cells[index]))

    def identity(self) -> str:
        """A hash of what the cells hold, what is known of them, and which control cells are beside them."""
        found, digest = self.found, hashlib.sha256()
        columns = [*found.contexts.items(), *found.labels.items(), *found.numbers.items()]
        digest.update(repr((found.description.genes, found.perturbations)).encode())
        digest.update(repr([(name, column.tolist()) for name, column in columns]).encode())
        digest.update(b"" if found.doses is None else repr(found.doses).encode())
        held = (found.values.data, found.values.indices, found.values.indptr)
        for part in (*held, self.cells, *([] if self.starts is None else [self.starts])):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()


def held_out_cells(
    found: FoundCells, populations: str | None, share: float, seed: int, key: str | None = None, control: str = CONTROL
) -> Array:
    """(N,) whether each cell is kept from training.

    Args:
        found: the cells.
        populations: such as ``cell_type=B cells,condition=stim``, several between semicolons; a share of the cells
            when None. Columns go by their names, or those of their conditions; double quotes stand around what holds
            a comma, semicolon or "=".
        share: of them, by group.
        seed: another one, another split.
        key: column that says what cells were under, beside its name ``perturbation``.
        control: what that column calls control cells.

    Raises:
        UserError: a column is unknown, no cell is of such a population, or a quote is not closed.
    """
    kept = np.zeros(len(found), dtype=bool)
    if populations is None:
        groups = [f"cell {index}" for index in range(len(found))] if found.groups is None else list(found.groups)
        kept[split_by_group(groups, share, seed)[1]] = True
        return kept
    columns = {**found.labels, **found.contexts}
    under = np.array(["+".join(names) or CONTROL for names in found.perturbations])
    for asked in split_outside(populations, ";", _OPTION):
        chosen = np.ones(len(found), dtype=bool)
        for part in split_outside(asked, ",", _OPTION):
            name, *rest = map(unquoted, split_outside(part, "=", _OPTION, most=1))
            value = rest[0] if rest else ""
            column = columns.get(condition_name(name))
            if name == PERTURBATION or (key is not None and name in (key, condition_name(key))):
                column, value = under, "+".join(names_of(value, control)) or CONTROL
            if not rest or column is None:
                known = ", ".join((PERTURBATION, *columns))
                raise UserError(f"{_OPTION} {asked}: need COLUMN=VALUE of {known}")
            fits = np.asarray(column, dtype=object) == value
            if not fits.any():
                seen = ", ".join(sorted(set(column.tolist()) - {None})[:8])
                raise UserError(f"{_OPTION} {asked}: no cell has {name} {value}; there are {seen}")
            chosen &= fits
        if not chosen.any():
            raise UserError(f"{_OPTION} {asked}: no cell is all of that")
        kept |= chosen
    if kept.all():
        raise UserError("held_out_populations: every cell is held out, and none is left to train on")
    return kept


def from_control(found: FoundCells, held_out: Array, rounds: int, seed: int) -> tuple[CellSet, CellSet]:
    """Training and held-out cells, each beside a control cell of its context.

    In training, perturbed cells (of one dose) are paired by optimal transport, several times over, and each control
    cell with itself: what no perturbation does. A context without perturbed training cells leaves the latter out, or a
    model would learn that nothing ever changes there. Held-out cells have control cells in random order, as an answer
    knows nothing of them.

    Args:
        found: the cells.
        held_out: (N,) which are kept from training.
        rounds: pairings of each population.
        seed: of them.

    Raises:
        UserError: a context has no control cells to start from.
    """
    control = np.array([not names for names in found.perturbations])
    contexts = np.array(["\x1f".join(found.context(index)) for index in range(len(found))])
    under = _populations(found, contexts)
    trained: list[tuple[Array, Array]] = []
    asked: list[tuple[Array, Array]] = []
    for context in sorted(set(contexts)):
        every = (contexts == context) & control
        base = np.flatnonzero(every & ~held_out)
        if ((contexts == context) & ~control & ~held_out).any():
            trained.append((base, base))
        for name in sorted(set(under[(contexts == context) & ~control])):
            members = np.flatnonzero((contexts == context) & (under == name))
            shown = context.replace("\x1f", ", ") or "the file"
            if not every.any():
                raise UserError(f"no control cell of {shown} to start {name} from; check control and context")
            inside, outside = members[~held_out[members]], members[held_out[members]]
            if len(inside) and not len(base):
                raise UserError(f"every control cell of {shown} is held out, and {name} starts from them in training")
            random = np.random.default_rng([seed, *hashlib.sha256(f"{context}\x1f{name}".encode()).digest()[:8]])
            if len(inside):
                pairs = paired(found.rows(base), found.rows(inside), rounds, random)
                trained += [(inside, base[chosen]) for chosen in pairs]
            if len(outside):
                own = base if len(base) else np.flatnonzero(every)
                turns = [random.permutation(len(own)) for _ in range(-(-len(outside) // len(own)))]
                asked.append((outside, own[np.concatenate(turns)[: len(outside)]]))
    if not trained:
        raise UserError("every perturbed cell is held out, and none is left to train on; hold out fewer populations")
    if not asked:
        raise UserError("no perturbed cell is held out; name held_out_populations, or give a held_out share")
    sides = [[np.concatenate(column) for column in zip(*each, strict=True)] for each in (trained, asked)]
    return CellSet(found, *sides[0]), CellSet(found, *sides[1])


def _populations(found: FoundCells, contexts: Array) -> Array:
    """(N,) what each cell was under in one text, with doses where ten cells of a context or more had the same ones."""
    names = np.array(["+".join(each) for each in found.perturbations])
    if found.doses is None:
        return names
    told = ["+".join(f"{name}={dose:g}" for name, dose in sorted(each.items())) for each in found.doses]
    sizes = Counter(zip(contexts.tolist(), told, strict=True))
    alike = [sizes[pair] >= _LEAST_OF_A_DOSE for pair in zip(contexts.tolist(), told, strict=True)]
    return np.where(alike, np.array(told), names)


def names_of(text: Any, control: str, separator: str = "+") -> tuple[str, ...]:
    """The perturbations that an entry of a column names, none of them where it names the control.

    Args:
        text: such as ``A``, ``A+B`` or ``A+ctrl``.
        control: what the column calls no perturbation.
        separator: between several.

    Raises:
        UserError: nothing is said, or one is named twice.
    """
    if text is not None and str(text).strip() == control:
        return ()
    if text is None or str(text).strip().lower() in _WITHOUT:
        raise UserError("a cell has no entry in the column of perturbations; leave it out, or say what it was under")
    parts = [part.strip() for part in str(text).split(separator)]
    found = tuple(sorted(part for part in parts if part and part != control))
    if len(set(found)) < len(found):
        raise UserError(f"perturbation {text}: names one twice")
    return found

"""Cells of a file beside control cells of their population, one by one or in sets.

A population is what agrees in perturbation, context and all labels. Each example is a cell of one, or S of them in an
order that means nothing, and M training control cells of the same context. A training population is cut at random into
sets of S, some of its cells coming again where S does not divide it, and several times over; a held-out one once.
What is drawn for an example depends on the seed, its population and its place in that alone.

In training, control cells answer to no perturbation. A context without perturbed training cells leaves them out, or a
model would learn that nothing ever changes there; its control cells are what parts are fitted on beside the examples.

Shapes: n examples, S cells a set, M control cells, G genes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from beeline.core.data import Deferred, Example, Examples
from beeline.core.errors import UserError
from beeline.data.cell_sets import CONTROL, CellSet, FoundCells

Array = np.ndarray[Any, Any]
CONTROLS = "controls"
_MOST_HELD = 2**26  # numbers of control cells that are kept as they are, 256 MiB


@dataclass(frozen=True)
class Grouping:
    """How cells become examples.

    Args:
        size: cells of a set, S; 0 for examples of one cell.
        controls: control cells that an example sees, M; 0 for none.
        rounds: how often training populations are cut, or each training cell is given other control cells.
        seed: of all draws.
    """

    size: int = 0
    controls: int = 0
    rounds: int = 8
    seed: int = 0


class PopulationSet(Deferred):
    """Examples of cells, each of one population.

    Args:
        found: the cells.
        cells: (n, S) places of the cells of each example.
        controls: (n, M) places of its control cells; M may be 0.
        single: whether an example is a cell, (G,), in the place of a set, (S, G).
        starts: place of a control cell of its own for each of all cells of the file; None without control cells.
        beside: places of control cells of each context that no example is of.
    """

    def __init__(
        self,
        found: FoundCells,
        cells: Array,
        controls: Array,
        single: bool,
        starts: Array | None = None,
        beside: tuple[Array, ...] = (),
    ) -> None:
        self.found, self.cells, self.controls, self.single = found, cells, controls, single
        self.starts, self.beside = starts, beside

    def __len__(self) -> int:
        return len(self.cells)

    def read(self, index: int) -> Example:
        """A cell or a set of them, and what is known of it."""
        rows = self.found.rows(self.cells[index])
        return Example(rows[0] if self.single else rows, self.condition(index), self.group(index))

    def condition(self, index: int) -> Mapping[str, Any]:
        """Perturbation, context, labels and control cells."""
        place = int(self.cells[index, 0])
        told = self.found.told(place, with_context=True)
        return told | ({CONTROLS: self._control_cells(self.controls[index])} if self.controls.shape[1] else {})

    def group(self, index: int) -> Hashable:
        """What a cell belongs to; None of sets, whose cells may be of several groups of one split."""
        return str(self.found.groups[self.cells[index, 0]]) if self.single and self.found.groups is not None else None

    def name(self, index: int) -> str:
        """File, and row or population."""
        first = int(self.cells[index, 0])
        whole = f"{self.found.path.name} set {index} of {self.found.population(first)}"
        return self.found.name(first) if self.single else whole

    def identity(self) -> str:
        """A hash of what the cells hold, what is known of them, and how they come together."""
        digest = hashlib.sha256(CellSet(self.found, self.cells.ravel()).identity().encode())
        digest.update(repr((self.cells.shape, self.controls.shape, self.single)).encode())
        digest.update(np.ascontiguousarray(self.controls).tobytes())
        return digest.hexdigest()

    def further(self) -> list[Example]:
        """Control cells of contexts that no example is of."""
        found = []
        for places in self.beside:
            rows = self.found.rows(places)
            told = {CONTROLS: rows} if self.controls.shape[1] else {}
            found += [Example(row, told if not at else {}) for at, row in enumerate(rows)] if self.single else []
            found += [] if self.single else [Example(rows, told)]
        return found

    def things(self) -> CellSet:
        """Every cell once, in the order of the file, with a control cell of its own where there are some."""
        places = np.unique(self.cells)
        return CellSet(self.found, places, None if self.starts is None else self.starts[places])

    def said(self) -> str:
        """What examples are, in words."""
        size, controls = self.cells.shape[1], self.controls.shape[1]
        what = "examples of a cell" if self.single else f"sets of {size} cells"
        return f"{len(self):,} {what}" + (f", {controls} control cells beside each" if controls else "")

    def _control_cells(self, places: Array) -> Array:
        if self._pool is None:
            return self.found.rows(places)
        known, rows = self._pool
        return np.asarray(rows[np.searchsorted(known, places)])

    @cached_property
    def _pool(self) -> tuple[Array, Array] | None:
        """Control cells as they are, which sparse rows would be made into again and again; None where they are many."""
        known = np.unique(self.controls)
        return None if len(known) * self.found.values.shape[1] > _MOST_HELD else (known, self.found.rows(known))


def grouped(found: FoundCells, held_out: Array, how: Grouping) -> tuple[PopulationSet, PopulationSet]:
    """Training and held-out examples.

    Args:
        found: the cells.
        held_out: (N,) which are kept from training.
        how: cells become examples.

    Raises:
        UserError: a context has no control cells to be seen, or nothing is left to train on or to ask.
    """
    control = np.array([not names for names in found.perturbations])
    contexts = np.array(["\x1f".join(found.context(index)) for index in range(len(found))])
    kinds = _kinds(found)
    sides: list[list[tuple[Array, Array]]] = [[], []]
    starts, beside = np.zeros(len(found), dtype=np.int64), []
    for context in sorted(set(contexts)):
        here = contexts == context
        perturbed = here & ~control
        base = np.flatnonzero(here & control & ~held_out)
        pool = base if len(base) else np.flatnonzero(here & control)
        shown = context.replace("\x1f", ", ") or "the file"
        if how.controls and not len(pool):
            raise UserError(f"no control cell of {shown} to be seen beside its cells; check control and context")
        if how.controls and len(pool) and not len(base) and (perturbed & ~held_out).any():
            raise UserError(f"every control cell of {shown} is held out, and cells of it in training see them")
        silent = how.controls > 0 and not (perturbed & ~held_out).any()
        beside += [np.tile(base, how.rounds)] if silent and len(base) else []
        for kind in sorted(set(kinds[here])):
            members = np.flatnonzero(here & (kinds == kind))
            of_control = bool(control[members[0]])
            random = np.random.default_rng([how.seed, *hashlib.sha256(kind.encode()).digest()[:8]])
            inside, outside = members[~held_out[members]], members[held_out[members]]
            for part in (inside, outside):
                starts[part] = _turns(pool, len(part), random) if how.controls else 0
            if len(inside) and not (of_control and silent):
                sides[0] += _examples(inside, base, how, how.rounds, random)
            if len(outside) and not (of_control and how.controls):
                sides[1] += _examples(outside, pool, how, 1, random)
    if not sides[0]:
        raise UserError("every perturbed cell is held out, and none is left to train on; hold out fewer populations")
    if not sides[1]:
        raise UserError("no perturbed cell is held out; name held_out_populations, or give a held_out share")

    def side(parts: list[tuple[Array, Array]], beside: tuple[Array, ...] = ()) -> PopulationSet:
        cells, controls = (np.concatenate(column) for column in zip(*parts, strict=True))
        return PopulationSet(found, cells, controls, not how.size, starts if how.controls else None, beside)

    return side(sides[0], tuple(beside)), side(sides[1])


def divided(samples: Examples) -> list[Example]:
    """Cells of samples one by one, each with one of the control cells that were seen.

    Args:
        samples: cells (G,) or sets of them (S, G), with their conditions.
    """
    found = []
    for sample in samples:
        told = {name: value for name, value in sample.condition.items() if name != CONTROLS}
        given = sample.condition.get(CONTROLS)
        for at, cell in enumerate(np.atleast_2d(sample.array)):
            own = {} if given is None else {CONTROL: np.asarray(given)[at % len(given)]}
            found.append(Example(cell, told | own, sample.group))
    return found


def _kinds(found: FoundCells) -> Array:
    """(N,) the population of each cell in words: context, labels, and perturbation with its dose."""
    columns = [*found.contexts.values(), *found.labels.values()]
    under = ["+".join(names) for names in found.perturbations] if found.doses is None else [*map(repr, found.doses)]
    return np.array(["\x1f".join((*map(str, each), last)) for *each, last in zip(*columns, under, strict=True)])


def _examples(
    members: Array, pool: Array, how: Grouping, rounds: int, random: np.random.Generator
) -> Iterator[tuple[Array, Array]]:
    """Places of cells and of control cells of some examples of a population, a pair a round."""
    for _ in range(rounds):
        size = how.size or 1
        count = -(-len(members) // size)
        order = members if not how.size else _turns(members, count * size, random)
        cells = order.reshape(count, size)
        yield cells, _seen(pool, cells, how.controls, random)


def _turns(places: Array, wanted: int, random: np.random.Generator) -> Array:
    """So many places in random order, each as often as any other, to within one."""
    turns = [random.permutation(places) for _ in range(-(-wanted // len(places)))]
    return np.concatenate([places[:0], *turns])[:wanted]


def _seen(pool: Array, cells: Array, members: int, random: np.random.Generator) -> Array:
    """(count, M) control cells of each example, none of its own cells among them while there are others.

    The first S of them go round, so that what single cells start from or lack is, over a population, that of all of its
    control cells; the others are drawn among the rest. Control cells that saw themselves would teach a model to copy.
    """
    count, size = cells.shape
    if not members:
        return np.zeros((count, 0), dtype=np.int64)
    own = min(size, members, len(pool))
    leading = _turns(pool, count * own, random).reshape(count, own)
    found = np.zeros((count, members), dtype=np.int64)
    for row, first, inside in zip(found, leading, cells, strict=True):
        rest = np.setdiff1d(pool, inside)
        rest = rest if len(rest) else pool
        first = first[np.isin(first, rest)]
        others = random.permutation(np.setdiff1d(rest, first))
        row[:] = np.concatenate([first, others, random.choice(rest, members)])[:members]
    return found

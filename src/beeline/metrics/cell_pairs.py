"""Single cells by what was done to them and where: a pair is a perturbation (a set of names, and doses) and a context.

    delta_p,c = mean of the cells under p in context c - mean of the control cells of c

An example of a cell has the expression log1p(count / library * target) of each gene as its array, and as conditions
``perturbation`` (names, none of a control cell; or their doses by name), the columns that say the context, each under
its own name, and ``control``, a control cell of the same context, where a run starts from control cells.

Shapes: N cells of a pair, M control cells, G genes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from beeline.core.data import Examples, condition_of, evenly

Array = np.ndarray[Any, Any]
MOST_CELLS = 1000
_ROUNDING = 1e-9


class Pair(NamedTuple):
    """A perturbation in a context.

    Args:
        perturbation: names in alphabetical order; none of control cells.
        context: value of each context column.
        doses: of each name, to six digits; none where doses are not told.
    """

    perturbation: tuple[str, ...]
    context: tuple[str, ...]
    doses: tuple[float, ...] = ()

    @property
    def members(self) -> tuple[str, ...]:
        """Names, with doses as ``A=0.5`` where they have some."""
        if not self.doses:
            return self.perturbation
        return tuple(f"{name}={dose:g}" for name, dose in zip(self.perturbation, self.doses, strict=True))

    @property
    def name(self) -> str:
        """For people: ``JAK2 + STAT1, CD14 Mono``, with doses ``JAK2=0.5 + STAT1=2, CD14 Mono``."""
        return ", ".join([" + ".join(self.members) or "control", *self.context])


def pair_of(condition: Mapping[str, Any], contexts: Sequence[str]) -> Pair:
    """What was done to a cell and where; nothing where no perturbation is named.

    Args:
        condition: of the cell.
        contexts: names of the columns that say the context.
    """
    given = condition.get("perturbation")
    names = () if given is None else (given,) if isinstance(given, str) else tuple(given)
    perturbation, context = tuple(sorted(map(str, names))), tuple(str(condition.get(name)) for name in contexts)
    if not isinstance(given, Mapping):
        return Pair(perturbation, context)
    return Pair(perturbation, context, tuple(float(f"{given[name]:g}") for name in perturbation))


class CellTable:
    """Examples by pair; arrays are read when they are asked for.

    Args:
        examples: cells.
        contexts: names of the columns that say the context.
    """

    def __init__(self, examples: Examples, contexts: Sequence[str]) -> None:
        self.examples, self.contexts = examples, tuple(contexts)
        self.members: dict[Pair, list[int]] = {}
        for index in range(len(examples)):
            self.members.setdefault(pair_of(condition_of(examples, index), contexts), []).append(index)
        self._means: dict[tuple[str, Pair], Array | None] = {}

    @property
    def perturbed(self) -> list[Pair]:
        """Pairs that are not control, in the order in which they come."""
        return [pair for pair in self.members if pair.perturbation]

    def of(self, pair: Pair, most: int = MOST_CELLS) -> Array:
        """(N, G) cells of a pair, evenly spread; none where there is no such pair."""
        members = self.members.get(pair, [])
        return self._stacked([members[place] for place in evenly(members, most)] if members else [])

    def mean(self, pair: Pair) -> Array:
        """(G,) mean of all cells of a pair, in float64.

        Raises:
            KeyError: there is no such pair.
        """
        key = ("cells", pair)
        if key not in self._means:
            total = np.zeros(())
            for index in self.members[pair]:
                total = total + self.examples[index].array.astype(np.float64)
            self._means[key] = total / len(self.members[pair])
        found = self._means[key]
        assert found is not None
        return found

    def given_controls(self, pair: Pair, most: int = MOST_CELLS) -> Array | None:
        """(M, G) control cells that the cells of a pair bring along; None where they bring none."""
        found = []
        for index in self.members.get(pair, []):
            control = condition_of(self.examples, index).get("control")
            if control is not None:
                found.append(np.asarray(control, dtype=np.float32))
        return np.stack([found[place] for place in evenly(found, most)]) if found else None

    def controls_in(self, context: tuple[str, ...]) -> Array | None:
        """(M, G) control cells of a context, or else those that its perturbed cells bring along; None without any."""
        own = Pair((), context)
        if own in self.members:
            return self.of(own)
        brought = [
            each
            for pair in self.perturbed
            if pair.context == context
            for each in [self.given_controls(pair)]
            if each is not None
        ]
        return np.concatenate(brought) if brought else None

    def control_mean(self, context: tuple[str, ...]) -> Array | None:
        """(G,) mean of ``controls_in``, of all control cells where there are some; None without any."""
        own = Pair((), context)
        if own in self.members:
            return self.mean(own)
        key = ("controls", own)
        if key not in self._means:
            found = self.controls_in(context)
            self._means[key] = None if found is None else found.mean(axis=0, dtype=np.float64)
        return self._means[key]

    def delta(self, pair: Pair) -> Array | None:
        """(G,) delta of a perturbed pair; None where its context has no control cells."""
        control = self.control_mean(pair.context)
        return None if control is None else difference(self.mean(pair), control)

    def deltas(self) -> dict[Pair, Array]:
        """Delta of every perturbed pair whose context has control cells."""
        found = {pair: self.delta(pair) for pair in self.perturbed}
        return {pair: delta for pair, delta in found.items() if delta is not None}

    def _stacked(self, indices: Sequence[int]) -> Array:
        if not indices:
            return np.empty((0, self.examples[0].array.size if len(self.examples) else 0), dtype=np.float32)
        return np.stack([self.examples[index].array for index in indices])


def difference(one_G: Array, other_G: Array) -> Array:
    """One mean less another, 0 where they differ by rounding alone, so that no change has no direction.

    Args:
        one_G: mean of a population.
        other_G: mean of the reference.
    """
    apart = np.asarray(one_G, dtype=np.float64) - other_G
    return np.where(np.abs(apart) < _ROUNDING, 0.0, apart)

"""Cheap answers to questions about cells, which a model must beat.

control copy                 a control cell of the context
shifted control              control cell + mean over the other contexts of the delta of the perturbation there
shifted control, cut at 0    the same, no number below 0
training mean                one cell: the mean of all training cells of the perturbation
mean perturbation            control cell + mean over perturbations of their delta in the context
additive                     control cell + sum of the deltas of the single perturbations of a set
ridge                        control cell + the delta that a linear model predicts from features, see ridge.py
resampled cells              training cells of the perturbation in the context, or else in others

The control cell is the one that a question brings along, else one of the training cells, drawn. A perturbation never
seen (in another context) is answered by all perturbations together; control cells that are asked for by control cells.
Where perturbations have doses, another dose stands in for one that was never seen, and ridge predicts the mean of all.
What applies to no question is left out; where an answer applies to some, the others get the mean perturbation, so that
means over pairs are of the same pairs. Deltas are those of ``cell_pairs``, every one of equal weight.

Sources: Ahlmann-Eltze, Huber & Anders 2025 for training mean, additive and ridge; Lotfollahi et al. 2019 (scGen) for
the shift of control cells.

Shapes: G genes, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from beeline.core.data import Example, Examples
from beeline.core.random import Key
from beeline.metrics.cell_pairs import CellTable, Pair, pair_of
from beeline.metrics.ridge import LinearEffects

Array = np.ndarray[Any, Any]
CONTROL_COPY, SHIFTED, SHIFTED_CUT = "control copy", "shifted control", "shifted control, cut at 0"
TRAINING_MEAN, MEAN_PERTURBATION, ADDITIVE = "training mean", "mean perturbation", "additive"
RIDGE, RESAMPLED = "ridge", "resampled cells"


def cell_baselines(
    training: Examples,
    asked: Sequence[Example],
    seed: int,
    contexts: Sequence[str],
    features: Mapping[str, Array] | None = None,
) -> dict[str, list[Example]]:
    """Answers by the name of the baseline, in the order and the conditions of what was asked.

    Args:
        training: cells.
        asked: whose conditions are answered; their arrays are not looked at.
        seed: the draw for question i depends on (seed, i) alone.
        contexts: names of the columns that say the context.
        features: (F,) of each perturbation by its name; no ridge without.
    """
    cells = CellTable(training, contexts)
    effects = TrainingEffects(cells, features)
    pairs = [pair_of(each.condition, contexts) for each in asked]
    found = {TRAINING_MEAN: _means(cells, pairs), RESAMPLED: _resampled(cells, pairs, seed)}
    controls = _controls(cells, asked, pairs, seed)
    if controls is not None and any(pair.perturbation for pair in pairs):
        shifts: dict[str, Callable[[Pair], Array | None]] = {
            SHIFTED: effects.elsewhere,
            ADDITIVE: effects.additive,
            RIDGE: effects.linear,
            MEAN_PERTURBATION: effects.mean,
        }
        moved = {name: _moved(controls, pairs, each, effects) for name, each in shifts.items()}
        found = {CONTROL_COPY: controls} | {name: each for name, each in moved.items() if each is not None} | found
        if SHIFTED in found:
            found[SHIFTED_CUT] = [np.maximum(each, 0) for each in found[SHIFTED]]
    dtype = training[0].array.dtype
    return {
        name: [Example(np.asarray(array, dtype), one.condition) for array, one in zip(arrays, asked, strict=True)]
        for name, arrays in found.items()
    }


class TrainingEffects:
    """Deltas of training cells, and what they suggest for a pair.

    Args:
        cells: of training.
        features: (F,) of each perturbation by its name.
    """

    def __init__(self, cells: CellTable, features: Mapping[str, Array] | None = None) -> None:
        self.deltas = cells.deltas()
        self._features = features or {}
        self._linear: dict[tuple[str, ...], LinearEffects | None] = {}

    def elsewhere(self, pair: Pair) -> Array | None:
        """(G,) mean delta of a perturbation over the other contexts; None where it was seen in none.

        It is of the same dose, or else of all.
        """
        alike = {
            known: delta
            for known, delta in self.deltas.items()
            if known.perturbation == pair.perturbation and known.context != pair.context
        }
        same = [delta for known, delta in alike.items() if known.doses == pair.doses]
        return _mean(same or alike.values())

    def mean(self, pair: Pair) -> Array | None:
        """(G,) mean over perturbations of the deltas in a context, in all where it has none; None without any."""
        here = _mean(delta for known, delta in self.deltas.items() if known.context == pair.context)
        return _mean(self.deltas.values()) if here is None else here

    def additive(self, pair: Pair) -> Array | None:
        """(G,) sum of the deltas of single perturbations; None where one was not seen, or there is but one.

        Each is that of the context, or else the mean over the others; of other doses where none has this one.
        """
        if len(pair.perturbation) < 2:
            return None
        total: Array | None = None
        for place, name in enumerate(pair.perturbation):
            single = Pair((name,), pair.context, pair.doses[place : place + 1])
            delta = self._single(single)
            if delta is None:
                return None
            total = delta if total is None else total + delta
        return total

    def linear(self, pair: Pair) -> Array | None:
        """(G,) prediction from features, summed over a set; None where one of them is not known.

        The model is of one delta for each perturbation: that in the context, mean over doses, or else the mean over
        the others.
        """
        feature = self._feature(pair)
        if feature is None:
            return None
        if pair.context not in self._linear:
            self._linear[pair.context] = self._fitted(pair.context)
        fitted = self._linear[pair.context]
        return None if fitted is None else fitted(feature)

    def _fitted(self, context: tuple[str, ...]) -> LinearEffects | None:
        rows = []
        for perturbation in dict.fromkeys(pair.perturbation for pair in self.deltas):
            pair = Pair(perturbation, context)
            here = self._here(pair)
            delta, feature = self.elsewhere(pair) if here is None else here, self._feature(pair)
            if delta is not None and feature is not None:
                rows.append((delta, feature))
        if len(rows) < 2:
            return None
        return LinearEffects(np.stack([delta for delta, _ in rows]), np.stack([feature for _, feature in rows]))

    def _single(self, pair: Pair) -> Array | None:
        """(G,) delta of a perturbation: of its dose before others, and of the context before others."""
        known = [each for each in self.deltas if each.perturbation == pair.perturbation]
        for chosen in (
            [each for each in known if each == pair],
            [each for each in known if each.doses == pair.doses],
            [each for each in known if each.context == pair.context],
        ):
            if chosen:
                return _mean(self.deltas[each] for each in chosen)
        return _mean(self.deltas[each] for each in known)

    def _here(self, pair: Pair) -> Array | None:
        """(G,) mean over doses of the delta of a perturbation in the context; None where it was not seen there."""
        return _mean(delta for known, delta in self.deltas.items() if known[:2] == pair[:2])

    def _feature(self, pair: Pair) -> Array | None:
        rows = [self._features.get(name) for name in pair.perturbation]
        known = [np.asarray(row, dtype=np.float64) for row in rows if row is not None]
        return np.asarray(sum(known)) if known and len(known) == len(rows) else None


def _mean(deltas: Iterable[Array]) -> Array | None:
    found = list(deltas)
    return np.mean(found, axis=0) if found else None


def _controls(cells: CellTable, asked: Sequence[Example], pairs: Sequence[Pair], seed: int) -> list[Array] | None:
    """A control cell for each question; None where there is none for one of them."""
    draws = Key.range(seed, 0, len(asked)).fold("control cell").uniform().numpy()[:, 0]
    pools = {context: cells.controls_in(context) for context in {pair.context for pair in pairs}}
    found: list[Array] = []
    for example, pair, draw in zip(asked, pairs, draws, strict=True):
        control, pool = example.condition.get("control"), pools[pair.context]
        if control is None and pool is None:
            return None
        found.append(np.asarray(control) if pool is None or control is not None else pool[int(draw * len(pool))])
    return found


def _moved(
    controls: Sequence[Array],
    pairs: Sequence[Pair],
    shift: Callable[[Pair], Array | None],
    effects: TrainingEffects,
) -> list[Array] | None:
    """Control cells and what a perturbation adds; None where it is known for none of the pairs."""
    asked = {pair: shift(pair) for pair in set(pairs) if pair.perturbation}
    if all(each is None for each in asked.values()):
        return None
    known = {pair: effects.mean(pair) if each is None else each for pair, each in asked.items()}
    return [
        control + known[pair] if pair.perturbation else control for control, pair in zip(controls, pairs, strict=True)
    ]


def _means(cells: CellTable, pairs: Sequence[Pair]) -> list[Array]:
    """One cell for each perturbation, and for control cells one for each context."""

    def mean(pair: Pair) -> Array:
        chosen = [pair] if not pair.perturbation and pair in cells.members else _alike(cells, pair)
        counts = [len(cells.members[each]) for each in chosen]
        return np.average([cells.mean(each) for each in chosen], axis=0, weights=counts)

    known = {pair: mean(pair) for pair in set(pairs)}
    return [known[pair] for pair in pairs]


def _resampled(cells: CellTable, pairs: Sequence[Pair], seed: int) -> list[Array]:
    draws = Key.range(seed, 0, len(pairs)).fold("training cell").uniform().numpy()[:, 0]
    pools = {
        pair: [
            index
            for each in ([pair] if pair in cells.members else _alike(cells, pair))
            for index in cells.members[each]
        ]
        for pair in set(pairs)
    }
    return [
        cells.examples[pools[pair][int(draw * len(pools[pair]))]].array for pair, draw in zip(pairs, draws, strict=True)
    ]


def _alike(cells: CellTable, pair: Pair) -> list[Pair]:
    """Training pairs of the same perturbation and dose, else of others, else all perturbed ones, else all there are."""
    same = [each for each in cells.members if each.perturbation == pair.perturbation]
    same = [each for each in same if each.doses == pair.doses] or same
    return same or (cells.perturbed if pair.perturbation else []) or list(cells.members)

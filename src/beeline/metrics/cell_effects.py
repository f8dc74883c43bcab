"""Generated cells beside held-out ones, pair by pair: a pair is a perturbation in a context, see cell_pairs.

The control cells of a pair are the training control cells of its context, else those that its held-out examples bring
along; one population for real and generated deltas. Where generated cells x follow control cells c' that they bring
along, their mean holds the chance in which ones these are, and it is taken out:

    delta = mean(x) - mean(c')    where  sum_g cov(x_g, c'_g) / sum_g var(c'_g) > 1/2,    else  mean(x) - mean(c)

(a control variate; Owen 2013, Monte Carlo theory, chapter 8). Shifted control cells have a slope of 1, cells that were
paired by chance about 0. Deltas against the mean perturbation are less the mean delta that
training cells have in the context (in all contexts where it has none): what every perturbation does alike is not
rewarded. A prediction is told from the real deltas of all pairs, those held out and those of training.

At most 1,000 cells of a pair are compared on either side, evenly spread, in means all of them.

Shapes: N cells, G genes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from beeline.core.data import Examples
from beeline.metrics import effects
from beeline.metrics.cell_baselines import TrainingEffects
from beeline.metrics.cell_pairs import Array, CellTable, Pair, difference
from beeline.metrics.energy import EnergyDistance
from beeline.metrics.mmd import KernelDiscrepancy
from beeline.metrics.populations import Components

Found = TypeVar("Found")
LEAST_FOR_PAIRS = 3


class Kept:
    """What was computed once is not computed again."""

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], Found]) -> Found:
        """The value of a key, made when it is first asked for."""
        if key not in self._found:
            self._found[key] = make()
        found: Found = self._found[key]
        return found


class Truth(Kept):
    """Held-out cells and what training cells say of them.

    Args:
        training: cells.
        held_out: cells.
        genes: names, in the order of the arrays.
        contexts: names of the columns that say the context.
    """

    def __init__(self, training: Examples, held_out: Examples, genes: Sequence[str], contexts: Sequence[str]) -> None:
        super().__init__()
        self.training, self.held_out = CellTable(training, contexts), CellTable(held_out, contexts)
        self._places = {name: place for place, name in enumerate(genes)}
        self.effects = TrainingEffects(self.training)

    def cells(self, pair: Pair) -> Array:
        """(N, G) held-out cells of a pair."""
        return self.once(("cells", pair), lambda: self.held_out.of(pair))

    def controls(self, pair: Pair) -> Array | None:
        """(M, G) its control cells; None where there are none."""

        def find() -> Array | None:
            known = self.training.controls_in(pair.context)
            return self.held_out.given_controls(pair) if known is None else known

        return self.once(("controls", pair), find)

    def control_mean(self, pair: Pair) -> Array | None:
        """(G,) mean of its control cells, all of them; None where there are none."""

        def find() -> Array | None:
            known = self.training.control_mean(pair.context)
            if known is not None:
                return known
            given = self.held_out.given_controls(pair, most=len(self.held_out.examples))
            return None if given is None else given.mean(axis=0, dtype=np.float64)

        return self.once(("control mean", pair), find)

    def delta(self, pair: Pair) -> Array | None:
        """(G,) what the perturbation changes in held-out cells; None without control cells."""
        control = self.control_mean(pair)
        return None if control is None else difference(self.held_out.mean(pair), control)

    def unmeasured(self, pair: Pair) -> list[str]:
        """Names of a perturbation that are no gene of the cells, where other perturbations are named after genes."""
        named = any(name in self._places for each in self.known for name in each.perturbation)
        return [name for name in pair.perturbation if named and name not in self._places]

    def targets(self, pair: Pair) -> list[int]:
        """Places of the genes that a perturbation is named after, where they are measured."""
        return [self._places[name] for name in pair.perturbation if name in self._places]

    def changes(self, pair: Pair) -> effects.Changes | None:
        """Which genes are changed in held-out cells; None with fewer than two cells on a side."""
        return self.once(("changes", pair), lambda: _changes(self.cells(pair), self.controls(pair)))

    def top(self, pair: Pair) -> Array | None:
        """Places of the 20 genes that change most; None with fewer than two cells on a side."""
        cells, controls = self.cells(pair), self.controls(pair)
        if controls is None or min(len(cells), len(controls)) < 2:
            return None
        return self.once(("top", pair), lambda: effects.most_changed(cells, controls))

    @cached_property
    def known(self) -> dict[Pair, Array]:
        """Real deltas of all pairs of training and held out; of cells held out where they are on both sides."""
        own = {pair: self.delta(pair) for pair in self.held_out.perturbed}
        return self.effects.deltas | {pair: delta for pair, delta in own.items() if delta is not None}

    @cached_property
    def components(self) -> Components:
        """Principal components of all held-out cells."""
        return Components(np.concatenate([self.cells(pair) for pair in self.held_out.members]))

    def energy(self, pair: Pair) -> EnergyDistance:
        """From the held-out cells of a pair, of which there are at least three."""
        return self.once(("energy", pair), lambda: EnergyDistance(self.cells(pair)))

    def discrepancy(self, pair: Pair) -> KernelDiscrepancy | None:
        """From the held-out cells of a pair, of which there are at least three; None where most of them are equal."""

        def find() -> KernelDiscrepancy | None:
            try:
                return KernelDiscrepancy(self.cells(pair))
            except ValueError:  # most cells are equal, as empty ones: there is no bandwidth
                return None

        return self.once(("discrepancy", pair), find)


class Compared(Kept):
    """Generated cells beside the truth.

    Args:
        truth: what they are held against.
        generated: cells; those of pairs that were not held out do not count.
    """

    def __init__(self, truth: Truth, generated: Examples) -> None:
        super().__init__()
        self.truth, self.generated = truth, CellTable(generated, truth.held_out.contexts)
        self.pairs = [pair for pair in truth.held_out.members if pair in self.generated.members]
        self.perturbed = [pair for pair in self.pairs if pair.perturbation]

    def cells(self, pair: Pair) -> Array:
        """(N, G) generated cells of a pair."""
        return self.once(("cells", pair), lambda: self.generated.of(pair))

    def both(self, pair: Pair, least: int) -> tuple[Array, Array] | None:
        """Real and generated cells of a pair; None where either has fewer than ``least``."""
        real, generated = self.truth.cells(pair), self.cells(pair)
        return None if min(len(real), len(generated)) < least else (real, generated)

    def delta(self, pair: Pair) -> Array | None:
        """(G,) predicted delta; None without control cells."""
        control = self.truth.control_mean(pair)
        if control is None:
            return None
        return self.once(("delta", pair), lambda: difference(self.generated.mean(pair), self._control(pair, control)))

    def _control(self, pair: Pair, control_G: Array) -> Array:
        """(G,) mean of the control cells that generated ones follow, ``control_G`` where they follow none."""
        given, cells = self.generated.given_controls(pair), self.cells(pair)
        if given is None or len(given) != len(cells):
            return control_G
        apart = given - given.mean(axis=0)
        if 2 * np.sum(apart * (cells - cells.mean(axis=0))) <= np.sum(apart**2):
            return control_G
        every = self.generated.given_controls(pair, most=len(self.generated.examples))
        assert every is not None
        return np.asarray(every.mean(axis=0, dtype=np.float64))

    def deltas(self, pair: Pair) -> tuple[Array, Array] | None:
        """Predicted and real delta of a perturbed pair; None without control cells."""
        if not pair.perturbation:
            return None
        own, real = self.delta(pair), self.truth.delta(pair)
        return None if own is None or real is None else (own, real)

    def correlation(self, pair: Pair) -> float:
        """r of the predicted and the real delta against control cells; NaN without them, and where nothing changes."""
        found = self.deltas(pair)
        return math.nan if found is None else float(effects.delta_correlation(found[0][None], found[1][None])[0])

    def correlation_against_mean(self, pair: Pair) -> float:
        """r of both deltas less the mean perturbation; NaN where training knows none."""
        found, shared = self.deltas(pair), self.truth.effects.mean(pair)
        if found is None or shared is None:
            return math.nan
        own, real = (difference(each, shared)[None] for each in found)
        return float(effects.delta_correlation(own, real)[0])

    def top_correlation(self, pair: Pair) -> float:
        """r over the 20 genes that change most; NaN where they cannot be told."""
        found, top = self.deltas(pair), self.truth.top(pair)
        if found is None or top is None:
            return math.nan
        return float(effects.delta_correlation(found[0][None], found[1][None], top[None])[0])

    def discrimination(self, pair: Pair, distance: effects.Distance = "cosine") -> float:
        """1 - rank / Q among all known deltas; NaN where there are no two of them."""
        own, known = self.delta(pair), self.truth.known
        if own is None or pair not in known or len(known) < 2:
            return math.nan
        place = list(known).index(pair)
        real = self.truth.once("known", lambda: np.stack(list(known.values())))
        targets = [self.truth.targets(pair)]
        return float(effects.discrimination_score(own[None], real, distance, targets, [place])[0])

    def changes(self, pair: Pair) -> tuple[effects.Changes, effects.Changes] | None:
        """Changed genes of generated and real perturbed cells; None with fewer than two cells on a side."""
        if not pair.perturbation:
            return None

        def find() -> effects.Changes | None:
            return _changes(self.cells(pair), self.truth.controls(pair))

        own, real = self.once(("changes", pair), find), self.truth.changes(pair)
        return None if own is None or real is None else (own, real)

    def energy(self, pair: Pair) -> float:
        """Euclidean energy distance; NaN with fewer than three cells on a side."""
        found = self.both(pair, LEAST_FOR_PAIRS)
        return math.nan if found is None else self.truth.energy(pair)(found[1]).value

    def discrepancy(self, pair: Pair) -> float:
        """Unbiased MMD^2; NaN with fewer than three cells on a side, or where most real cells are equal."""
        found = self.both(pair, LEAST_FOR_PAIRS)
        kernel = None if found is None else self.truth.discrepancy(pair)
        return math.nan if found is None or kernel is None else kernel(found[1]).value


def _changes(cells_NG: Array, control_MG: Array | None) -> effects.Changes | None:
    if control_MG is None or min(len(cells_NG), len(control_MG)) < 2:
        return None
    return effects.changes(cells_NG, control_MG)

"""Generated cells beside the truth, a row for each held-out pair, with cheap answers and the ceiling beside it.

    ceiling    what one half of the held-out cells of the pair gives against the other, mean of 4 splits
    rank       1 + real deltas nearer (in cosine) to the predicted one than its own; 1 where the prediction is told

A pair is a perturbation in a context, see cell_pairs; its numbers are those of cell_metrics before they are averaged.

Shapes: N cells of a pair, G genes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from beeline.core.data import Example, Examples
from beeline.metrics import effects
from beeline.metrics.cell_baselines import cell_baselines
from beeline.metrics.cell_effects import LEAST_FOR_PAIRS, Compared, Truth
from beeline.metrics.cell_pairs import Pair, difference
from beeline.metrics.energy import EnergyDistance

_SPLITS, _NOISE = 4, 0.5


@dataclass(frozen=True)
class Numbers:
    """What is told of samples of a pair.

    Args:
        energy: Euclidean energy distance from the held-out cells; NaN with fewer than three on a side.
        delta_correlation: r over genes of predicted and real delta; NaN without one.
    """

    energy: float
    delta_correlation: float

    @property
    def is_there(self) -> bool:
        """Whether any of them is a number."""
        return math.isfinite(self.energy) or math.isfinite(self.delta_correlation)


@dataclass(frozen=True)
class PairRow:
    """A pair.

    Args:
        pair: its name.
        perturbation: names; none of control cells.
        context: where.
        doses: of each name; none where doses are not told.
        n: held-out cells.
        n_generated: generated cells.
        n_control: control cells of its delta.
        effect_size: Euclidean norm of the real delta.
        model: numbers of the generated cells.
        discrimination: 1 - (rank - 1) / known.
        rank: of the real delta of its own among all known ones, by nearness to the predicted one; ties by half.
        known: how many real deltas there are.
        changed: genes that are changed in truth, at a false discovery rate below 0.05.
        changed_predicted: genes that are changed in the samples.
        changed_both: genes that are changed in both.
        floors: numbers of each cheap answer, by its name.
        ceiling: numbers of one half of the held-out cells against the other.
        notes: what must be known to read the row, a clause each.
    """

    pair: str
    perturbation: tuple[str, ...]
    context: tuple[str, ...]
    doses: tuple[float, ...]
    n: int
    n_generated: int
    n_control: int
    effect_size: float
    model: Numbers
    discrimination: float
    rank: float
    known: int
    changed: int | None
    changed_predicted: int | None
    changed_both: int | None
    floors: Mapping[str, Numbers]
    ceiling: Numbers
    notes: tuple[str, ...]

    @property
    def key(self) -> Pair:
        """The pair itself."""
        return Pair(self.perturbation, self.context, self.doses)

    @property
    def nearest_floor(self) -> str | None:
        """The cheap answer of the smallest energy distance; None where none has one."""
        found = {name: each.energy for name, each in self.floors.items() if math.isfinite(each.energy)}
        return min(found, key=found.__getitem__) if found else None

    @property
    def likest_floor(self) -> str | None:
        """The cheap answer of the largest delta correlation; None where none has one."""
        found = {
            name: each.delta_correlation for name, each in self.floors.items() if math.isfinite(each.delta_correlation)
        }
        return max(found, key=found.__getitem__) if found else None

    @property
    def better_in_energy(self) -> bool:
        """Whether a cheap answer is nearer to the held-out cells than the samples are."""
        return self.nearest_floor is not None and self.floors[self.nearest_floor].energy < self.model.energy

    @property
    def better_in_delta(self) -> bool:
        """Whether the delta of a cheap answer correlates better than that of the samples."""
        best = None if self.likest_floor is None else self.floors[self.likest_floor].delta_correlation
        return best is not None and best > self.model.delta_correlation


def effects_by_pair(
    training: Examples,
    held_out: Examples,
    generated: Examples,
    genes: Sequence[str] = (),
    contexts: Sequence[str] = (),
    seed: int = 0,
) -> list[PairRow]:
    """A row for each held-out pair of which cells were generated, beside the answers of ``cell_baselines``.

    Args:
        training: cells.
        held_out: cells.
        generated: cells under the conditions of held-out ones.
        genes: names, in the order of the arrays, to leave out the genes that a perturbation is named after.
        contexts: names of the columns that say the context.
        seed: of the control cells that baselines draw, and of the splits.
    """
    asked = [Example(each.array, each.condition) for each in held_out]
    cheap = cell_baselines(training, asked, seed, contexts)
    return rows_of(Compared(Truth(training, held_out, genes, contexts), generated), cheap, seed)


def rows_of(compared: Compared, cheap: Mapping[str, Examples], seed: int = 0) -> list[PairRow]:
    """A row for each pair, in the order of the held-out cells.

    Args:
        compared: generated cells beside the truth.
        cheap: answers to the conditions of held-out cells, by name.
        seed: of the splits of the ceiling, which depend on it and on the name of the pair alone.
    """
    truth = compared.truth
    low = {name: Compared(truth, each) for name, each in cheap.items()}
    return [_row(compared, pair, low, seed) for pair in compared.pairs]


def ceiling_of(truth: Truth, pair: Pair, seed: int = 0) -> Numbers:
    """One half of the held-out cells of a pair in the place of samples of the other, on the mean of four splits.

    Args:
        truth: with the held-out cells.
        pair: one of them.
        seed: of the splits.
    """
    cells, control = truth.cells(pair), truth.control_mean(pair) if pair.perturbation else None
    random = np.random.default_rng([seed, *hashlib.sha256(pair.name.encode()).digest()[:8]])
    energies, correlations = [], []
    for _ in range(_SPLITS if len(cells) > 1 else 0):
        order = random.permutation(len(cells))
        one, other = cells[order[: len(cells) // 2]], cells[order[len(cells) // 2 :]]
        if len(one) >= LEAST_FOR_PAIRS:
            energies.append(EnergyDistance(one)(other).value)
        if control is not None:
            halves = (difference(each.mean(axis=0, dtype=np.float64), control)[None] for each in (one, other))
            correlations.append(float(effects.delta_correlation(*halves)[0]))
    return Numbers(_mean(energies), _mean(correlations))


def _row(compared: Compared, pair: Pair, low: Mapping[str, Compared], seed: int) -> PairRow:
    truth = compared.truth
    delta, changed = truth.delta(pair) if pair.perturbation else None, compared.changes(pair)
    controls = truth.controls(pair) if pair.perturbation else None
    own, real = (None, None) if changed is None else (set(each.significant.tolist()) for each in changed)
    beside = {name: each for name, each in low.items() if pair in each.pairs}
    cheap = {name: Numbers(each.energy(pair), each.correlation(pair)) for name, each in beside.items()}
    floors = {name: each for name, each in cheap.items() if each.is_there}
    told, known = compared.discrimination(pair) if pair.perturbation else math.nan, len(truth.known)
    row = PairRow(
        *(pair.name, pair.perturbation, pair.context, pair.doses),
        *(len(truth.held_out.members[pair]), len(compared.generated.members[pair])),
        n_control=0 if controls is None else len(controls),
        effect_size=math.nan if delta is None else float(np.linalg.norm(delta)),
        model=Numbers(compared.energy(pair), compared.correlation(pair)),
        discrimination=told,
        rank=1 + (1 - told) * known,
        known=known,
        changed=None if real is None else len(real),
        changed_predicted=None if own is None else len(own),
        changed_both=None if own is None or real is None else len(own & real),
        floors=floors,
        ceiling=ceiling_of(truth, pair, seed),
        notes=(),
    )
    return replace(row, notes=tuple(_notes(row, truth, pair)))


def _notes(row: PairRow, truth: Truth, pair: Pair) -> list[str]:
    """What must be known to read a row."""
    notes = []
    fewest = min(row.n, row.n_generated)
    if fewest < LEAST_FOR_PAIRS:
        side = "held out" if row.n == fewest else "generated"
        notes.append(f"too few cells to compare populations: {fewest} {side}, {LEAST_FOR_PAIRS} needed")
    if row.better_in_energy and row.nearest_floor is not None:
        notes.append(f"{row.nearest_floor} is nearer to the real cells than the model")
    if row.better_in_delta and row.likest_floor is not None:
        notes.append(f"{row.likest_floor} predicts the change better than the model")
    if not pair.perturbation:
        return notes
    if truth.control_mean(pair) is None:
        notes.append("no control cells, and so no change to predict")
    elif not row.ceiling.delta_correlation >= _NOISE and math.isfinite(row.ceiling.delta_correlation):
        notes.append(f"halves of the real cells agree at r {row.ceiling.delta_correlation:.2f}: mostly noise")
    if missing := truth.unmeasured(pair):
        notes.append(f"its own gene {' and '.join(missing)} is not among the genes measured")
    if all(pair.perturbation != each.perturbation for each in truth.training.members):
        notes.append("never seen in training")
    elif (pair.perturbation, pair.doses) not in {(each.perturbation, each.doses) for each in truth.training.members}:
        notes.append("never seen in training at this dose")
    return notes


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan

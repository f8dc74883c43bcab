"""What generated cells are scored by: how populations differ, and how well effects of perturbations are predicted.

Every number is one of each held-out pair (a perturbation in a context, see cell_effects), averaged over the pairs that
have enough cells; NaN where none has. Populations of cells:

    energy distance, MMD^2, W2 (exact, 32 components), variance ratio, zero share error, gene correlation error,
    distance of the number of genes detected, and of libraries where numbers are counts

effects of perturbations, where there are control cells:

    delta correlation (against control, against the mean perturbation, of the 20 genes that change most),
    discrimination (l1, l2, cosine), DE overlap and precision at 50 and N, direction match, delta spread
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Literal

import numpy as np

from beeline.core.data import Examples, Metric, condition_of, evenly
from beeline.metrics import effects, populations
from beeline.metrics.cell_effects import Compared, Truth
from beeline.metrics.cell_pairs import Array, Pair, pair_of

Kind = Literal["effects", "several", "zeros", "counts"]
"""Perturbed cells and control cells; two perturbed pairs held out; numbers that are 0 where nothing is; and whole."""

OfPair = Callable[[Compared, Pair], float]
_LOOKED_AT = 64
_LEAST = {"variance": 2, "correlation": 3, "mass": 2}


def own_metrics(genes: Sequence[str], contexts: Sequence[str], kinds: Collection[Kind]) -> list[Metric]:
    """Metrics of cells, those that mean something for the data at hand.

    Args:
        genes: names, in the order of the arrays.
        contexts: names of the columns that say the context.
        kinds: what the data hold, see ``kinds_of``.
    """
    last = _Last(genes, contexts)

    def metric(name: str, formula: str, of_pair: OfPair, better: Literal["lower", "higher"] | None) -> Metric:
        return Metric(name, f"{formula}; mean over pairs", partial(_averaged, last, of_pair), better=better)

    found = [
        metric("energy distance", "2 E|X - Y| - E|X - X'| - E|Y - Y'|, unbiased", Compared.energy, "lower"),
        metric("MMD^2", "unbiased, Gaussian kernel, s = median distance of real cells", Compared.discrepancy, "lower"),
        metric("W2", "exact, squared Euclidean cost, 32 components, at most 500 cells", _mass, "lower"),
        metric("variance ratio", "median over genes of var of samples / var of real cells", _variance, None),
        metric("gene correlation error", "|C - C*|_F / sqrt(K (K - 1)), 100 genes", _correlation, "lower"),
    ]
    if "zeros" in kinds:
        found.append(metric("zero share error", "mean over genes of |share at 0 - real share|", _zeros, "lower"))
        told = "max |F - F*|, F the distribution of the number of genes above 0 in a cell"
        found.append(metric("genes detected KS", told, partial(_size, populations.genes_detected), "lower"))
    if "counts" in kinds:
        told = "max |F - F*|, F the distribution of the sum of counts of a cell"
        found.append(metric("library size KS", told, partial(_size, populations.library), "lower"))
    if "effects" in kinds:
        found += [metric(*each, "higher") for each in _EFFECTS]
    if "effects" in kinds and "several" in kinds:
        spread = "mean distance of predicted deltas / that of real ones; near 0: one answer to all"
        found.append(Metric("delta spread", spread, partial(_spread, last)))
    return found


def kinds_of(training: Examples, held_out: Examples, contexts: Sequence[str]) -> frozenset[Kind]:
    """What data hold, told by their conditions and a few arrays.

    Args:
        training: cells.
        held_out: cells.
        contexts: names of the columns that say the context.
    """
    conditions = [condition_of(held_out, index) for index in range(len(held_out))]
    asked = {pair_of(each, contexts) for each in conditions}
    perturbed = {pair for pair in asked if pair.perturbation}
    known = {pair_of(condition_of(training, index), contexts) for index in range(len(training))}
    controlled = {pair.context for pair in known if not pair.perturbation}
    controlled |= {pair_of(each, contexts).context for each in conditions if each.get("control") is not None}
    found: set[Kind] = set()
    if any(pair.context in controlled for pair in perturbed):
        found.add("effects")
    if len(perturbed) > 1:
        found.add("several")
    values = [held_out[index].array for index in evenly(held_out, _LOOKED_AT)]
    if values and all((each >= 0).all() for each in values) and any((each == 0).any() for each in values):
        found.add("zeros")
        if all((each == np.rint(each)).all() for each in values):
            found.add("counts")
    return frozenset(found)


class _Last:
    """The comparison made last, for the metrics that come one after the other on the same cells."""

    def __init__(self, genes: Sequence[str], contexts: Sequence[str]) -> None:
        self._genes, self._contexts = genes, contexts
        self._real: tuple[list[object], list[object], Truth] | None = None
        self._made: tuple[list[object], Compared] | None = None

    def __call__(self, training: Examples, held_out: Examples, generated: Examples) -> Compared:
        known = self._real
        if known is None or not (_same(known[0], training) and _same(known[1], held_out)):
            truth = Truth(training, held_out, self._genes, self._contexts)
            self._real, self._made = (list(training), list(held_out), truth), None
            known = self._real
        if self._made is None or not _same(self._made[0], generated):
            self._made = list(generated), Compared(known[2], generated)
        return self._made[1]


def _same(known: Sequence[object], given: Sequence[object]) -> bool:
    """Whether two sequences hold the same objects, without comparing what these hold."""
    return len(known) == len(given) and all(one is other for one, other in zip(known, given, strict=True))


def _averaged(last: _Last, of_pair: OfPair, training: Examples, held_out: Examples, generated: Examples) -> float:
    compared = last(training, held_out, generated)
    values = [of_pair(compared, pair) for pair in compared.pairs]
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan


def _spread(last: _Last, training: Examples, held_out: Examples, generated: Examples) -> float:
    compared = last(training, held_out, generated)
    found = [deltas for deltas in map(compared.deltas, compared.perturbed) if deltas is not None]
    if len(found) < 2:
        return math.nan
    own, real = (np.stack([deltas[side] for deltas in found]) for side in (0, 1))
    return effects.delta_spread(own, real)


def _mass(compared: Compared, pair: Pair) -> float:
    both = compared.both(pair, _LEAST["mass"])
    if both is None:
        return math.nan
    real, generated = map(compared.truth.components, both)
    return populations.wasserstein(real, generated)


def _variance(compared: Compared, pair: Pair) -> float:
    both = compared.both(pair, _LEAST["variance"])
    return math.nan if both is None else populations.variance_ratio(*both)


def _correlation(compared: Compared, pair: Pair) -> float:
    both = compared.both(pair, _LEAST["correlation"])
    return math.nan if both is None else populations.correlation_error(*both)


def _zeros(compared: Compared, pair: Pair) -> float:
    both = compared.both(pair, 1)
    return math.nan if both is None else populations.zero_share_error(*both)


def _size(of: Callable[[Array], Array], compared: Compared, pair: Pair) -> float:
    both = compared.both(pair, _LEAST["mass"])
    return math.nan if both is None else populations.size_distance(of(both[0]), of(both[1]))


def _overlap(compared: Compared, pair: Pair, k: int | None) -> float:
    found = compared.changes(pair)
    return math.nan if found is None else effects.overlap_at(*found, k)


def _precision(compared: Compared, pair: Pair, k: int | None) -> float:
    found = compared.changes(pair)
    return math.nan if found is None else effects.precision_at(*found, k)


def _direction(compared: Compared, pair: Pair) -> float:
    found = compared.changes(pair)
    return math.nan if found is None else effects.direction_match(*found)


_DE = "FDR < 0.05, by |log2 fold change|"
_EFFECTS: list[tuple[str, str, OfPair]] = [
    ("delta correlation", "r over genes of predicted and real mean - mean of control", Compared.correlation),
    (
        "delta correlation against the mean perturbation",
        "r over genes of deltas less the mean delta of training cells",
        Compared.correlation_against_mean,
    ),
    ("delta correlation of top 20", "r over the 20 expressed genes of largest |t|", Compared.top_correlation),
    *(
        (
            f"discrimination {distance}",
            f"1 - (real deltas nearer in {distance} than its own) / their number, without the perturbed gene",
            partial(Compared.discrimination, distance=distance),
        )
        for distance in ("l1", "l2", "cosine")
    ),
    ("DE overlap at N", f"shared of the first N changed genes, N real ones; {_DE}", partial(_overlap, k=None)),
    ("DE overlap at 50", f"shared of the first 50 changed genes; {_DE}", partial(_overlap, k=50)),
    ("DE precision at N", f"predicted changed genes that are changed; {_DE}", partial(_precision, k=None)),
    ("DE precision at 50", f"of the first 50 predicted ones; {_DE}", partial(_precision, k=50)),
    ("DE direction match", "changed genes (FDR < 0.05) whose predicted change has the right sign", _direction),
]

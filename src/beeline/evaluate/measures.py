"""Every number of one set of samples, in every space, by one function: for a model's samples, floors and ceilings."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from beeline.core.data import Example, Geometry, Metric
from beeline.evaluate.features import LEAST_SAMPLES, Space
from beeline.evaluate.field_measures import FieldMeasures
from beeline.evaluate.outcome import Outcome, Place
from beeline.evaluate.sets import Sets, one_shape
from beeline.metrics.catalogue import FRECHET, MMD, NEAREST, NEIGHBOURS
from beeline.metrics.coverage import Neighbourhoods
from beeline.metrics.formula import Formula
from beeline.metrics.frechet import frechet_distance
from beeline.metrics.intervals import Estimate, bootstrap, group_of, jackknife
from beeline.metrics.mmd import KernelDiscrepancy
from beeline.metrics.neighbours import nearest_distances

Array = np.ndarray[Any, Any]
OWN = "modality"
_MOST_NUMBERS_OF_FRECHET = 256
_LEAST_SHARE_LEFT = 0.25


MEASURES = (FRECHET, MMD, *NEIGHBOURS.values(), NEAREST)


class Measures:
    """All numbers that are asked for.

    Args:
        sets: real examples.
        spaces: where samples are compared.
        own: the modality's own metrics.
        modality: its name.
        which: formulas to compute in every space.
        own_intervals: whether the modality's metrics, which may be slow, are computed without each twentieth of the
            samples too, for intervals of the samples.
        geometry: of fields on a grid, which are measured by input and channel too; None of other data.
    """

    def __init__(
        self,
        sets: Sets,
        spaces: Sequence[Space],
        own: Sequence[Metric],
        modality: str,
        which: Collection[Formula] = MEASURES,
        own_intervals: bool = False,
        geometry: Geometry | None = None,
    ) -> None:
        self.sets = sets
        self.own_intervals = own_intervals
        self.own = {own_formula(modality, metric): metric for metric in own}
        self.references = [_Reference(space, sets, which) for space in spaces]
        fits = geometry is not None and one_shape(sets.used, sets.held_out) is None
        self.fields = FieldMeasures(sets.used, sets.held_out, geometry) if fits and geometry is not None else None

    def places(self) -> list[tuple[Formula, str, str]]:
        """Formula, space and channel of every number that may be there, in the order in which they are shown."""
        own = [(formula, OWN, "") for formula in self.own]
        of_fields = self.fields.places() if self.fields is not None else []
        spaces = [(formula, each.space.name, "") for each in self.references for formula in each.formulas]
        return own + of_fields + spaces

    def __call__(
        self, samples: Sequence[Example], seed: int | None = None, seen: Sequence[int] = (), paired: bool = True
    ) -> dict[Place, Outcome]:
        """Every number that these samples have, by formula, space and channel.

        Args:
            samples: generated, a baseline, or real.
            seed: of the intervals; None leaves them out.
            seen: places, among the training examples used, of those that are the samples themselves: they are left
                out of the training examples, of which a quarter must remain.
            paired: whether samples answer the conditions of held-out examples, going round and round.
        """
        rest = np.setdiff1d(np.arange(len(self.sets.used)), np.asarray(seen, dtype=np.int64))
        enough = len(rest) >= max(LEAST_SAMPLES, _LEAST_SHARE_LEFT * len(self.sets.used)) or not len(seen)
        outcomes: dict[Place, Outcome] = {}
        training = [self.sets.used[index] for index in rest] if enough else []
        for formula, metric in self.own.items():
            interval = self.own_intervals and seed is not None
            outcomes[formula.formula, OWN, ""] = _own(metric, training, self.sets.held_out, samples, interval)
        reason = one_shape(samples, self.sets.held_out[:1]) if self.references or self.fields else None
        if self.fields is not None and reason is None:
            outcomes |= self.fields(samples, seed, paired)
        if len(samples) < LEAST_SAMPLES:
            reason = f"needs at least {LEAST_SAMPLES} samples"
        for reference in self.references:
            if reason is not None:
                found = {formula: Outcome(Estimate(math.nan), reason) for formula in reference.formulas}
            else:
                found = reference(samples, seed, rest if enough else None)
            name = reference.space.name
            outcomes |= {(formula.formula, name, ""): outcome for formula, outcome in found.items()}
        return outcomes


def own_formula(modality: str, metric: Metric) -> Formula:
    """The formula of a modality's own metric."""
    return Formula(metric.name, f"{modality}/{metric.name}", metric.formula)


def _own(
    metric: Metric, training: list[Example], held_out: list[Example], samples: Sequence[Example], interval: bool
) -> Outcome:
    if not training:
        return Outcome(Estimate(math.nan), "too few training examples are left beside the samples")
    try:
        value = float(metric.function(training, held_out, samples))
        if not interval:
            return Outcome(Estimate(value))
        groups = group_of(len(samples))
        kept = [[samples[int(index)] for index in np.flatnonzero(groups != group)] for group in np.unique(groups)]
        return Outcome(jackknife(value, [np.array([metric.function(training, held_out, each) for each in kept])]))
    except Exception as error:
        return Outcome(Estimate(math.nan), " ".join(f"{type(error).__name__}: {error}".split()))


class _Reference:
    """The real examples in one space, and what is computed of them once."""

    def __init__(self, space: Space, sets: Sets, which: Collection[Formula]) -> None:
        self.space = space
        self.sets = sets
        self.real = space.embed(sets.held_out)
        few = self.real.shape[1] <= _MOST_NUMBERS_OF_FRECHET
        self.formulas = [formula for formula in MEASURES if formula in which and (few or formula is not FRECHET)]

    @cached_property
    def training(self) -> Array:
        """Features of the training examples used."""
        return self.space.embed(self.sets.used)

    @cached_property
    def kernel(self) -> KernelDiscrepancy:
        """MMD against the held-out examples."""
        return KernelDiscrepancy(self.real)

    @cached_property
    def neighbourhoods(self) -> Neighbourhoods:
        """Balls around the held-out examples."""
        return Neighbourhoods(self.real)

    def __call__(self, samples: Sequence[Example], seed: int | None, rest: Array | None) -> dict[Formula, Outcome]:
        features = self.space.embed(samples)
        found: dict[Formula, Outcome] = {}

        def attempt(formulas: Collection[Formula], function: Callable[[], Collection[Estimate]]) -> None:
            if any(formula in self.formulas for formula in formulas):
                try:
                    outcomes = [Outcome(estimate) for estimate in function()]
                except ValueError as error:
                    outcomes = [Outcome(Estimate(math.nan), str(error))] * len(formulas)
                found.update(zip(formulas, outcomes, strict=True))

        attempt([FRECHET], lambda: [frechet_distance(self.real, features, seed is not None)])
        attempt([MMD], lambda: [self.kernel(features, seed is not None)])
        attempt(list(NEIGHBOURS.values()), lambda: self.neighbourhoods(features, seed is not None).values())
        attempt([NEAREST], lambda: [self._nearest(features, seed, rest)])
        return {formula: found[formula] for formula in self.formulas}

    def _nearest(self, features: Array, seed: int | None, rest: Array | None) -> Estimate:
        if rest is None:
            raise ValueError("too few training examples are left beside the samples")
        near = [nearest_distances(self.training[rest], each) for each in (features, self.real)]
        if np.median(near[1]) == 0:
            raise ValueError("half of the held-out examples are training examples")
        return bootstrap(near, lambda one, other: float(np.median(one) / max(np.median(other), 1e-300)), seed)

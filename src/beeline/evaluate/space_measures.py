"""Every number of a set of samples in one feature space, against the real examples there.

Items that are not independent, draws for one input or maps of one simulation, are left out together for intervals.
What trees find, which is slow, is taken of at most 1,000 samples and real examples, and in one space.

Shapes: K held-out examples, N samples, D features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from beeline.core.data import Example
from beeline.core.protocols import Condition
from beeline.evaluate.features import Space
from beeline.evaluate.outcome import Outcome, measured
from beeline.evaluate.sets import Sets, classes_of, group_codes
from beeline.metrics.catalogue import (
    CUBIC_MMD,
    ENERGY,
    FRECHET,
    MMD,
    NEAREST,
    NEIGHBOURS,
    SLICED,
    TRAIN_ON_SYNTHETIC,
    TWO_SAMPLE,
)
from beeline.metrics.classifiers import labels_found, two_sample_area
from beeline.metrics.coverage import Neighbourhoods
from beeline.metrics.energy import EnergyDistance
from beeline.metrics.formula import Formula
from beeline.metrics.frechet import frechet_distance
from beeline.metrics.intervals import Estimate, bootstrap
from beeline.metrics.mmd import CubicDiscrepancy, KernelDiscrepancy
from beeline.metrics.neighbours import nearest_distances
from beeline.metrics.sliced import sliced_wasserstein

Array = np.ndarray[Any, Any]
BY_TREES = (TWO_SAMPLE, TRAIN_ON_SYNTHETIC)
MEASURES = (FRECHET, MMD, CUBIC_MMD, ENERGY, SLICED, *NEIGHBOURS.values(), *BY_TREES, NEAREST)
_MOST_NUMBERS_OF_FRECHET, _MOST_FOR_TREES = 256, 1000


class Reference:
    """The real examples in one space, and what is computed of them once.

    Args:
        space: where samples are compared.
        sets: real examples.
        which: formulas to compute.
        classes: the condition that says the class; None without classes.
        by_trees: whether those that need trees are computed here.
    """

    def __init__(
        self, space: Space, sets: Sets, which: Collection[Formula], classes: Condition | None, by_trees: bool
    ) -> None:
        self.space, self.sets, self.classes = space, sets, classes
        self.real = space.embed(sets.held_out)
        # Without groups each item is its own, which is quicker where pairs within groups need not be summed.
        self.codes = sets.groups if len(np.unique(sets.groups)) < len(sets.groups) else None
        self.labels = classes_of(sets.held_out, classes)
        unfit = set() if by_trees else set(BY_TREES)
        if self.real.shape[1] > _MOST_NUMBERS_OF_FRECHET:
            unfit.add(FRECHET)
        if len(np.unique(self.labels)) < 2 or self.labels.min() < 0:
            unfit.add(TRAIN_ON_SYNTHETIC)
        self.formulas = [formula for formula in MEASURES if formula in which and formula not in unfit]

    @cached_property
    def training(self) -> Array:
        """Features of the training examples used."""
        return self.space.embed(self.sets.used)

    @cached_property
    def kernel(self) -> KernelDiscrepancy:
        """MMD against the held-out examples."""
        return KernelDiscrepancy(self.real, group_M=self.codes)

    @cached_property
    def cubic(self) -> CubicDiscrepancy:
        """MMD with the cubic kernel against the held-out examples."""
        return CubicDiscrepancy(self.real, self.codes)

    @cached_property
    def energy(self) -> EnergyDistance:
        """Energy distance from the held-out examples."""
        return EnergyDistance(self.real, self.codes)

    @cached_property
    def neighbourhoods(self) -> Neighbourhoods:
        """Balls around the held-out examples."""
        return Neighbourhoods(self.real, self.codes)

    @np.errstate(all="ignore")
    def __call__(
        self,
        samples: Sequence[Example],
        seed: int | None,
        rest: Array | None,
        codes: Array | None,
        answered: Array | None = None,
    ) -> dict[Formula, Outcome]:
        """Every number of some samples.

        Args:
            samples: generated, a baseline, or real.
            seed: of the intervals; None leaves them out.
            rest: places of training examples that are none of the samples; None where too few are left.
            codes: (N,) number of the group of the held-out example that each sample answers; None of samples that
                answer none.
            answered: (N,) place of the held-out example whose input, a class among them, each sample answers; None
                of samples that answer none.
        """
        features, interval = self.space.embed(samples), seed is not None
        own = codes if codes is not None and len(np.unique(codes)) < len(codes) else None
        found: dict[Formula, Outcome] = {}

        def attempt(formulas: Collection[Formula], function: Callable[[], Collection[Estimate]]) -> None:
            if any(formula in self.formulas for formula in formulas):
                try:
                    outcomes = [measured(estimate) for estimate in function()]
                except ValueError as error:
                    outcomes = [Outcome(Estimate(math.nan), str(error))] * len(formulas)
                found.update(zip(formulas, outcomes, strict=True))

        attempt([FRECHET], lambda: [frechet_distance(self.real, features, interval, self.codes, codes)])
        attempt([MMD], lambda: [self.kernel(features, interval, codes, answered)])
        attempt([CUBIC_MMD], lambda: [self.cubic(features, interval, codes, answered)])
        attempt([ENERGY], lambda: [self.energy(features, interval, codes, answered)])
        attempt(
            [SLICED],
            lambda: [sliced_wasserstein(self.real, features, interval=interval, group_M=self.codes, group_N=codes)],
        )
        attempt(list(NEIGHBOURS.values()), lambda: self.neighbourhoods(features, interval, codes).values())
        attempt([TWO_SAMPLE], lambda: [self._told_apart(features, samples, codes, seed)])
        attempt([TRAIN_ON_SYNTHETIC], lambda: [self._learned_from(features, samples, seed)])
        attempt([NEAREST], lambda: [self._nearest(features, seed, rest, own)])
        return {formula: found[formula] for formula in self.formulas}

    def _told_apart(
        self, features: Array, samples: Sequence[Example], codes: Array | None, seed: int | None
    ) -> Estimate:
        groups = len(self.sets.held_out) + group_codes(samples) if codes is None else codes
        real, own = (_some(len(each)) for each in (self.real, features))
        sides = (self.real[real], features[own], self.sets.groups[real], groups[own])
        return two_sample_area(*sides, seed=seed or 0, interval=seed is not None)

    def _learned_from(self, features: Array, samples: Sequence[Example], seed: int | None) -> Estimate:
        labels, own = classes_of(samples, self.classes), _some(len(features))
        if labels.min() < 0:
            raise ValueError("samples were not asked for a class")
        return labels_found((features[own], labels[own]), (self.real, self.labels), self.sets.groups, seed)

    def _nearest(self, features: Array, seed: int | None, rest: Array | None, codes: Array | None) -> Estimate:
        if rest is None:
            raise ValueError("too few training examples are left beside the samples")
        near = [nearest_distances(self.training[rest], each) for each in (features, self.real)]
        if np.median(near[1]) == 0:
            raise ValueError("half of the held-out examples are training examples")
        groups = None
        if codes is not None or self.codes is not None:
            groups = [np.arange(len(features)) if codes is None else codes, self.sets.groups]
        return bootstrap(near, _ratio_of_medians, seed, groups=groups)


def _ratio_of_medians(one: Array, other: Array) -> float:
    return float(np.median(one) / max(np.median(other), 1e-300))


def _some(count: int) -> Array:
    """Places of at most 1,000, at random: places at one distance would meet the rounds of draws."""
    chosen = np.random.default_rng(0).permutation(count)[:_MOST_FOR_TREES]
    return np.sort(chosen)

"""Every number of one set of samples, in every space, by one function: for a model's samples, floors and ceilings."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from beeline.core.data import Example, Geometry, Metric
from beeline.core.protocols import Condition
from beeline.evaluate.features import LEAST_SAMPLES, Space
from beeline.evaluate.field_measures import FieldMeasures
from beeline.evaluate.outcome import Outcome, Place
from beeline.evaluate.sets import Sets, several_shapes, unfit
from beeline.evaluate.space_measures import MEASURES, Reference
from beeline.metrics.formula import Formula
from beeline.metrics.intervals import Estimate, group_of, jackknife

Array = np.ndarray[Any, Any]
OWN = "modality"
_LEAST_SHARE_LEFT = 0.25


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
        classes: the condition that says the class; None without classes.
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
        classes: Condition | None = None,
    ) -> None:
        self.sets = sets
        self.own_intervals = own_intervals
        self.own = {own_formula(modality, metric): metric for metric in own}
        by_trees = next((each for each in spaces if each.name == "pca-32"), spaces[0] if spaces else None)
        self.references = [Reference(space, sets, which, classes, space is by_trees) for space in spaces]
        self.fields: FieldMeasures | None = None
        self.left_out: dict[str, str] = {}
        if geometry is not None:
            reason = several_shapes(sets.used, sets.held_out)
            if reason is None:
                self.fields = FieldMeasures(sets.used, sets.held_out, geometry)
            self.left_out |= {"numbers by channel": str(reason)} if self.fields is None else self.fields.notes

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
        codes = self.sets.sample_groups(len(samples)) if paired else None
        answered = self.sets.answered(len(samples)) if paired else None
        enough = len(rest) >= max(LEAST_SAMPLES, _LEAST_SHARE_LEFT * len(self.sets.used)) or not len(seen)
        outcomes: dict[Place, Outcome] = {}
        training = [self.sets.used[index] for index in rest] if enough else []
        for formula, metric in self.own.items():
            interval = self.own_intervals and seed is not None
            outcomes[formula.formula, OWN, ""] = _own(metric, training, self.sets.held_out, samples, codes, interval)
        reason = unfit(samples, self.sets.held_out) if self.references else None
        if self.fields is not None:
            outcomes |= self.fields(samples, seed, paired)
        if len(samples) < LEAST_SAMPLES:
            reason = f"needs at least {LEAST_SAMPLES} samples"
        for reference in self.references:
            if reason is not None:
                found = {formula: Outcome(Estimate(math.nan), reason) for formula in reference.formulas}
            else:
                found = reference(samples, seed, rest if enough else None, codes, answered)
            name = reference.space.name
            outcomes |= {(formula.formula, name, ""): outcome for formula, outcome in found.items()}
        return outcomes


def own_formula(modality: str, metric: Metric) -> Formula:
    """The formula of a modality's own metric."""
    return Formula(metric.name, f"{modality}/{metric.name}", metric.formula, metric.better)


def _own(
    metric: Metric,
    training: list[Example],
    held_out: list[Example],
    samples: Sequence[Example],
    codes: Array | None,
    interval: bool,
) -> Outcome:
    if not training:
        return Outcome(Estimate(math.nan), "too few training examples are left beside the samples")
    try:
        value = float(metric.function(training, held_out, samples))
        if not interval:
            return Outcome(Estimate(value))
        groups = group_of(len(samples), codes)
        if len(np.unique(groups)) < 2:
            return Outcome(Estimate(value))
        kept = [[samples[int(index)] for index in np.flatnonzero(groups != group)] for group in np.unique(groups)]
        return Outcome(jackknife(value, [np.array([metric.function(training, held_out, each) for each in kept])]))
    except Exception as error:
        return Outcome(Estimate(math.nan), " ".join(f"{type(error).__name__}: {error}".split()))

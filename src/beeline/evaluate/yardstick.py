"""Real examples, and a table of all that is measured of others against them: value, floor, ceiling."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from beeline.core.data import Example, Geometry, Metric
from beeline.core.protocols import Condition
from beeline.evaluate.ceilings import of_halves, of_training
from beeline.evaluate.features import Space
from beeline.evaluate.floors import Baselines, floors
from beeline.evaluate.measures import Measures
from beeline.evaluate.outcome import Outcome, Place
from beeline.evaluate.records import PHYSICAL, Record
from beeline.evaluate.sets import Sets
from beeline.evaluate.space_measures import BY_TREES, MEASURES
from beeline.metrics.formula import Formula


class Yardstick:
    """What samples are held against.

    Args:
        sets: real examples.
        spaces: where samples are compared.
        own: the modality's own metrics.
        modality: its name.
        which: formulas to compute in every space.
        own_intervals: whether the modality's own metrics get intervals, at twenty times their cost.
        geometry: of fields on a grid; None of other data.
        classes: the condition that says the class; None without classes.
        baselines: the modality's own cheap answers; None without.
    """

    def __init__(
        self,
        sets: Sets,
        spaces: Sequence[Space],
        own: Sequence[Metric] = (),
        modality: str = "",
        which: Collection[Formula] = MEASURES,
        own_intervals: bool = False,
        geometry: Geometry | None = None,
        classes: Condition | None = None,
        baselines: Baselines | None = None,
    ) -> None:
        self.sets, self.classes, self._which, self._baselines = sets, classes, which, baselines

        def build(sets: Sets, which: Collection[Formula]) -> Measures:
            return Measures(sets, spaces, own, modality, which, own_intervals, geometry, classes)

        self._build: Callable[[Sets, Collection[Formula]], Measures] = build
        self.measures = build(sets, which)

    def records(
        self, examples: Sequence[Example], seed: int, paired: bool = True, baselines: bool = True
    ) -> list[Record]:
        """A record for each number, with what the same function gives for the baselines and for real examples.

        Args:
            examples: samples under the conditions of held-out examples, evenly spread or round and round.
            seed: of intervals and baselines.
            paired: whether they answer the conditions of held-out examples.
            baselines: whether training examples stand in their place too.
        """
        outcomes = self.measures(examples, seed, paired=paired)
        fields = self.measures.fields
        baseline = self.sets.used if fields is None else fields.without_gaps()
        cheap: dict[str, Sequence[Example]] = {}
        if baselines:
            cheap |= floors(baseline, examples, self.classes, seed)
        if baselines and self._baselines is not None:
            cheap |= self._baselines(self.sets.used, self.asked(examples, paired), seed)
        low = {name: self.measures(each, paired=paired) for name, each in cheap.items()}
        high, n_ceiling = self._ceilings(len(examples), seed)
        bounds = {formula.formula: metric for formula, metric in self.measures.own.items()}
        if fields is not None and baselines and paired:
            found = fields(fields.climate(examples, seed), None)
            low["training fields"] = {place: each for place, each in found.items() if place not in high}
        records = []
        for formula, space, channel in self.measures.places():
            place = (formula.formula, space, channel)
            if place not in outcomes:
                continue
            counts = self._counts(space, len(examples), channel)
            metric, outcome = bounds.get(formula.formula), outcomes[place]
            records.append(
                Record(
                    *(formula.metric, formula.formula, formula.meaning, space, counts["n"], seed),
                    *(outcome.estimate.value, outcome.estimate.low, outcome.estimate.high),
                    floors={name: each[place].estimate.value for name, each in low.items() if place in each},
                    ceiling=high[place].estimate.value if place in high else math.nan,
                    good_low=-math.inf if metric is None else metric.low,
                    good_high=math.inf if metric is None else metric.high,
                    better=formula.better,
                    failure=outcome.failure,
                    channel=channel,
                    units=fields.units(formula.formula, channel) if fields is not None and channel else "",
                    n_ceiling=n_ceiling if place in high else 0,
                    draws=counts.get("draws", 0),
                    inputs=counts.get("inputs", 0),
                    groups=counts["groups"],
                    target=formula.target if outcome.target is None else outcome.target,
                )
            )
        return records

    def _ceilings(self, n: int, seed: int) -> tuple[dict[Place, Outcome], int]:
        if self.measures.fields is None and self._baselines is None:
            return of_training(self.measures, n)
        without_trees = [formula for formula in self._which if formula not in BY_TREES]  # their best is known: 1/2
        groups = self.sets.groups if self._baselines is None else np.arange(len(self.sets.held_out))
        return of_halves(lambda sets: self._build(sets, without_trees), self.sets, seed, groups)

    def asked(self, samples: Sequence[Example], paired: bool = True) -> list[Example]:
        """Samples with all that is known of the held-out example which each answers, also what no model is told.

        Args:
            samples: under the conditions of held-out examples, evenly spread or round and round.
            paired: whether they answer those; they are as they were if not.
        """
        if not paired:
            return list(samples)
        held_out = [self.sets.held_out[place].condition for place in self.sets.answered(len(samples))]
        return [
            replace(sample, condition={**known, **sample.condition})
            for sample, known in zip(samples, held_out, strict=True)
        ]

    def _counts(self, space: str, samples: int, channel: str) -> dict[str, int]:
        """How many samples a number of a space and channel is of, and how many groups its interval rests on."""
        if space == PHYSICAL and self.measures.fields is not None:
            return self.measures.fields.counts(samples, channel)
        return {"n": samples, "groups": len(np.unique(self.sets.sample_groups(samples)))}

    def of_ceilings(self, samples: int) -> dict[str, Any]:
        """What stands in the place of so many samples for the ceiling, for the protocol."""
        if self._baselines is not None:
            return {"ceiling": "halves of the held-out examples, mean of 4 splits"}
        if self.measures.fields is None:
            return {"ceiling": "training examples", "ceiling_n": min(samples, len(self.sets.used))}
        return {"ceiling": "halves of the held-out groups, mean of 4 splits"}

"""An evaluation: samples, baselines and real examples through the same measures, and what it takes to do it again."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from beeline.core.data import Example, Examples
from beeline.core.errors import UserError
from beeline.core.offers import Gridded
from beeline.evaluate.ceilings import of_halves, of_training
from beeline.evaluate.features import SPACES, build_spaces
from beeline.evaluate.floors import floors
from beeline.evaluate.measures import Measures
from beeline.evaluate.outcome import Outcome, Place
from beeline.evaluate.records import PHYSICAL, Evaluation, Record
from beeline.evaluate.requests import requests_like
from beeline.evaluate.sets import class_condition, fingerprint, read_sets, spread
from beeline.evaluate.space_measures import BY_TREES, MEASURES
from beeline.generate.engine import Engine, Samples
from beeline.generate.load import locate, output_folder, read_description
from beeline.metrics.formula import Formula
from beeline.model.format import library_version
from beeline.samplers.config import SampleConfig

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Drawn:
    """Samples and how long drawing them took.

    Args:
        samples: with provenance.
        seconds: of wall clock.
    """

    samples: Samples
    seconds: float


class Evaluator:
    """A model, the real examples it is held against, and the measures.

    Args:
        engine: the model.
        path: where it was opened from.
        training: examples that it has seen.
        held_out: examples that it has not, whose conditions and forms are asked for.
        spaces: feature spaces, of ``features.SPACES``.
        which: formulas to compute in every space.
        own_intervals: whether the modality's own metrics get intervals, at twenty times their cost.

    Raises:
        UserError: there is nothing to measure.
    """

    def __init__(
        self,
        engine: Engine,
        path: Path,
        training: Examples,
        held_out: Examples,
        spaces: Collection[str] = SPACES,
        which: Collection[Formula] = MEASURES,
        own_intervals: bool = False,
    ) -> None:
        self.engine = engine
        self.sets = read_sets(training, held_out)
        self.classes = class_condition(engine.codec.conditions)
        self.modality: dict[str, Any] = read_description(locate(path)[1])["modality"]
        home = output_folder(path) / "features"
        found, self.left_out = build_spaces(spaces, self.sets, self.classes, home)
        self.space_records = {space.name: space.record for space in found}
        own, name = engine.modality.metrics(), Path(self.modality["name"]).stem
        grid = engine.modality.geometry() if isinstance(engine.modality, Gridded) else None
        if not own and not found and grid is None:
            reasons = "; ".join(f"{space}: {reason}" for space, reason in self.left_out.items())
            raise UserError(
                f"{path}: nothing to measure: its modality has no metrics" + (f"; {reasons}" if reasons else "")
            )
        self._build = lambda sets, which: Measures(sets, found, own, name, which, own_intervals, grid, self.classes)
        self._which = which
        self.measures = self._build(self.sets, which)
        self.left_out |= self.measures.left_out

    def draw(
        self,
        n: int,
        seed: int,
        settings: SampleConfig | None = None,
        progress: Progress | None = None,
        engine: Engine | None = None,
        held_out: Sequence[Example] | None = None,
    ) -> Drawn:
        """Generate samples under the conditions of held-out examples: evenly spread, or round and round.

        Args:
            n: how many.
            seed: sample i depends on (seed, i) alone, so two draws of one seed are paired.
            settings: how; the run's own when None.
            progress: called with (steps done, steps in all).
            engine: another model of the same data; the evaluator's own when None.
            held_out: the held-out examples as that model knows them, in the same order, whose conditions may have
                other values under the same names; the evaluator's own when None.
        """
        held_out, engine = self.sets.held_out if held_out is None else held_out, engine or self.engine
        asked = [held_out[place] for place in spread(len(held_out), n)]
        requests = requests_like(asked, n, engine)
        begin = time.monotonic()
        samples = engine.generate(requests, seed, settings, progress=progress)
        return Drawn(samples, time.monotonic() - begin)

    def compare(self, drawn: Drawn) -> list[Record]:
        """A record for each number, with what the same function gives for the baselines and for real examples."""
        examples, seed = drawn.samples.examples, int(drawn.samples.provenance["seed"])
        outcomes = self.measures(examples, seed)
        fields = self.measures.fields
        baseline = self.sets.used if fields is None else fields.without_gaps()
        low = {name: self.measures(each) for name, each in floors(baseline, examples, self.classes, seed).items()}
        high, n_ceiling = self._ceilings(len(examples), seed)
        bounds = {formula.formula: metric for formula, metric in self.measures.own.items()}
        if fields is not None:
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
        if self.measures.fields is None:
            return of_training(self.measures, n)
        without_trees = [formula for formula in self._which if formula not in BY_TREES]  # their best is known: 1/2
        return of_halves(lambda sets: self._build(sets, without_trees), self.sets, seed)

    def _counts(self, space: str, samples: int, channel: str) -> dict[str, int]:
        """How many samples a number of a space and channel is of, and how many groups its interval rests on."""
        if space == PHYSICAL and self.measures.fields is not None:
            return self.measures.fields.counts(samples, channel)
        return {"n": samples, "groups": len(np.unique(self.sets.sample_groups(samples)))}

    def quick(self, drawn: Drawn) -> dict[Place, Outcome]:
        """The numbers of samples alone, with intervals."""
        return self.measures(drawn.samples.examples, int(drawn.samples.provenance["seed"]))

    def protocol(self, drawn: Drawn, made_by: str) -> dict[str, Any]:
        """Everything that the numbers depend on.

        Args:
            drawn: the samples.
            made_by: the command.
        """
        examples = drawn.samples.examples
        options = self.modality["options"]
        return {
            "made_by": made_by,
            **machine(self.engine),
            "weights": "averaged",
            **drawn.samples.provenance,
            "n": len(examples),
            "seconds": drawn.seconds,
            "samples_per_second": len(examples) / max(drawn.seconds, 1e-9),
            "samples": f"{_types(examples)}, as a user gets them: units and numbers of the data",
            "data": {
                "modality": self.modality["name"],
                "path": options.get("path"),
                "options": options,
                "fingerprint": fingerprint([*self.sets.training, *self.sets.held_out]),
            },
            "sets": {**self.sets.counts, **self._of_ceilings(len(examples))},
            "spaces": self.space_records,
            "left_out": self.left_out,
        }

    def _of_ceilings(self, samples: int) -> dict[str, Any]:
        if self.measures.fields is None:
            return {"ceiling": "training examples", "ceiling_n": min(samples, len(self.sets.used))}
        return {"ceiling": "halves of the held-out groups, mean of 4 splits"}


def machine(engine: Engine) -> dict[str, Any]:
    """What computes, and with which software."""
    name = torch.cuda.get_device_name(engine.device) if engine.device.type == "cuda" else "cpu"
    return {
        "library": library_version(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": name,
        "threads": torch.get_num_threads(),
    }


def evaluation(evaluator: Evaluator, drawn: Drawn, made_by: str) -> Evaluation:
    """Protocol and records of some samples.

    Args:
        evaluator: of the model.
        drawn: its samples.
        made_by: the command.
    """
    return Evaluation(evaluator.protocol(drawn, made_by), evaluator.compare(drawn))


def _types(examples: Sequence[Example]) -> str:
    return " and ".join(sorted({np.dtype(example.array.dtype).name for example in examples}))

"""Models side by side: the same data, seeds and measures for all, and what differs between them.

What a number depends on is of two kinds. The *evaluation* protocol (the split, n, the formulas, the spaces and what was
fitted for them, the units and rounding of samples) must be one for all, or nothing is compared. What was chosen to make
the samples (the run, sampler, passes, guidance) is what the comparison is about: the axes of its table.

Item i of every entry has the same start noise and the same condition, so that differences are taken in pairs.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.evaluate.curves import steps_for_passes
from beeline.evaluate.evaluation import Drawn, Evaluator
from beeline.evaluate.outcome import Outcome, Place, estimate_at
from beeline.evaluate.records import Record, finite
from beeline.generate.engine import Engine
from beeline.generate.plan import Plan
from beeline.metrics.intervals import Estimate, difference
from beeline.model.cost import network_cost
from beeline.samplers.config import SampleConfig


@dataclass(frozen=True)
class Entry:
    """A model sampled in one way.

    Args:
        name: of the run, and of the way where a run is sampled in several.
        of_run: of the run alone.
        run: where it lies.
        engine: the model.
        settings: how it is sampled.
        held_out: the held-out examples with the conditions that this model knows; those of all when None.
    """

    name: str
    of_run: str
    run: Path
    engine: Engine
    settings: SampleConfig
    held_out: Sequence[Example] | None = None


@dataclass(frozen=True)
class Measured:
    """What came of an entry.

    Args:
        entry: what was sampled.
        drawn: its samples.
        outcomes: its numbers.
        flops: of all network passes of a sample.
    """

    entry: Entry
    drawn: Drawn
    outcomes: Mapping[Place, Outcome]
    flops: float

    @property
    def passes(self) -> float:
        """Network passes of a sample, on average."""
        return float(np.mean(self.drawn.samples.provenance["passes"]))

    @property
    def seconds(self) -> float:
        """Wall clock a sample, drawn in batches."""
        return self.drawn.seconds / len(self.drawn.samples.examples)


@dataclass(frozen=True)
class Comparison:
    """Entries that were measured alike.

    Args:
        protocol: what all of them share.
        records: of the first entry, with floors and ceilings.
        measured: every entry, the first being what the others are held against.
    """

    protocol: Mapping[str, Any]
    records: Sequence[Record]
    measured: Sequence[Measured]

    def estimate(self, entry: int, record: Record) -> Estimate:
        """A number of an entry."""
        return estimate_at(self.measured[entry].outcomes, record.place)

    def apart(self, entry: int, record: Record) -> Estimate:
        """How much larger a number of an entry is than that of the first, with the interval of the difference."""
        return difference(self.estimate(entry, record), self.estimate(0, record))

    def rows(self) -> list[dict[str, Any]]:
        """The tidy table: a row for each number of each entry."""
        rows = []
        for index, each in enumerate(self.measured):
            for record in self.records:
                own, apart = self.estimate(index, record), self.apart(index, record)
                own_record = dataclasses.replace(record, value=own.value, low=own.low, high=own.high)
                rows.append(
                    {
                        "entry": each.entry.name,
                        "run": str(each.entry.run),
                        **_axes(each),
                        **{
                            name: getattr(record, name)
                            for name in ("metric", "channel", "units", "formula", "space", "n", "seed")
                        },
                        "value": own.value,
                        "low": own.low,
                        "high": own.high,
                        "difference": apart.value if index else math.nan,
                        "difference_low": apart.low if index else math.nan,
                        "difference_high": apart.high if index else math.nan,
                        "floor": own_record.floor,
                        "ceiling": own_record.ceiling,
                        "share": own_record.share,
                    }
                )
        return rows

    def as_json(self) -> dict[str, Any]:
        """Protocol, provenance of each entry and table as JSON can hold them."""
        entries = [
            {
                "entry": each.entry.name,
                "run": str(each.entry.run),
                **each.drawn.samples.provenance,
                "seconds": each.drawn.seconds,
                "flops_per_sample": each.flops,
            }
            for each in self.measured
        ]
        return {"protocol": finite(self.protocol), "entries": finite(entries), "rows": finite(self.rows())}


@dataclass(frozen=True)
class Axes:
    """Ways in which every run is sampled; its own way where nothing is named.

    Args:
        passes: network passes of a sample, by as many steps as cost no more.
        samplers: by name.
        scales: of guidance.
    """

    passes: Sequence[int] = ()
    samplers: Sequence[str] = ()
    scales: Sequence[float] = ()


def entries_of(
    run: Path, name: str, engine: Engine, axes: Axes, example: Example, options: Mapping[str, Any]
) -> list[Entry]:
    """A run in every way in which it is to be sampled.

    Args:
        run: where it lies.
        name: what to call it.
        engine: its model.
        axes: ways of sampling.
        example: whose condition and form is asked for to count network passes.
        options: of sampling, for all.

    Raises:
        UserError: it cannot be sampled in one of these ways.
    """
    entries = []
    for sampler, scale in itertools.product(axes.samplers or (None,), axes.scales or (None,)):
        named = {key: value for key, value in (("sampler", sampler), ("cfg_scale", scale)) if value is not None}
        given: dict[str, Any] = {**options, **named}
        settings = engine.settings(**given)
        said = [name, *(f"cfg {value:g}" if isinstance(value, float) else str(value) for value in named.values())]
        passes = sorted(set(axes.passes))
        steps = steps_for_passes(engine, settings, passes, example) if passes else [settings.steps]
        for count, cost in zip(steps, [f"{each} passes" for each in passes] or [""], strict=True):
            way = dataclasses.replace(settings, steps=count)
            Plan.make(way, engine.codec, engine.network, engine.source)
            entries.append(Entry(", ".join(filter(None, [*said, cost])), name, run, engine, way))
    return entries


def _axes(measured: Measured) -> dict[str, Any]:
    settings = measured.entry.settings
    return {
        "sampler": settings.sampler,
        "steps": settings.steps,
        "cfg_scale": settings.cfg_scale,
        "passes": measured.passes,
        "seconds_per_sample": measured.seconds,
        "flops_per_sample": measured.flops,
    }


def check_conditions(entries: Sequence[Entry]) -> None:
    """Refuse entries that cannot be asked under the conditions of their own held-out examples.

    Raises:
        UserError: naming the run, the condition and the example.
    """
    for entry in {each.run: each for each in entries}.values():
        for index, example in enumerate(entry.held_out or ()):
            for condition in entry.engine.codec.conditions:
                if example.condition.get(condition.name) is None:
                    continue
                try:
                    condition.encode(example.condition[condition.name])
                except UserError as error:
                    raise UserError(f"{entry.run}: held-out example {index}: {error}") from error


def compare(
    evaluator: Evaluator, entries: Sequence[Entry], n: int, seed: int, work: Callable[[str], Any], made_by: str
) -> Comparison:
    """Draw and measure every entry.

    Args:
        evaluator: of the first entry; its sets, spaces and measures are those of all.
        entries: at least one.
        n: samples of each.
        seed: of all.
        work: names a piece of work and gives a context with its progress.
        made_by: the command.
    """
    check_conditions(entries)
    measured: list[Measured] = []
    for entry in entries:
        with work(f"sampling {entry.name}") as progress:
            drawn = evaluator.draw(n, seed, entry.settings, progress, entry.engine, entry.held_out)
        if measured and not drawn.is_divided:
            drawn = _as_asked(drawn, measured[0].drawn)
        cost = network_cost(entry.engine.network, entry.engine.codec).flops
        with work(f"measuring {entry.name}"):
            outcomes = evaluator.quick(drawn)
        passes = float(np.mean(drawn.samples.provenance["passes"]))
        measured.append(Measured(entry, drawn, outcomes, cost * passes))
    with work("floors and ceilings"):
        records = evaluator.compare(measured[0].drawn)
    kept = ("made_by", "library", "torch", "python", "machine", "device", "threads", "n", "seed", "data", "sets")
    whole = evaluator.protocol(measured[0].drawn, made_by)
    protocol = {name: whole[name] for name in (*kept, "samples", "spaces", "left_out")}
    return Comparison(protocol, records, measured)


def _as_asked(drawn: Drawn, first: Drawn) -> Drawn:
    """Samples with the conditions of the first entry's, in the names and values that the measures know.

    Item i of either is asked for what held-out example i is, whatever the model calls it; a model without conditions
    was asked for nothing.
    """
    pairs = zip(drawn.samples.examples, first.samples.examples, strict=True)
    examples = [dataclasses.replace(own, condition=one.condition if own.condition else {}) for own, one in pairs]
    return dataclasses.replace(drawn, samples=dataclasses.replace(drawn.samples, examples=examples))

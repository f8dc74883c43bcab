"""The clause of the contract on metrics: floor, ceiling and known answer of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from beeline.core.data import Example, Examples, Metric, evenly
from beeline.core.errors import UserError
from beeline.core.offers import Baselined
from beeline.evaluate.ceilings import of_halves
from beeline.evaluate.contract_subject import NotAskedError, Progress, Subject
from beeline.evaluate.evaluation import things_of
from beeline.evaluate.floors import collapsed, floors, noise
from beeline.evaluate.measures import OWN, Measures
from beeline.evaluate.outcome import Outcome, Place
from beeline.evaluate.records import short
from beeline.evaluate.sets import class_condition, read_sets, spread
from beeline.metrics.intervals import Estimate
from beeline.modalities.loading import ask

_TRAINING, _HELD_OUT = 2048, 512
_LEAST_SHARE, _FEW = 0.01, 64
_AGAIN = "other halves"


def metrics(subject: Subject, progress: Progress) -> str:
    """Each metric has a floor and a ceiling, tells them apart, and gives its known answer on the truth."""
    own: list[Metric] = list(ask(subject.source, subject.modality, "metrics"))
    if not own:
        raise NotAskedError("the modality has no metrics of its own")
    modality, name = subject.modality, Path(subject.source.name).stem
    training, held_out = things_of(modality) or (subject.training, subject.held_out)
    sets = read_sets(_some(training, _TRAINING), _some(held_out, _HELD_OUT))
    measures = Measures(sets, [], own, name, which=())
    classes, asked = class_condition(subject.codec.conditions), sets.held_out
    chosen = spread(len(sets.used), min(len(asked), max(1, len(sets.used) // 2)))
    stand_ins: dict[str, tuple[Sequence[Example], list[int]]] = {
        "truth": (asked, []),
        "again": (asked, []),
        "ceiling": ([sets.used[index] for index in chosen], chosen.tolist()),
        **{name: (each, []) for name, each in floors(sets.used, asked, classes, 0).items()},
        "one example": (collapsed(sets.used, asked, classes), []),
        "noise": (noise(sets.used, asked, 0), []),
    }
    if isinstance(modality, Baselined):
        stand_ins |= {each: (examples, []) for each, examples in modality.baselines(sets.used, asked, 0).items()}
        del stand_ins["ceiling"]
    found: dict[str, dict[Place, Outcome]] = {}
    for stand_in, (examples, seen) in stand_ins.items():
        found[stand_in] = measures(examples, seen=seen)
        progress(len(found), len(stand_ins))
    if isinstance(modality, Baselined):  # training examples answer other conditions
        for seed, each in enumerate(("ceiling", _AGAIN)):
            alone = np.arange(len(asked))
            found[each] = of_halves(lambda half: Measures(half, [], own, name, which=()), sets, seed, alone)[0]
    nothing = Outcome(Estimate(math.nan))
    lines = [
        _held(metric, len(asked), {each: one.get((formula.formula, OWN, ""), nothing) for each, one in found.items()})
        for formula, metric in measures.own.items()
    ]
    return "; ".join(lines)


def _some(examples: Examples, most: int) -> list[Example]:
    return [examples[index] for index in evenly(examples, most)]


def _held(metric: Metric, count: int, outcomes: Mapping[str, Outcome]) -> str:
    """What a metric gives for its floors and its ceiling, in words.

    Raises:
        UserError: it fails, cannot tell them apart, or does not give its known answer.
    """
    where = f"metric '{metric.name}'"
    for name in ("truth", "ceiling"):
        if outcomes[name].failure is not None:
            raise UserError(f"{where}: failed on real examples ({outcomes[name].failure})")
    values = {name: outcome.estimate.value for name, outcome in outcomes.items()}
    truth, ceiling = values.pop("truth"), values.pop("ceiling")
    doubt = abs(values.pop(_AGAIN, truth) - ceiling)
    for name, value in (("held-out", truth), ("training", ceiling)):
        if not math.isfinite(value):
            raise UserError(f"{where}: is {value} with {name} examples in the place of samples")
    if values.pop("again") != truth:
        raise UserError(f"{where}: gives another value when it is computed again; fix the seed of its draws")
    if metric.truth is not None and not abs(truth - metric.truth[0]) <= metric.truth[1]:
        known = f"{short(metric.truth[0])} is known, within {metric.truth[1]:g}"
        raise UserError(f"{where}: is {short(truth)} on true examples, where {known}")
    if not metric.passes(truth):
        raise UserError(f"{where}: is {short(truth)} on held-out examples, which misses its own bounds")
    return f"{metric.name}: {_apart(where, values, ceiling, doubt, count)}" + (
        f", truth {short(truth)}" if metric.truth is not None else ""
    )


def _apart(where: str, low: Mapping[str, float], ceiling: float, doubt: float, count: int) -> str:
    """The baseline from which a metric tells real examples best, as far as so many of them can tell.

    Raises:
        UserError: there is none.
    """
    finite = {name: value for name, value in low.items() if math.isfinite(value)}
    if not finite:
        raise UserError(f"{where}: has no floor: it fails on {', '.join(low)} in the place of samples")
    name = max(finite, key=lambda each: abs(finite[each] - ceiling))
    gap = abs(finite[name] - ceiling)
    ends = f"floor {short(finite[name])} ({name}), ceiling {short(ceiling)}"
    told = gap > _LEAST_SHARE * max(abs(ceiling), abs(finite[name]))
    if told and gap <= 2 * doubt and count < _FEW:
        return f"{ends}, which {count} held-out examples are too few to tell apart"
    if not told or gap <= 2 * doubt:
        raise UserError(
            f"{where}: cannot tell floor from ceiling: {short(finite[name])} for {name}, {short(ceiling)} for real "
            "examples in the place of samples; measure something that noise does not have"
        )
    return ends

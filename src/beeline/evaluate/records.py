"""Records: one number each, with all that it takes to read it; and the files that hold them.

``scores.json`` (written after training) and ``evaluations/evaluation-001.json`` (written by ``beeline evaluate``) have
one layout. What is not a finite number is null.

    {"protocol": {
        "made_by": "train" | "evaluate",
        "library": "0.1.0", "torch": "2.13.0", "python": "3.11.9", "machine": "x86_64", "device": "cpu", "threads": 2,
        "model": "runs/a/model.safetensors", "sha256": "...", "step": 1200,        weights, averaged ones
        "n": 1000, "seed": 0, "first": 0, "sampler": "heun", "steps": 20, "grid": "uniform", "shift": 1.0,
        "cfg_scale": 1.0, "guide_channels": null, "precision": "fp32", "passes": 40,      how samples were drawn
        "seconds": 12.3, "samples_per_second": 81.2,                              of drawing them, on this machine
        "samples": "uint8, as a user gets them: units and numbers of the data",
        "data": {"modality": "images", "path": null, "options": {...}, "fingerprint": "sha256 of the examples read"},
        "sets": {"train": 1437, "train_read": 1437, "train_cap": 20000, "train_used": 1437, "held_out": 360,
                 "held_out_read": 360, "held_out_cap": 10000, "reference": "held out", "ceiling_n": 1000},
        "spaces": {"pca-32": {"numbers": 32, "sha256": "...", "note": "..."},
                   "classifier-a": {"numbers": 64, "sha256": "...", "note": "...", "held_out_accuracy": 0.97}},
        "left_out": {"classifier-b": "why this space is not there"}},
     "records": [
        {"metric": "Frechet distance", "formula": "frechet-gaussian-1", "meaning": "one line on how it is computed",
         "space": "pca-32", "n": 1000, "seed": 0, "value": 1.23, "low": 1.1, "high": 1.4,     interval of 95 %, or null
         "floor": 45.6, "floor_name": "class means",            the better of the cheap baselines, null without one
         "floors": {"class means": 45.6, "resampled values": 78.9},
         "n_ceiling": 1000,               how many those are; 0 without a ceiling
         "draws": 0, "inputs": 0,         of fields: n is draws for each of so many held-out inputs; else 0
         "groups": 360,                   independent groups among the samples, which intervals rest on
         "ceiling": 0.5,                  real training against real held-out examples, same n, same function
         "share": 0.97,                   of the way from floor to ceiling; null where the floor may be the better, or
                                          lies within the interval of the target, or n_ceiling is another n (by 5 %)
                                          and the number depends on n
         "good_low": null, "good_high": null, "good": null,     bounds of a good model and whether they are kept
         "better": "lower",               "lower" or "higher" values; null where it is neither, or not known
         "failure": null,                                       why there is no value
         "channel": "",                   the physical quantity that it is of, in space "physical"
         "units": "", "target": null}],                         of the value; what it should be near
     "curves": {
        "held_out_loss_by_time": {"edges": [11 numbers], "values": [10], "low": [10], "high": [10], "draws": 256},
        "passes": {"asked": [4, 9], "passes": [4, 8], "steps": [2, 4], "seconds_per_sample": [0.01, 0.02],
                   "series": [{"metric": "...", "formula": "...", "space": "...", "values": [..], "low": [..],
                               "high": [..], "floor": 45.6, "ceiling": 0.5}]},
        "by_channel": {...},                                      of fields, see field_curves.py
        "cells": {...}}}                                          of cells, see cell_pages.py

Of bits per dimension the space is ``held out`` or ``train``, the examples whose bits they are, the ceiling is the bits
of training examples, and ``protocol.likelihood`` tells how they were computed. ``curves`` may be empty, and each of
the two may be absent. Of a modality's own metrics the space is ``modality``, the formula is ``MODALITY/METRIC`` and
``good`` is true or false where it states bounds. ``pixels`` (of 8- and 16-bit arrays) and ``values`` (of others) are
the same space: all numbers of a sample, in native units; of several channels of floats each in units of its standard
deviation over the training examples, which the note of the space then says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from beeline.core.errors import RunError
from beeline.core.files import read_json
from beeline.evaluate.outcome import Place
from beeline.metrics.catalogue import OF_SIZE

_SAME_N = 0.05
BEATEN = ", better than the samples"
SCORES, EVALUATIONS, OWN, PHYSICAL = "scores.json", "evaluations", "modality", "physical"


@dataclass(frozen=True)
class Record:
    """One number.

    Args:
        metric: its name.
        formula: id of its formula.
        meaning: how it is computed, in one line.
        space: feature space, or ``modality`` for a modality's own metric.
        n: how many samples it is computed on.
        seed: of the samples.
        value: what came out; NaN where it failed.
        low: lower end of its 95 % interval, NaN without one.
        high: upper end.
        floors: values of the cheap baselines, by name.
        ceiling: value of real training examples in the place of samples; NaN without one.
        good_low: smallest value of a good model.
        good_high: largest value of a good model.
        better: ``lower`` or ``higher`` values; None where it is neither, or not known.
        failure: why there is no value.
        channel: the physical quantity that it is of; empty where it is of whole samples.
        units: of the value; empty where it has none, or they are not known.
        target: value of samples that are right, where the number should be near one.
        n_ceiling: how many real examples the ceiling is of; 0 without one.
        draws: for each input, of numbers by input; else 0.
        inputs: how many, of numbers by input; else 0.
        groups: independent groups that the interval rests on; 0 where there are none to tell.
    """

    metric: str
    formula: str
    meaning: str
    space: str
    n: int
    seed: int
    value: float
    low: float = math.nan
    high: float = math.nan
    floors: Mapping[str, float] = field(default_factory=dict)
    ceiling: float = math.nan
    good_low: float = -math.inf
    good_high: float = math.inf
    better: str | None = None
    failure: str | None = None
    channel: str = ""
    units: str = ""
    target: float | None = None
    n_ceiling: int = 0
    draws: int = 0
    inputs: int = 0
    groups: int = 0

    @property
    def place(self) -> Place:
        """Where it belongs."""
        return self.formula, self.space, self.channel

    @property
    def name(self) -> str:
        """Its metric, and what it is of."""
        return f"{self.metric} of {self.channel}" if self.channel else self.metric

    @property
    def best(self) -> float:
        """What samples that are right reach: the target, else what real examples do; NaN where neither is known."""
        return self.ceiling if self.target is None else self.target

    @property
    def good(self) -> bool | None:
        """Whether the value keeps its bounds; None where it has none."""
        if math.isinf(self.good_low) and math.isinf(self.good_high):
            return None
        return self.good_low <= self.value <= self.good_high

    @property
    def floor_name(self) -> str | None:
        """The better baseline: the one whose value is nearest to the best; None where that cannot be told."""
        finite = [name for name, value in self.floors.items() if math.isfinite(value)]
        if finite and math.isfinite(self.best):
            return min(finite, key=lambda name: abs(self.floors[name] - self.best))
        if finite and self.better is not None:
            return (min if self.better == "lower" else max)(finite, key=self.floors.__getitem__)
        return None

    @property
    def floor(self) -> float:
        """Value of the better baseline, NaN without one."""
        return math.nan if self.floor_name is None else self.floors[self.floor_name]

    @property
    def beaten(self) -> bool:
        """Whether the better baseline beats the samples; never where nobody says which values are better."""
        return (
            self.floor < self.value if self.better == "lower" else self.better == "higher" and self.floor > self.value
        )

    @property
    def share(self) -> float:
        """Share of the gap between floor and best that is closed; NaN where the floor is not known to be the worse.

        A floor may be right by construction (training fields in the place of draws are calibrated). Against a target
        it counts only where it is farther from it than the value. The gap must be wider than half of the interval.
        """
        if self.target is not None:
            gap, off = abs(self.floor - self.target), abs(self.value - self.target)
            half = (self.high - self.low) / 2
            return 1 - off / gap if gap > off and not gap <= half else math.nan
        other_n = self.n_ceiling and abs(self.n_ceiling - self.n) > _SAME_N * self.n
        if other_n and self.formula in OF_SIZE:
            return math.nan
        worse = self.floor > self.ceiling if self.better == "lower" else self.floor < self.ceiling
        if self.better is None or not worse or abs(self.floor - self.ceiling) <= (self.high - self.low) / 2:
            return math.nan
        return (self.value - self.floor) / (self.ceiling - self.floor)

    def as_json(self) -> dict[str, Any]:
        """The record as JSON can hold it: what is not a finite number is null."""
        more = {"floor": self.floor, "floor_name": self.floor_name, "share": self.share, "good": self.good}
        return {name: finite(value) for name, value in {**asdict(self), **more}.items()}

    def verdict(self) -> str:
        """Its bounds and whether it keeps them; empty where there are none."""
        if self.failure is not None:
            return f"failed: {self.failure}"
        pairs = (("at least", self.good_low), ("at most", self.good_high))
        bounds = [f"{word} {bound:g}" for word, bound in pairs if math.isfinite(bound)]
        return f"{' and '.join(bounds)}: {'reached' if self.good else 'missed'}" if bounds else ""

    def context(self) -> str:
        """What it is to be compared with: floor and ceiling, where there are such."""
        known = {
            f"floor {short(self.floor)} ({self.floor_name}{BEATEN if self.beaten else ''})": self.floor,
            f"ceiling {short(self.ceiling)}": self.ceiling,
            f"right {short(self.target or 0.0)}": math.nan if self.target is None else self.target,
        }
        return ", ".join(text for text, value in known.items() if math.isfinite(value))

    def line(self) -> str:
        """The record for people, in one line."""
        name = self.name if self.space in (OWN, PHYSICAL) else f"{self.name} ({self.space})"
        interval = f" [{short(self.low)}, {short(self.high)}]" if math.isfinite(self.low) else ""
        verdict = f" ({self.verdict()})" if self.verdict() else ""
        units = f" {self.units}" if self.units else ""
        return f"{name} {short(self.value)}{interval}{units}{verdict}" + (
            f"; {self.context()}" if self.context() else ""
        )


@dataclass(frozen=True)
class Evaluation:
    """Records with the protocol by which they were made.

    Args:
        protocol: everything that it takes to make them again.
        records: one a number.
        curves: loss by time, quality by passes.
    """

    protocol: Mapping[str, Any]
    records: Sequence[Record]
    curves: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The layout above."""
        records = [record.as_json() for record in self.records]
        return {"protocol": finite(self.protocol), "records": records, "curves": finite(self.curves)}

    def refuse_failures(self) -> None:
        """End with an error where one of the modality's own metrics failed, once everything else is done.

        Raises:
            RunError: naming the metric.
        """
        for record in self.records:
            if record.space == OWN and record.failure is not None:
                raise RunError(
                    f"metric '{record.metric}' failed ({record.failure}); everything else is done and written"
                )


def read_evaluations(run: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Every evaluation of a run, oldest first: ``scores.json``, then ``evaluations/``; empty files are left out.

    Raises:
        UserError: a file is damaged.
    """
    paths = [run / SCORES, *sorted((run / EVALUATIONS).glob("evaluation-*.json"))]
    return [(path, read_json(path)) for path in paths if path.is_file() and path.stat().st_size]


def finite(value: Any) -> Any:
    """A value as JSON can hold it: numbers that are not finite become null, at any depth."""
    if isinstance(value, Mapping):
        return {str(name): finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def short(value: float) -> str:
    """A number for people: three decimals, four digits where that says too little or too much."""
    if value == 0 or 0.01 <= abs(value) < 1000 or not math.isfinite(value):
        return f"{value:.3f}"
    four = f"{value:.4g}"
    return f"{float(four):,.0f}" if 1000 <= abs(value) < 1e12 else four

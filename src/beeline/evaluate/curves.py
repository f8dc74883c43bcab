"""Curves of a trained model: held-out loss by time, quality by network passes."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from beeline.core.config import build
from beeline.core.data import Example
from beeline.core.errors import UserError, whole_number
from beeline.core.random import Key
from beeline.evaluate.evaluation import Drawn, Evaluator, Progress
from beeline.evaluate.outcome import estimate_at
from beeline.evaluate.records import Record
from beeline.evaluate.requests import requests_like
from beeline.evaluate.sets import spread
from beeline.generate.engine import Engine
from beeline.generate.load import locate, read_description
from beeline.metrics.intervals import bootstrap
from beeline.model.build import build_objective
from beeline.objectives.config import ObjectiveConfig
from beeline.process.config import TimeConfig
from beeline.samplers.compatible import FEWEST_STEPS, SDE_SAMPLERS
from beeline.samplers.config import SampleConfig

_BINS, _DRAWS, _AT_ONCE = 10, 256, 64


def held_out_loss_by_time(engine: Engine, path: Path, held_out: Sequence[Example], seed: int) -> dict[str, Any]:
    """The run's objective with averaged weights on held-out examples, in 10 equal bins of its times.

    Every bin has the same 256 examples (fewer where fewer are held out) and as many times, uniform within it: of the
    numbered draws of a uniform density it takes the first that fall into it. The loss at a time does not depend on the
    density of training. Intervals are bootstraps over these pairs of example and draw.

    Args:
        engine: the model.
        path: where it was opened from.
        held_out: examples that it has not seen.
        seed: of times and noise.
    """
    settings = read_description(locate(path)[1])["config"]["objective"]
    config = dataclasses.replace(build(ObjectiveConfig, settings, "objective"), time=TimeConfig(density="uniform"))
    objective = build_objective(config, engine.process, engine.source, engine.codec)
    low, high = engine.process.interval(objective.prediction)
    edges = np.linspace(low, high, _BINS + 1)
    encoded = [engine.codec.encode(held_out[index]) for index in spread(len(held_out), _DRAWS)]
    many = Key.range(seed, 0, 4 * _BINS * len(encoded) + 1000).fold("loss by time")
    places = np.clip(np.searchsorted(edges, objective.times(many).double().numpy(), side="right") - 1, 0, _BINS - 1)
    estimates = []
    for place in range(_BINS):
        numbers = torch.from_numpy(np.flatnonzero(places == place)[: len(encoded)])
        losses = []
        for start in range(0, len(numbers), _AT_ONCE):
            piece = numbers[start : start + _AT_ONCE].to(engine.device)
            batch = engine.codec.batch(encoded[start : start + len(piece)]).to(str(engine.device))
            with torch.no_grad():
                losses.append(objective(engine.network, batch, Key(seed, piece, many.purpose)).double().cpu())
        estimates.append(bootstrap([torch.cat(losses).numpy()], np.mean, seed))
    return {
        "edges": edges.tolist(),
        "values": [each.value for each in estimates],
        "low": [each.low for each in estimates],
        "high": [each.high for each in estimates],
        "draws": len(encoded),
    }


def steps_for_passes(engine: Engine, settings: SampleConfig, passes: Sequence[int], example: Example) -> list[int]:
    """For each number of network passes the most steps that cost no more, as provenance counts them.

    Every step of a solver costs the same, so two walks of one sample tell the cost of a step and of the end; where
    guidance is not for all times, walks of one sample are tried until the number is found.

    Args:
        engine: the model.
        settings: the sampler, its guidance and grid.
        passes: at least one step's worth each.
        example: whose condition and form is asked for.

    Raises:
        UserError: a number is too small for the fewest steps that the sampler can take, or it chooses its own.
    """
    if settings.sampler == "one_pass":
        raise UserError("passes: this model is a regression, whose answer takes one network pass; leave the option out")
    if settings.sampler == "dopri5":
        raise UserError("passes: sampler dopri5 chooses its own steps, each sample's apart; use one with fixed steps")
    request = requests_like([example], 1, engine)
    fewest = FEWEST_STEPS.get(settings.sampler, 1)
    if settings.sampler in SDE_SAMPLERS and engine.process.known_end is None:
        settings = dataclasses.replace(settings, diffusion_scale=0.0)  # costs the same, and any number of steps will do

    def cost(steps: int) -> int:
        return int(engine.generate(request, 0, dataclasses.replace(settings, steps=steps)).provenance["passes"])

    costs = [cost(fewest), cost(fewest + 1)]
    each = costs[1] - costs[0]
    for wanted in passes:
        whole_number("passes", wanted, 1)
        if wanted < costs[0]:
            least = "one step" if fewest == 1 else f"{fewest} steps"
            costing = "costs" if fewest == 1 else "cost"
            raise UserError(f"passes {wanted}: {least} of {settings.sampler} {costing} {costs[0]} network passes here")
    if settings.cfg_interval is not None or settings.guide_by is not None:
        every = [range(fewest, wanted + 1) for wanted in passes]
        return [
            fewest - 1 + bisect.bisect_right(steps, wanted, key=cost)
            for steps, wanted in zip(every, passes, strict=True)
        ]
    return [fewest + (wanted - costs[0]) // each for wanted in passes]


def quality_by_passes(
    evaluator: Evaluator,
    settings: SampleConfig,
    passes: Sequence[int],
    records: Sequence[Record],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Every number at several costs, on the same start noise.

    Args:
        evaluator: of the model.
        settings: how samples are drawn, save for the number of steps.
        passes: network passes a sample, at most.
        records: of the run's own setting: how many samples, which seed, floors and ceilings.
        progress: called with (draws done, draws in all).

    Raises:
        UserError: a number of passes is too small for one step.
    """
    wanted = sorted(set(passes))
    steps = steps_for_passes(evaluator.engine, settings, wanted, evaluator.held_out[0])
    n = max(record.n for record in records)  # numbers of fields may be of fewer, which go round the inputs
    drawn: list[Drawn] = []
    outcomes = []
    for number, count in enumerate(steps):
        drawn.append(evaluator.draw(n, records[0].seed, dataclasses.replace(settings, steps=count)))
        outcomes.append(evaluator.quick(drawn[-1]))
        if progress is not None:
            progress(number + 1, len(steps))
    series = []
    for record in records:
        found = [estimate_at(each, record.place) for each in outcomes]
        series.append(
            {
                **{name: getattr(record, name) for name in ("metric", "formula", "space", "channel")},
                "values": [each.value for each in found],
                "low": [each.low for each in found],
                "high": [each.high for each in found],
                "floor": record.floor,
                "ceiling": record.ceiling,
            }
        )
    return {
        "asked": wanted,
        "passes": [each.samples.provenance["passes"] for each in drawn],
        "steps": steps,
        "seconds_per_sample": [each.seconds / len(each.samples.examples) for each in drawn],
        "series": series,
    }

"""Quality against network passes, on the same starts and conditions, beside a reference of many passes.

python -m benchmarks.passes RUN [--samplers NAME ...] [--passes 4 8 ...] [--reference heun:250] [-n 1000] [--json FILE]

For every sampler and number of passes: Frechet distance and unbiased MMD^2 to the held-out examples in each space, and
their difference to the reference with its 95 % interval: a jackknife in which the same samples (pairs of one seed) and
the same held-out examples are left out on both sides, a twentieth at a time. ``=`` stands where the interval holds 0.
Adaptive solvers choose their passes: they are asked for with tolerances in place of passes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from beeline.core.allocator import keep_freed_memory
from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.evaluate.curves import steps_for_passes
from beeline.evaluate.evaluation import Evaluator
from beeline.evaluate.requests import real_examples
from beeline.generate.load import load
from beeline.metrics.frechet import frechet_distance
from beeline.metrics.intervals import group_of, jackknife
from beeline.metrics.mmd import KernelDiscrepancy, median_bandwidth
from beeline.samplers.config import SampleConfig

Array = np.ndarray[Any, Any]
ADAPTIVE = "dopri5"
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
SPACES = ("pca-32", "classifier-a")


def difference(statistic: Callable[[Array, Array], float], real: Array, one: Array, other: Array) -> dict[str, float]:
    """Statistic of one set of samples, and how much larger it is than that of the other, with an interval."""
    value, reference = statistic(real, one), statistic(real, other)
    samples, examples = group_of(len(one)), group_of(len(real))

    def without(keep_real: Array, keep: Array) -> float:
        return statistic(real[keep_real], one[keep]) - statistic(real[keep_real], other[keep])

    everything = np.ones(len(real), dtype=bool), np.ones(len(one), dtype=bool)
    left_out = [
        np.array([without(everything[0], samples != group) for group in np.unique(samples)]),
        np.array([without(examples != group, everything[1]) for group in np.unique(examples)]),
    ]
    estimate = jackknife(value - reference, left_out)
    return {"value": value, "difference": estimate.value, "low": estimate.low, "high": estimate.high}


def statistics_of(real: Array) -> dict[str, Callable[[Array, Array], float]]:
    """Frechet distance and MMD^2, whose bandwidth is that of the whole real set."""
    bandwidth = median_bandwidth(real)
    return {
        "frechet": lambda real, samples: frechet_distance(real, samples).value,
        "mmd": lambda real, samples: KernelDiscrepancy(real, bandwidth)(samples).value,
    }


def drawn(evaluator: Evaluator, settings: SampleConfig, n: int) -> tuple[list[Example], float, float]:
    """Samples, passes each on average, and seconds."""
    found = evaluator.draw(n, 0, settings)
    return found.samples.examples, float(np.mean(found.samples.provenance["passes"])), found.seconds


def settings_of(evaluator: Evaluator, sampler: str, passes: list[int]) -> list[SampleConfig]:
    """Options of each point of a sampler's curve."""
    engine = evaluator.engine
    if sampler == ADAPTIVE:
        return [engine.settings(sampler=sampler, rtol=each, atol=each) for each in TOLERANCES]  # type: ignore[arg-type]
    options = engine.settings(sampler=sampler)  # type: ignore[arg-type]
    found = []
    for wanted in passes:
        try:
            steps = steps_for_passes(engine, options, [wanted], evaluator.sets.held_out[0])[0]
            found.append(dataclasses.replace(options, steps=steps))
        except UserError:
            continue
    return found


def tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table for each number: samplers below one another, passes beside; = is not told apart from the reference."""
    text = []
    for name in [key for key, value in rows[0].items() if isinstance(value, dict)]:
        samplers = list(dict.fromkeys(row["sampler"] for row in rows))
        text += [f"\n{name}\n", "| sampler | passes: value |", "| --- | --- |"]
        for sampler in samplers:
            cells = []
            for row in (each for each in rows if each["sampler"] == sampler):
                found = row[name]
                same = not found["low"] > 0 and not found["high"] < 0
                cells.append(f"{row['passes']:.0f}: {found['value']:.4g}{' =' if same else ''}")
            text.append(f"| `{sampler}` | {' · '.join(cells)} |")
    return "\n".join(text)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--samplers", nargs="+", default=["euler", "heun", "dpmpp_2m"])
    parser.add_argument("--passes", type=int, nargs="+", default=[4, 8, 12, 16, 25, 50])
    parser.add_argument("--reference", default="heun:250")
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    keep_freed_memory()
    engine = load(arguments.run)
    training, held_out = (real_examples(engine, split) for split in ("train", "held_out"))
    evaluator = Evaluator(engine, arguments.run, training, held_out, SPACES)
    spaces = {reference.space.name: reference.space.embed for reference in evaluator.measures.references}
    real = {name: embed(evaluator.sets.held_out) for name, embed in spaces.items()}
    sampler, _, passes = arguments.reference.partition(":")
    best = drawn(evaluator, settings_of(evaluator, sampler, [int(passes)])[0], arguments.n)[0]
    target = {name: embed(best) for name, embed in spaces.items()}
    rows = []
    for sampler in arguments.samplers:
        for settings in settings_of(evaluator, sampler, arguments.passes):
            samples, spent, seconds = drawn(evaluator, settings, arguments.n)
            row: dict[str, Any] = {"sampler": sampler, "steps": settings.steps, "passes": spent, "seconds": seconds}
            for name, embed in spaces.items():
                for metric, statistic in statistics_of(real[name]).items():
                    row[f"{metric} {name}"] = difference(statistic, real[name], embed(samples), target[name])
            rows.append(row)
            cells = [
                f"{label} {each['value']:.4g} ({each['low']:+.3g} to {each['high']:+.3g})"
                + (" =" if each["low"] <= 0 <= each["high"] else "")
                for label, each in row.items()
                if isinstance(each, dict)
            ]
            print(sampler, f"{spent:.1f}", f"{seconds:.1f} s", *cells, sep=" | ", flush=True)
    print(tables(rows))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Scoring a trained model by its modality's own metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from beeline.core.data import Examples
from beeline.core.errors import RunError
from beeline.generate.engine import Engine, Request, Samples
from beeline.samplers.config import SampleConfig


@dataclass(frozen=True)
class Score:
    """One number.

    Args:
        name: of the metric.
        formula: how it is computed.
        value: what came out.
        low: smallest value of a good model.
        high: largest value of a good model.
        n: how many generated samples it is computed on.
        good: whether the value lies between the two.
        failure: why there is no value, where the metric failed.
    """

    name: str
    formula: str
    value: float
    low: float
    high: float
    n: int
    good: bool
    failure: str | None = None

    def record(self) -> dict[str, Any]:
        """The score as JSON can hold it: what is not a finite number is null."""
        numbers = {name: getattr(self, name) for name in ("value", "low", "high")}
        return {**asdict(self), **{name: each if math.isfinite(each) else None for name, each in numbers.items()}}

    def verdict(self) -> str:
        """Its bounds and whether it keeps them; empty where there are none."""
        if self.failure is not None:
            return f"failed: {self.failure}"
        pairs = (("at least", self.low), ("at most", self.high))
        bounds = [f"{word} {bound:g}" for word, bound in pairs if abs(bound) != float("inf")]
        return f"{' and '.join(bounds)}: {'reached' if self.good else 'missed'}" if bounds else ""

    def line(self) -> str:
        """The score for people."""
        return f"{self.name} {self.value:.3f}" + (f" ({verdict})" if (verdict := self.verdict()) else "")


def requests_like(examples: Examples, n: int, engine: Engine) -> list[Request]:
    """What the first n examples, taken round and round, would ask for: their conditions and their form."""
    picked = [examples[index % len(examples)] for index in range(n)]
    return [Request(example.condition, engine.codec.form(example.array)) for example in picked]


def evaluate(
    engine: Engine,
    training: Examples,
    held_out: Examples,
    n: int = 1000,
    seed: int = 0,
    settings: SampleConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Score], Samples]:
    """Generate samples under held-out conditions and score them.

    Args:
        engine: the model.
        training: examples that it has seen.
        held_out: examples that it has not, whose conditions and forms are asked for.
        n: how many samples.
        seed: of the samples.
        settings: how they are drawn; the run's own when None.
        progress: called with (steps done, steps in all).
    """
    samples = engine.generate(requests_like(held_out, n, engine), seed, settings, progress=progress)
    return score(engine, training, held_out, samples), samples


def score(engine: Engine, training: Examples, held_out: Examples, samples: Samples) -> list[Score]:
    """The modality's metrics of some samples; one that fails has no value and says why."""
    scores = []
    for metric in engine.modality.metrics():
        value, failure = math.nan, None
        try:
            value = float(metric.function(training, held_out, samples.examples))
        except Exception as error:
            failure = " ".join(f"{type(error).__name__}: {error}".split())
        bounds = (metric.low, metric.high, len(samples.examples), metric.passes(value))
        scores.append(Score(metric.name, metric.formula, value, *bounds, failure))
    return scores


def refuse_failures(scores: Sequence[Score]) -> None:
    """End with an error where a metric failed, once everything else is done.

    Raises:
        RunError: naming the metric.
    """
    for score in scores:
        if score.failure is not None:
            raise RunError(f"metric '{score.name}' failed ({score.failure}); everything else is done and written")


def scores_record(scores: Sequence[Score], samples: Samples) -> dict[str, Any]:
    """Scores with the provenance of the samples they are computed on, as JSON can hold them."""
    return {"protocol": samples.provenance, "scores": [score.record() for score in scores]}

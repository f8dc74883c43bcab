"""Scoring a trained model by its modality's own metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from beeline.core.data import Examples
from beeline.core.errors import RunError
from beeline.generate.engine import Engine, Request, Samples
from beeline.samplers.config import SampleConfig

_MOST_PAGES = 20


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
    """

    name: str
    formula: str
    value: float
    low: float
    high: float
    n: int
    good: bool

    def record(self) -> dict[str, Any]:
        """The score as JSON can hold it: bounds that do not exist are null."""
        finite = {
            name: None if abs(getattr(self, name)) == float("inf") else getattr(self, name) for name in ("low", "high")
        }
        return {**asdict(self), **finite}

    def verdict(self) -> str:
        """Its bounds and whether it keeps them; empty where there are none."""
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
    n: int = 1000,
    seed: int = 0,
    settings: SampleConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Score], Samples]:
    """Generate samples under held-out conditions and score them.

    Args:
        engine: the model.
        n: how many samples.
        seed: of the samples.
        settings: how they are drawn; the run's own when None.
        progress: called with (steps done, steps in all).
    """
    training, held_out = engine.modality.dataset("train"), engine.modality.dataset("held_out")
    samples = engine.generate(requests_like(held_out, n, engine), seed, settings, progress=progress)
    return score(engine, training, held_out, samples), samples


def score(engine: Engine, training: Examples, held_out: Examples, samples: Samples) -> list[Score]:
    """The modality's metrics of some samples."""
    scores = []
    for metric in engine.modality.metrics():
        try:
            value = float(metric.function(training, held_out, samples.examples))
        except Exception as error:
            raise RunError(f"metric '{metric.name}' failed ({type(error).__name__}: {error})") from error
        scores.append(
            Score(
                metric.name, metric.formula, value, metric.low, metric.high, len(samples.examples), metric.passes(value)
            )
        )
    return scores


def scores_record(scores: Sequence[Score], samples: Samples) -> dict[str, Any]:
    """Scores with the provenance of the samples they are computed on, as JSON can hold them."""
    return {"protocol": samples.provenance, "scores": [score.record() for score in scores]}


def gallery(engine: Engine, held_out: Examples, rows: int = 8, columns: int = 8) -> dict[str, list[Request]]:
    """What to show of a model: a page for each value of its first condition with a choice, else one page.

    Args:
        engine: the model.
        held_out: examples whose conditions and forms are borrowed.
        rows: rows a page when there is one page.
        columns: samples a row.
    """
    for condition in engine.codec.conditions:
        if condition.choices is not None:
            return {
                f"{condition.name}-{choice}": _with(
                    requests_like(held_out, 2 * columns, engine), condition.name, choice
                )
                for choice in condition.choices[:_MOST_PAGES]
            }
    return {"all": requests_like(held_out, rows * columns, engine)}


def _with(requests: Sequence[Request], name: str, value: Any) -> list[Request]:
    return [Request({**request.condition, name: value}, request.form) for request in requests]

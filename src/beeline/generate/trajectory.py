"""Samples on their way from noise to data: where they are and what the model expects them to become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beeline.core.data import Example, Examples
from beeline.core.prediction import Prediction
from beeline.core.tokens import Tokens
from beeline.generate.engine import Engine, Request
from beeline.samplers.config import SampleConfig


@dataclass(frozen=True)
class Stage:
    """Samples at one node of a sampling grid.

    Args:
        t: the time, 0 for the finished samples.
        noisy: x_t as native arrays.
        expected: E[x0 | x_t, c] as native arrays; the samples themselves at the end.
    """

    t: float
    noisy: Examples
    expected: Examples


def trajectory(
    engine: Engine, requests: Sequence[Request], seed: int = 0, settings: SampleConfig | None = None, stages: int = 8
) -> list[Stage]:
    """Samples at a few nodes of the grid, evenly spread, from the first to the finished sample.

    It costs no network pass beyond those of drawing the samples: both arrays of a stage are what the solver sees when
    it leaves a node.

    Args:
        engine: the model.
        requests: what to draw; item i is the sample that ``engine.generate`` draws.
        seed: of the samples.
        settings: how they are drawn; the run's own when None.
        stages: at most this many, at least 2.

    Raises:
        UserError: a setting is out of range or a condition does not fit.
    """
    steps = (settings or engine.defaults).steps
    wanted = {round(index * steps / (stages - 1)) for index in range(stages)} - {steps}
    seen: dict[int, Prediction] = {}
    step = 0

    def watch(prediction: Prediction) -> None:
        if step in wanted:
            seen.setdefault(step, prediction)  # later ones of the same step are within it, not at the node

    def after_step(done: int, _: int) -> None:
        nonlocal step
        step = done

    samples = engine.generate(requests, seed, settings, len(requests), after_step, watch=watch)

    def native(tokens: Tokens) -> Examples:
        arrays = engine.codec.decode(tokens, [each.condition for each in samples.examples])
        return [Example(array, example.condition) for array, example in zip(arrays, samples.examples, strict=True)]

    found = [Stage(float(each.t[0]), native(each.x_t), native(each.x_t.with_values(each.x0))) for each in seen.values()]
    return [*found, Stage(0.0, samples.examples, samples.examples)]

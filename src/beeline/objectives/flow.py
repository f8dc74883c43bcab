"""Regression of any prediction along any Gaussian path; rectified flow is the velocity on the straight path.

    loss = w(t) |y_theta(x_t, t, c) - y|^2,   y = a(t) x0 + b(t) e,   x_t = alpha x0 + sigma e

What families make of it (families.py): score matching is the noise on the path of an SDE, EDM its F on the path that
only adds noise. Source: Liu et al. 2022 (rectified flow), Kingma & Gao 2023 (weightings as one family).

Shapes: B rows, L tokens a row, C numbers a token, N samples.
"""

from __future__ import annotations

from torch import Tensor

from beeline.core.data import Batch
from beeline.core.protocols import Predictor, Process, Source
from beeline.core.random import Key
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.losses import Regression
from beeline.process.densities import TimeDensity


class Flow:
    """Weighted error of a prediction, one value a sample.

    Args:
        config: prediction, loss, weighting and times.
        process: the path.
        source: where noise comes from.
        channels: (1, 1, C) weights of the channels in a token; None for all alike.

    Raises:
        UserError: a name is unknown or a number out of range.
    """

    outputs = 1

    def __init__(
        self, config: ObjectiveConfig, process: Process, source: Source, channels: Tensor | None = None
    ) -> None:
        self.regression = Regression(config, process, channels)
        self.learned = self.regression.learned
        self.prediction = config.prediction
        self.process = process
        self.source = source
        self.density = TimeDensity(config.time, process.interval(config.prediction), process)

    def times(self, key: Key) -> Tensor:
        """(N,) the times that ``__call__`` draws for these samples."""
        return self.density.sample(key.fold("time"))

    def __call__(self, predictor: Predictor, batch: Batch, key: Key) -> Tensor:
        """(N,) one loss a sample."""
        t = self.times(key)
        data = self.process.placed(batch.tokens, batch.conditions)
        noise = self.source.sample(data, batch.noise_key(key))
        predicted = predictor(self.process.mix(data, noise, t), t, batch.conditions.drop(key.fold("drop")))
        return self.regression(predicted, data, noise)

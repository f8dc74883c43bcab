"""Regression of any prediction along any Gaussian path; rectified flow is the velocity on the straight path.

    loss = w(t) |y_theta(x_t, t, c) - y|^2,   y = a(t) x0 + b(t) e,   x_t = alpha x0 + sigma e

Source: Liu et al. 2022 (rectified flow), Kingma & Gao 2023 (weightings as one family).

Shapes: B rows, L tokens a row, C numbers a token, N samples.
"""

from __future__ import annotations

from torch import Tensor

from beeline.core.data import Batch
from beeline.core.prediction import Prediction
from beeline.core.protocols import Predictor, Process, Source
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.weights import TimeWeight
from beeline.process.densities import TimeDensity


class Flow:
    """Mean squared error of a prediction, one value a sample.

    Args:
        config: prediction, weighting and times.
        process: the path.
        source: where noise comes from.

    Raises:
        UserError: a name is unknown or a number out of range.
    """

    outputs = 1

    def __init__(self, config: ObjectiveConfig, process: Process, source: Source) -> None:
        self.weight = TimeWeight(config, process)
        self.prediction = config.prediction
        self.process = process
        self.source = source
        self.density = TimeDensity(config.time, process.interval(config.prediction))

    def times(self, key: Key) -> Tensor:
        """(N,) the times that ``__call__`` draws for these samples."""
        return self.density.sample(key.fold("time"))

    def __call__(self, predictor: Predictor, batch: Batch, key: Key) -> Tensor:
        """(N,) one loss a sample."""
        t = self.times(key)
        noise = self.source.sample(batch.tokens, batch.noise_key(key))
        data = self.process.placed(batch.tokens, batch.conditions)
        predicted = predictor(self.process.mix(data, noise, t), t, batch.conditions.drop(key.fold("drop")))
        return self.weight(t) * squared_error(predicted, self.prediction, data, noise)


def squared_error(predicted: Prediction, kind: str, data: Tokens, noise: Tensor) -> Tensor:
    """(N,) mean squared error of a prediction over the numbers of each sample.

    Args:
        predicted: at the noisy samples.
        kind: of prediction whose error is meant.
        data: that it was made from.
        noise: (B, L, C) that was mixed in.
    """
    error = predicted.as_kind(kind) - predicted.process.target(data, noise, predicted.t, kind)
    return data.sample_mean(error.square())

"""Regression of any prediction along any Gaussian path; rectified flow is the velocity on the straight path.

    loss = w(t) |y_theta(x_t, t, c) - y|^2,   y = a(t) x0 + b(t) e,   x_t = alpha x0 + sigma e

Source: Liu et al. 2022 (rectified flow), Kingma & Gao 2023 (weightings as one family).

Shapes: B rows, L tokens a row, C numbers a token, N samples.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from beeline.core.data import Batch
from beeline.core.errors import unknown
from beeline.core.protocols import Predictor, Process, Source
from beeline.core.random import Key
from beeline.objectives.config import ObjectiveConfig, Weighting
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
        if config.weighting not in get_args(Weighting):
            raise unknown("objective.weighting", config.weighting, get_args(Weighting))
        self.prediction = config.prediction
        self.weighting = config.weighting
        if self.weighting == "auto":
            self.weighting = "snr" if config.prediction == "score" else "uniform"
        self.process = process
        self.source = source
        self.density = TimeDensity(config.time, process.interval(config.prediction))

    def times(self, key: Key) -> Tensor:
        """(N,) the times that ``__call__`` draws for these samples."""
        return self.density.sample(key.fold("time"))

    def __call__(self, predictor: Predictor, batch: Batch, key: Key) -> Tensor:
        """(N,) one loss a sample."""
        t = self.times(key)
        noise = self.source.sample(batch.tokens, key.fold("noise"))
        x_t = self.process.mix(batch.tokens, noise, t)
        predicted = predictor(x_t, t, batch.conditions.drop(key.fold("drop")))
        a, b = (x_t.expand(c) for c in self.process.coefficients(t, self.prediction))
        error = predicted.as_kind(self.prediction) - (a * batch.tokens.values + b * noise)
        return self.weight(t) * batch.tokens.sample_mean(error.square())

    def weight(self, t: Tensor) -> Tensor:
        """(N,) factor on the squared error of the prediction.

        An error dy moves the noise read from it by alpha dy / (alpha b - sigma a), whence
        snr:     (alpha / (alpha b - sigma a))^2, which for the score is sigma^2   (Song et al. 2021, section 3.3)
        min_snr: the same times min(SNR, 5) / SNR = min(1, 5 sigma^2 / alpha^2)   (Hang et al. 2023, section 3.4)
        """
        if self.weighting == "uniform":
            return torch.ones_like(t)
        alpha, sigma = self.process.alpha(t), self.process.sigma(t)
        a, b = self.process.coefficients(t, self.prediction)
        weight = (alpha / (alpha * b - sigma * a)).square()
        if self.weighting == "snr":
            return weight
        return torch.minimum(weight, 5.0 * (sigma / (alpha * b - sigma * a)).square())

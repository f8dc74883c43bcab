"""The objectives of DDPM: regression at the levels of a discrete process, and its variational bound.

    mse      w |y_theta - y|^2, or another penalty (losses.py)  Ho et al. 2020, equation 14
    hybrid   mse + vlb_weight * bound term, mean detached       Nichol & Dhariwal 2021, equation 16
    vlb      T * bound term                                     an unbiased estimate of the whole bound (bound.py)

Networks meet whole level numbers only. Without a learned variance only mse is left.

Shapes: N samples, T levels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from beeline.core.data import Batch
from beeline.core.errors import UserError
from beeline.core.prediction import Prediction
from beeline.core.protocols import Predictor, Source
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.objectives.bound import bound_term
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.losses import Regression
from beeline.process.ddpm import DiscreteDDPM
from beeline.process.densities import TimeDensity


class DDPM:
    """Loss of a prediction, and of the variance of its steps, at random levels, one value a sample.

    Args:
        config: prediction, loss, weighting and times.
        process: the levels.
        source: where noise comes from.
        channels: (1, 1, C) weights of the channels in a token; None for all alike.

    Raises:
        UserError: a name is unknown, or x0 and e cannot be read from the prediction at every level.
    """

    def __init__(
        self, config: ObjectiveConfig, process: DiscreteDDPM, source: Source, channels: Tensor | None = None
    ) -> None:
        low, high = process.interval(config.prediction)
        if (low, high) != (process.t_min, process.t_max):
            raise UserError(
                f"objective.prediction {config.prediction}: data and noise cannot be read from it at every level of "
                f"this process, only for t from {low:.4g} to {high:.4g}; use noise, data or v"
            )
        self.prediction = config.prediction
        self.outputs = 2 if config.variance == "learned" else 1
        self.loss = config.resolved_loss
        self.vlb_weight = config.vlb_weight
        self.data_levels = config.data_levels
        self.regression = None if self.loss == "vlb" else Regression(config, process, channels)
        self.learned = None if self.regression is None else self.regression.learned
        self.process = process
        self.source = source
        self.density = TimeDensity(config.time, (0.0, 1.0), process)

    def times(self, key: Key) -> Tensor:
        """(N,) the times that ``__call__`` draws for these samples: those of levels."""
        place = self.density.sample(key.fold("time")) * self.process.levels
        return self.process.time(place.long().clamp(max=self.process.levels - 1)).to(torch.float32)

    def __call__(self, predictor: Predictor, batch: Batch, key: Key) -> Tensor:
        """(N,) one loss a sample."""
        t = self.times(key)
        noise = self.source.sample(batch.tokens, batch.noise_key(key))
        x_t = self.process.mix(batch.tokens, noise, t)
        predicted = predictor(x_t, t, batch.conditions.drop(key.fold("drop")))
        if self.regression is None:
            return self.process.levels * self._bound_term(batch.tokens, predicted, learn_mean=True)
        error = self.regression(predicted, batch.tokens, noise)
        if self.loss != "hybrid":
            return error
        return error + self.vlb_weight * self._bound_term(batch.tokens, predicted, learn_mean=False)

    def _bound_term(self, data: Tokens, predicted: Prediction, learn_mean: bool) -> Tensor:
        return bound_term(self.process, data, predicted, learn_mean, self.data_levels)

"""The objectives of DDPM: regression at the levels of a discrete process, and its variational bound.

    mse      w |y_theta - y|^2                                  Ho et al. 2020, equation 14
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
from beeline.core.protocols import Predictor, Source
from beeline.core.random import Key
from beeline.objectives.bound import bound_term
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.flow import squared_error
from beeline.objectives.weights import TimeWeight
from beeline.process.ddpm import DiscreteDDPM
from beeline.process.densities import TimeDensity


class DDPM:
    """Loss of a prediction, and of the variance of its steps, at random levels, one value a sample.

    Args:
        config: prediction, loss, weighting and times.
        process: the levels.
        source: where noise comes from.

    Raises:
        UserError: a name is unknown, or x0 and e cannot be read from the prediction at every level.
    """

    def __init__(self, config: ObjectiveConfig, process: DiscreteDDPM, source: Source) -> None:
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
        self.weight = TimeWeight(config, process)
        self.process = process
        self.source = source
        self.density = TimeDensity(config.time, (0.0, 1.0))

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
        if self.loss == "vlb":
            return self.process.levels * bound_term(self.process, batch.tokens, predicted, learn_mean=True)
        error = self.weight(t) * squared_error(predicted, self.prediction, batch.tokens, noise)
        if self.loss == "mse":
            return error
        return error + self.vlb_weight * bound_term(self.process, batch.tokens, predicted, learn_mean=False)

"""From the errors of a prediction to one loss a sample.

    loss = mean over the observed numbers of  c rho(sqrt(w(t)) (y_theta - y))

    mse     rho(x) = x^2
    l1      rho(x) = |x|
    huber   rho(x) = x^2 for |x| <= delta, delta (2 |x| - delta) beyond: twice the function of Huber 1964, equation 7.1,
            so that it becomes mse where delta is large

w(t) is the weight of a squared error (weights.py); its root brings the error into the units in which errors count
evenly, which are those of delta. c are the weights of the channels, whose mean is 1.

Shapes: B rows, L tokens a row, C numbers a token, N samples.
"""

from __future__ import annotations

from torch import Tensor

from beeline.core.errors import UserError
from beeline.core.prediction import Prediction
from beeline.core.protocols import Process
from beeline.core.tokens import Tokens
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.weights import LogVariance, TimeWeight


class Regression:
    """The weighted error of a prediction, one value a sample.

    Args:
        config: prediction, loss and weighting.
        process: the path.
        channels: (1, 1, C) weights of the channels where their numbers are in a token; None for all alike.

    Raises:
        UserError: a name is unknown.
    """

    def __init__(self, config: ObjectiveConfig, process: Process, channels: Tensor | None = None) -> None:
        self.prediction = config.prediction
        self.loss = "mse" if config.resolved_loss == "hybrid" else config.resolved_loss
        self.delta = config.huber_delta
        self.weight = TimeWeight(config, process)
        self.channels = None if channels is None else channels / channels.mean()
        self.learned = LogVariance() if self.weight.weighting == "learned" else None

    def __call__(self, predicted: Prediction, data: Tokens, noise: Tensor) -> Tensor:
        """(N,) one loss a sample.

        Args:
            predicted: at the noisy samples.
            data: that they were made from.
            noise: (B, L, C) that was mixed in.
        """
        target = predicted.process.target(data, noise, predicted.t, self.prediction)
        error = predicted.as_kind(self.prediction) - target
        each = penalty(data.expand(self.weight(predicted.t).sqrt()) * error, self.loss, self.delta)
        if self.channels is not None:
            each = each * self.channels.to(each)
        loss = data.sample_mean(each)
        return loss if self.learned is None else self.learned.weighted(loss, predicted.t)


def penalty(error: Tensor, loss: str, delta: float) -> Tensor:
    """What errors count for, number by number.

    Args:
        error: of any shape.
        loss: mse, l1 or huber.
        delta: error at which huber goes over from squares to sizes.

    Raises:
        UserError: no such loss.
    """
    match loss:
        case "mse":
            return error.square()
        case "l1":
            return error.abs()
        case "huber":
            size = error.abs()
            inside = size.clamp(max=delta)
            return inside * (2.0 * size - inside)
    raise UserError(f"objective.loss {loss}: is no error of single numbers; use mse, huber or l1")

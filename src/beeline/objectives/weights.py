"""Weights of the squared error of a prediction over time.

An error dy moves the noise read from it by alpha dy / (alpha b - sigma a), whence
snr       (alpha / (alpha b - sigma a))^2, which for the score is sigma^2   (Song et al. 2021, section 3.3)
min_snr   the same times min(SNR, 5) / SNR = min(1, 5 sigma^2 / alpha^2)   (Hang et al. 2023, section 3.4)
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from beeline.core.errors import unknown
from beeline.core.protocols import Process
from beeline.objectives.config import ObjectiveConfig, Weighting


class TimeWeight:
    """Factor on the squared error of a prediction at time t.

    Args:
        config: weighting and prediction.
        process: the path.

    Raises:
        UserError: no weighting has that name.
    """

    def __init__(self, config: ObjectiveConfig, process: Process) -> None:
        if config.weighting not in get_args(Weighting):
            raise unknown("objective.weighting", config.weighting, get_args(Weighting))
        self.prediction = config.prediction
        self.weighting = config.weighting
        if self.weighting == "auto":
            self.weighting = "snr" if config.prediction == "score" else "uniform"
        self.process = process

    def __call__(self, t: Tensor) -> Tensor:
        """(N,) factors at (N,) times."""
        if self.weighting == "uniform":
            return torch.ones_like(t)
        alpha, sigma = self.process.alpha(t), self.process.sigma(t)
        a, b = self.process.coefficients(t, self.prediction)
        weight = (alpha / (alpha * b - sigma * a)).square()
        if self.weighting == "snr":
            return weight
        return torch.minimum(weight, 5.0 * (sigma / (alpha * b - sigma * a)).square())

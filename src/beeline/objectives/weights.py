"""Weights of the squared error of a prediction over time.

An error dy moves the noise read from it by alpha dy / D and the data by -sigma dy / D, D = alpha b - sigma a, whence,
with SNR = (alpha / sigma)^2,

    snr             (alpha / D)^2, the error of the noise; of the score sigma^2       (Song et al. 2021, section 3.3)
    min_snr         that times min(SNR, 5) / SNR; of the data min(SNR, 5)             (Hang et al. 2023, section 3.4)
    truncated_snr   that times max(1, 1 / SNR), the larger of the errors of noise and data; of the data max(SNR, 1)
                    (Salimans & Ho 2022, section 4)
    learned         1 / exp(u(t)), with u(t) added to the loss: u becomes the logarithm of the mean loss at t, so that
                    all times count alike                        (Karras et al. 2024, "EDM2", equations 14 and 15)

Shapes: N samples, K waves.
"""

from __future__ import annotations

import math
from typing import get_args

import torch
from torch import Tensor, nn

from beeline.core.errors import unknown
from beeline.core.protocols import Process
from beeline.nn.precision import full_precision
from beeline.objectives.config import ObjectiveConfig, Weighting


class TimeWeight:
    """Factor on the squared error of a prediction at time t; what is learned about it comes on top.

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
        if self.weighting in ("uniform", "learned"):
            return torch.ones_like(t)
        alpha, sigma = self.process.alpha(t), self.process.sigma(t)
        a, b = self.process.coefficients(t, self.prediction)
        of_noise, of_data = ((part / (alpha * b - sigma * a)).square() for part in (alpha, sigma))
        match self.weighting:
            case "min_snr":
                return torch.minimum(of_noise, 5.0 * of_data)
            case "truncated_snr":
                return torch.maximum(of_noise, of_data)
        return of_noise


class LogVariance(nn.Module):
    """u(t), the logarithm of the mean loss at time t, as a sum of cosines: u = sum_k c_k cos(pi k t), k = 0 ... K - 1.

    At zero, where it begins, it weighs nothing. Source: Karras et al. 2024, section 3.1 and appendix B.2, who take
    random waves.
    """

    waves = 32

    def __init__(self) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(torch.zeros(self.waves))

    def forward(self, t_N: Tensor) -> Tensor:
        """(N,) logarithms at (N,) times."""
        with full_precision(t_N):
            angle = math.pi * t_N[:, None] * torch.arange(self.waves, device=t_N.device)
            return angle.cos().to(self.coefficients) @ self.coefficients

    def weighted(self, loss_N: Tensor, t_N: Tensor) -> Tensor:
        """The same losses, whose gradients are those of loss / exp(u) + u.

        The value stays the plain loss, so that logs and held-out losses compare with those of other weightings; the
        weighted one, a log-likelihood, tends to a constant however good the network is.
        """
        u = self(t_N)
        trained = loss_N * torch.exp(-u) + u
        return loss_N.detach() + (trained - trained.detach())

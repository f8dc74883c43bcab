"""The path of variational diffusion models, given by its log-SNR.

    alpha^2 = sigmoid(-gamma(t)),   sigma^2 = sigmoid(gamma(t)),   gamma = -log SNR = log(sigma^2 / alpha^2)
    alpha' = -gamma' alpha sigma^2 / 2,   sigma' = gamma' sigma alpha^2 / 2
    linear    gamma = g0 + (g1 - g0) t
    learned   gamma = g0 + (g1 - g0) r(t),   r(0) = 0,  r(1) = 1,  r' > 0

The variational bound in continuous time depends on gamma by its ends alone; what there is to learn between them is the
variance of its estimate. Here r is a mixture with positive weights, and so rises whatever its parameters h:

    r(t) = R(t) / R(1),   R(t) = f t + 1/K sum_k exp(a h_k) (S(k'(t - c_k)) - S(-k' c_k)),   S the logistic sigmoid

Source: Kingma et al. 2021, "Variational diffusion models", section 3.2 and appendix H, who learn a monotone network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from beeline.process.path import GaussianPath

# Bumps of gamma': centres evenly over [0, 1] and a little beyond, so wide that equal ones add up to a plain.
_BUMPS, _BEYOND = 24, 3
_STEEPNESS = 1.5 * _BUMPS
# Share of gamma' that no training takes away, so that the schedule never stands still.
_FLOOR = 0.05
# Parameters of networks move by thousandths a step; those of a schedule have further to go.
_GAIN = 4.0


class LogSNR(GaussianPath):
    """alpha^2 + sigma^2 = 1 with -log SNR linear in t.

    Noise of sigmoid(gamma_min) is left at t = 0; the path therefore begins a little after it, so that a walk knows that
    it has not arrived and ends with the data expected there.

    Args:
        gamma_min: g0, -log SNR at t = 0.
        gamma_max: g1, -log SNR at t = 1.
        sigma_data: standard deviation of the data that prediction edm reckons with.
    """

    t_min = 1e-6
    time_input_name = "-log SNR"

    def __init__(self, gamma_min: float = -13.3, gamma_max: float = 13.0, sigma_data: float = 0.5) -> None:
        super().__init__(None, sigma_data)
        self.gamma_min = gamma_min
        self.gamma_max = gamma_max

    def gamma(self, t: Tensor) -> Tensor:
        """-log SNR at time t."""
        return self.gamma_min + (self.gamma_max - self.gamma_min) * t

    def gamma_derivative(self, t: Tensor) -> Tensor:
        """d gamma / dt, above 0."""
        return torch.full_like(t, self.gamma_max - self.gamma_min)

    def alpha(self, t: Tensor) -> Tensor:
        """sqrt(sigmoid(-gamma))."""
        return torch.sqrt(torch.sigmoid(-self.gamma(t)))

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt(sigmoid(gamma))."""
        return torch.sqrt(torch.sigmoid(self.gamma(t)))

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """-gamma' alpha sigma^2 / 2."""
        return -0.5 * self.gamma_derivative(t) * self.alpha(t) * self.sigma(t).square()

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """gamma' sigma alpha^2 / 2."""
        return 0.5 * self.gamma_derivative(t) * self.sigma(t) * self.alpha(t).square()

    def time_input(self, t: Tensor) -> Tensor:
        """gamma."""
        return self.gamma(t)


class LearnedLogSNR(LogSNR, nn.Module):
    """alpha^2 + sigma^2 = 1 with -log SNR a trained function of t that rises whatever its parameters; at birth linear.

    Args:
        gamma_min: g0, -log SNR at t = 0.
        gamma_max: g1, -log SNR at t = 1.
        sigma_data: standard deviation of the data that prediction edm reckons with.
    """

    centres: Tensor
    first: Tensor
    rises: Tensor

    def __init__(self, gamma_min: float = -13.3, gamma_max: float = 13.0, sigma_data: float = 0.5) -> None:
        nn.Module.__init__(self)
        LogSNR.__init__(self, gamma_min, gamma_max, sigma_data)
        centres = (torch.arange(-_BEYOND, _BUMPS + _BEYOND, dtype=torch.float64) + 0.5) / _BUMPS
        self.heights = nn.Parameter(torch.zeros(len(centres)))
        first, last = (torch.sigmoid(_STEEPNESS * (end - centres)) for end in (0.0, 1.0))
        for name, each in (("centres", centres), ("first", first), ("rises", last - first)):
            self.register_buffer(name, each, persistent=False)

    def gamma(self, t: Tensor) -> Tensor:
        """g0 + (g1 - g0) R(t) / R(1), wherever t is: solvers ask on the CPU in float64, training on its device."""
        weights = self._weights(t)
        reached = _FLOOR * t + ((self._sigmoids(t) - self.first.to(t)) * weights).sum(dim=-1)
        return self.gamma_min + (self.gamma_max - self.gamma_min) * reached / self._whole(weights)

    def gamma_derivative(self, t: Tensor) -> Tensor:
        """(g1 - g0) R'(t) / R(1)."""
        weights, reached = self._weights(t), self._sigmoids(t)
        rate = _FLOOR + (_STEEPNESS * reached * (1.0 - reached) * weights).sum(dim=-1)
        return (self.gamma_max - self.gamma_min) * rate / self._whole(weights)

    def is_usable(self, t: Tensor, prediction: str) -> Tensor:
        """As on the linear schedule at the same noise: where a learned one is steep, it is soon past."""
        even = (self.gamma(t) - self.gamma_min) / (self.gamma_max - self.gamma_min)
        return LogSNR(self.gamma_min, self.gamma_max, self.sigma_data).is_usable(even, prediction)

    def _weights(self, t: Tensor) -> Tensor:
        """(K,) exp(a h_k) / K."""
        return torch.exp(_GAIN * self.heights.to(t)) / _BUMPS

    def _whole(self, weights: Tensor) -> Tensor:
        """R(1)."""
        return _FLOOR + (self.rises.to(weights) * weights).sum()

    def _sigmoids(self, t: Tensor) -> Tensor:
        """(..., K) S(k'(t - c_k))."""
        return torch.sigmoid(_STEEPNESS * (t[..., None] - self.centres.to(t)))

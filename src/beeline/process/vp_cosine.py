"""The variance-preserving path of the cosine schedule, in continuous time.

    alpha = cos(pi/2 (t + s)/(1 + s)) / cos(pi/2 s/(1 + s)),   sigma = sqrt(1 - alpha^2),   s = 0.008

In angles, with u = pi/2 t/(1 + s), w = pi/2 s/(1 + s) and cos^2 w - cos^2 (u + w) = sin u sin(u + 2 w), sigma is

    sigma = sqrt(sin u sin(u + 2 w)) / cos w

Source: Nichol & Dhariwal 2021, "Improved denoising diffusion probabilistic models", equation 17.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from beeline.process.path import GaussianPath

_S = 0.008
_RATE = 0.5 * math.pi / (1.0 + _S)
_W = _RATE * _S


class Cosine(GaussianPath):
    """alpha^2 + sigma^2 = 1 with alpha all but a cosine; s lets noise begin at once.

    Near t = 0 the velocity of this path grows like 1/sqrt(t); its interval therefore begins at 1e-3.
    """

    t_min = 1e-3

    def alpha(self, t: Tensor) -> Tensor:
        """The cosine, as the sine of what is left of the quarter: at t = 1 it is 0 to the last bit."""
        return torch.sin(_RATE * (1.0 - t)) / math.cos(_W)

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt(1 - alpha^2), without cancellation at small t."""
        return torch.sqrt(torch.sin(_RATE * t) * torch.sin(_RATE * t + 2.0 * _W)) / math.cos(_W)

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """-pi/2 / (1 + s) sin(u + w) / cos w."""
        return -_RATE * torch.cos(_RATE * (1.0 - t)) / math.cos(_W)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """-alpha alpha' / sigma."""
        return -self.alpha(t) * self.alpha_derivative(t) / self.sigma(t)

"""The variance-preserving path along a quarter of a circle.

    alpha = cos(pi t / 2), sigma = sin(pi t / 2)

Source: Albergo & Vanden-Eijnden 2023, "Building normalizing flows with stochastic interpolants", section 3 (the
trigonometric interpolant), in our direction of time; GVP in Ma et al. 2024, "SiT".
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from beeline.process.path import GaussianPath

_QUARTER = 0.5 * math.pi


class Trigonometric(GaussianPath):
    """alpha^2 + sigma^2 = 1, run through at an even speed."""

    def alpha(self, t: Tensor) -> Tensor:
        """cos(pi t / 2), as the sine of what is left of the quarter: at t = 1 it is 0 to the last bit."""
        return torch.sin(_QUARTER * (1.0 - t))

    def sigma(self, t: Tensor) -> Tensor:
        """sin(pi t / 2)."""
        return torch.sin(_QUARTER * t)

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """-pi/2 sigma."""
        return -_QUARTER * self.sigma(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """pi/2 alpha."""
        return _QUARTER * self.alpha(t)

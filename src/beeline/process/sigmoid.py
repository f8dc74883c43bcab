"""The variance-preserving path whose share of data falls along a sigmoid.

    alpha^2 = (S(end) - S(start + t (end - start))) / (S(end) - S(start)),   S the logistic sigmoid, start -3, end 3
    sigma^2 = 1 - alpha^2

With S(p) - S(q) = sinh((p - q)/2) / (2 cosh(p/2) cosh(q/2)) and end = -start = h both are products, in which nothing
cancels:

    sigma^2 = c(t) sinh(h t),   alpha^2 = c(t) sinh(h (1 - t)),   c(t) = cosh(h/2) / (sinh(h) cosh(h (t - 1/2)))

Source: Jabri et al. 2022, "Scalable adaptive computation for iterative generation"; Chen 2023, "On the importance of
noise scheduling for diffusion models", algorithm 1 (start -3, end 3, temperature 1).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from beeline.process.path import GaussianPath

_H = 3.0


class Sigmoid(GaussianPath):
    """alpha^2 + sigma^2 = 1 with alpha^2 a stretch of the logistic curve.

    Near its ends sigma and alpha behave like the root of the distance; the path therefore begins where sigma is 0.01
    and ends where alpha is.
    """

    t_min = 1.0 / 3000.0
    t_max = 1.0 - t_min

    def alpha(self, t: Tensor) -> Tensor:
        """sqrt(c sinh(h (1 - t)))."""
        return torch.sqrt(_common(t) * torch.sinh(_H * (1.0 - t)))

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt(c sinh(h t))."""
        return torch.sqrt(_common(t) * torch.sinh(_H * t))

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """-(sigma^2)' / (2 alpha)."""
        return -0.5 * _slope(t) / self.alpha(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """(sigma^2)' / (2 sigma)."""
        return 0.5 * _slope(t) / self.sigma(t)


def _common(t: Tensor) -> Tensor:
    """c(t)."""
    return math.cosh(0.5 * _H) / (math.sinh(_H) * torch.cosh(_H * (t - 0.5)))


def _slope(t: Tensor) -> Tensor:
    """d sigma^2 / dt = h cosh(h/2)^2 / (sinh(h) cosh(h (t - 1/2))^2)."""
    return _H * math.cosh(0.5 * _H) ** 2 / (math.sinh(_H) * torch.cosh(_H * (t - 0.5)).square())

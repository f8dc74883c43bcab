"""The straight path of rectified flow.

    alpha = 1 - t, sigma = t, velocity = e - x0

Source: Liu et al. 2022, "Flow straight and fast", equation 1, in our direction of time (t = 1 is noise).
"""

from __future__ import annotations

import torch
from torch import Tensor

from beeline.process.path import GaussianPath


class Linear(GaussianPath):
    """alpha = 1 - t, sigma = t."""

    def alpha(self, t: Tensor) -> Tensor:
        """1 - t."""
        return 1.0 - t

    def sigma(self, t: Tensor) -> Tensor:
        """t."""
        return t

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """-1."""
        return -torch.ones_like(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(t)

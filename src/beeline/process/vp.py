"""The variance-preserving path of DDPM and score matching, in continuous time.

    log alpha = -1/4 t^2 (b1 - b0) - 1/2 t b0,   sigma = sqrt(1 - alpha^2)

Source: Song et al. 2021, "Score-based generative modeling through stochastic differential equations",
equation 33, where beta(t) = b0 + t (b1 - b0).
"""

from __future__ import annotations

import torch
from torch import Tensor

from beeline.process.path import GaussianPath


class VariancePreserving(GaussianPath):
    """alpha^2 + sigma^2 = 1 with a noise rate that grows linearly from b0 to b1.

    Near t = 0 the velocity of this path grows like 1/sqrt(t); its interval therefore begins at 1e-3, where
    sigma = 0.01 (Song et al. 2021, appendix C).

    Args:
        beta_min: noise rate b0 at t = 0, above 0.
        beta_max: noise rate b1 at t = 1, at least ``beta_min``.
        time_input_name: what the time embedding sees: 1000 t or 1 - t; 1000 t when None.
        sigma_data: standard deviation of the data that prediction edm reckons with.
    """

    t_min = 1e-3

    def __init__(
        self,
        beta_min: float = 0.1,
        beta_max: float = 20.0,
        time_input_name: str | None = None,
        sigma_data: float = 0.5,
    ) -> None:
        super().__init__(time_input_name, sigma_data)
        self.beta_min = beta_min
        self.beta_max = beta_max

    def _log_alpha(self, t: Tensor) -> Tensor:
        return -0.25 * t * t * (self.beta_max - self.beta_min) - 0.5 * t * self.beta_min

    def alpha(self, t: Tensor) -> Tensor:
        """exp(log alpha)."""
        return torch.exp(self._log_alpha(t))

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt(1 - alpha^2), without cancellation at small t."""
        return torch.sqrt(-torch.expm1(2.0 * self._log_alpha(t)))

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """-1/2 beta(t) alpha."""
        beta = self.beta_min + t * (self.beta_max - self.beta_min)
        return -0.5 * beta * self.alpha(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """-alpha alpha' / sigma."""
        return -self.alpha(t) * self.alpha_derivative(t) / self.sigma(t)

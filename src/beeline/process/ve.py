"""The variance-exploding path, in the spacing and with the input scaling of EDM.

    alpha = 1
    sigma = (smin^(1/rho) + t (smax^(1/rho) - smin^(1/rho)))^rho
    network sees c_in x_t and ln(sigma) / 4,   c_in = 1 / sqrt(sigma^2 + sd^2)

With prediction edm, whose x0 = c_skip x_t + c_out F follows from the algebra of ``path.py``, this is the whole
preconditioning: c_skip = sd^2 / (sigma^2 + sd^2), c_out = sigma sd / sqrt(sigma^2 + sd^2).

Source: Karras et al. 2022, "Elucidating the design space of diffusion-based generative models", equation 5 and
table 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from beeline.process.path import GaussianPath


class VarianceExploding(GaussianPath):
    """Data with ever more noise on top: sigma^(1/rho) grows evenly from t = 0 to t = 1.

    The noise sigma_min is left at t = 0; the path therefore begins a little after it, so that a walk knows that it has
    not arrived and ends with the data expected there.

    Args:
        sigma_min: noise at t = 0, above 0.
        sigma_max: noise at t = 1.
        rho: exponent, above 0.
        sigma_data: standard deviation sd of the data, in prediction edm and in the input scaling.
    """

    t_min = 1e-6
    time_input_name = "ln(sigma) / 4"

    def __init__(
        self, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0, sigma_data: float = 0.5
    ) -> None:
        super().__init__(None, sigma_data)
        self.rho = rho
        self._first = sigma_min ** (1.0 / rho)
        self._rise = sigma_max ** (1.0 / rho) - self._first

    def alpha(self, t: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        """(smin^(1/rho) + t (smax^(1/rho) - smin^(1/rho)))^rho."""
        return (self._first + t * self._rise).pow(self.rho)

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """rho (smax^(1/rho) - smin^(1/rho)) sigma^(1 - 1/rho)."""
        return self.rho * self._rise * (self._first + t * self._rise).pow(self.rho - 1.0)

    def time_input(self, t: Tensor) -> Tensor:
        """ln(sigma) / 4, c_noise of Karras et al. 2022."""
        return 0.25 * self.rho * torch.log(self._first + t * self._rise)

    def input_scale(self, t: Tensor) -> Tensor:
        """c_in = 1 / sqrt(sigma^2 + alpha^2 sd^2): what the network sees has unit variance."""
        return torch.rsqrt(self.sigma(t).square() + (self.alpha(t) * self.sigma_data).square())

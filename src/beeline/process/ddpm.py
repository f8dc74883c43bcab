"""The discrete process of DDPM, and what lies between its levels.

    x_n = sqrt(abar_n) x0 + sqrt(1 - abar_n) e,   abar_n = prod_(i <= n) (1 - beta_i),   n = 0 ... T - 1
    t = (n + 1) / T: level n; t = 0: data, abar = 1
    alpha = exp(g(t) / 2),  sigma = sqrt(1 - exp(g(t))),  g = log abar

Between the levels g is the monotone cubic through log abar at 0, 1/T, ..., 1 with the slopes of Fritsch & Butland
1984 (harmonic means of the secants beside a node): continuously differentiable, so that solvers of the
probability-flow ODE keep their order, and never rising.

Sources: Ho et al. 2020, "Denoising diffusion probabilistic models", equation 4; Nichol & Dhariwal 2021.

Shapes: T levels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from beeline.process.path import LARGEST_FACTOR, GaussianPath

# Below this share of data at the last level nothing about it can be read from float32 noise.
_SMALLEST_DETERMINANT = 1e-6


class DiscreteDDPM(GaussianPath):
    """T levels of noise from a table of rates.

    Args:
        betas: beta_0 ... beta_(T-1), each above 0 and below 1; at least 2.
        sigma_data: standard deviation of the data that prediction edm reckons with.
    """

    def __init__(self, betas: Sequence[float], sigma_data: float = 0.5) -> None:
        super().__init__(f"{len(betas)} t - 1", sigma_data)
        self.levels = len(betas)
        self.t_min = 1.0 / self.levels
        log_abar = torch.zeros(self.levels + 1, dtype=torch.float64)
        log_abar[1:] = torch.log1p(-torch.tensor(betas, dtype=torch.float64)).cumsum(0)
        self._curves = {torch.device("cpu"): (log_abar, _slopes(log_abar))}

    def alpha(self, t: Tensor) -> Tensor:
        """sqrt(abar)."""
        return torch.exp(0.5 * self._log_abar(t)[0]).to(t.dtype)

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt(1 - abar), without cancellation near the data."""
        return torch.sqrt(-torch.expm1(self._log_abar(t)[0])).to(t.dtype)

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """g' alpha / 2."""
        value, slope = self._log_abar(t)
        return (0.5 * slope * torch.exp(0.5 * value)).to(t.dtype)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """-g' abar / (2 sigma)."""
        value, slope = self._log_abar(t)
        return (-0.5 * slope * torch.exp(value) / torch.sqrt(-torch.expm1(value))).to(t.dtype)

    def time_input(self, t: Tensor) -> Tensor:
        """T t - 1: the index n of a level, a whole number to the last bit."""
        return (self._place(t) - 1.0).to(t.dtype)

    def interval(self, prediction: str) -> tuple[float, float]:
        """[t_min, t_max] on which x0 and e can be read from that prediction: on the usual tables every level.

        Networks are trained at every level whatever they predict, and steps from level to level give x0 and e weights
        of at most 1. What continuous paths also ask, a velocity that does not blow errors up, would forbid the first
        levels to x0 and the last of the cosine table to e; it is asked of ``solver_interval`` alone.

        Raises:
            UserError: there is no such stretch.
        """
        return self._longest_stretch(self._is_readable, prediction)

    def solver_interval(self, prediction: str) -> tuple[float, float]:
        """The part of it where the velocity read from a prediction is as good as the prediction.

        Raises:
            UserError: there is no such stretch.
        """
        return self._longest_stretch(self.is_usable, prediction)

    def _is_readable(self, t: Tensor, prediction: str) -> Tensor:
        a, b = self.coefficients(t, prediction)
        largest = torch.maximum(a.abs(), b.abs())
        return (self.determinant(t, prediction).abs() >= _SMALLEST_DETERMINANT) & (largest <= LARGEST_FACTOR)

    def level(self, t: Tensor) -> Tensor:
        """The nearest level n of each time, int64 from 0 to T - 1."""
        return (self._place(t).round().long() - 1).clamp(0, self.levels - 1)

    def time(self, level: Tensor) -> Tensor:
        """(n + 1) / T in float64."""
        return (level + 1).to(torch.float64) / self.levels

    def _place(self, t: Tensor) -> Tensor:
        """T t in float64, whole where t is a node as well as its type can say it."""
        place = t.to(torch.float64) * self.levels
        whole = place.round()
        near = (place - whole).abs() <= torch.finfo(t.dtype).eps * self.levels
        return torch.where(near, place + (whole - place).detach(), place)

    def _log_abar(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """g and dg/dt at t, in float64: the cubic Hermite polynomial of its stretch."""
        values, slopes = self._curve(t.device)
        place = self._place(t)
        left = place.detach().floor().long().clamp(0, self.levels - 1)
        u = place - left
        rise = values[left + 1] - values[left]
        first, second = slopes[left], slopes[left + 1]
        # g = v + first u + (3 rise - 2 first - second) u^2 + (first + second - 2 rise) u^3
        square, cube = 3.0 * rise - 2.0 * first - second, first + second - 2.0 * rise
        value = values[left] + u * (first + u * (square + u * cube))
        return value, self.levels * (first + u * (2.0 * square + 3.0 * u * cube))

    def _curve(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Nodes and slopes, brought to a device once."""
        if device not in self._curves:
            values, slopes = self._curves[torch.device("cpu")]
            self._curves[device] = (values.to(device), slopes.to(device))
        return self._curves[device]


def _slopes(values: Tensor) -> Tensor:
    """(T + 1,) slope at each node of a falling curve, for nodes one apart; the ends take their secant's."""
    secants = values.diff()
    inner = 2.0 * secants[1:] * secants[:-1] / (secants[1:] + secants[:-1])
    return torch.cat([secants[:1], inner, secants[-1:]])

"""No path at all: the network is shown the condition alone, and one pass of it is the answer.

    x_t = 0 whatever t and e,   y = x0,   the time input that of t = 1

Trained on squared errors the answer is the mean E[x0 | c], on sizes of errors the median: one for each condition, with
no spread (E32). It is the baseline that a generative model of the same network is held against.
Mardani et al. 2023, "Residual corrective diffusion modeling" (CorrDiff), take it as the first of two steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from beeline.core.errors import UserError
from beeline.process.path import GaussianPath


class Regression(GaussianPath):
    """alpha = sigma = 0; the one prediction is the data."""

    is_regression = True

    def alpha(self, t: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(t)

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """0."""
        return torch.zeros_like(t)

    def time_input(self, t: Tensor) -> Tensor:
        """1000 at every t."""
        return super().time_input(torch.ones_like(t))

    def interval(self, prediction: str) -> tuple[float, float]:
        """All times: none says anything.

        Raises:
            UserError: something other than the data is to be predicted.
        """
        self.coefficients(torch.ones(()), prediction)
        return self.t_min, self.t_max

    def coefficients(self, t: Tensor, prediction: str) -> tuple[Tensor, Tensor]:
        """(1, 0), those of prediction data.

        Raises:
            UserError: something else is to be predicted.
        """
        if prediction != "data":
            raise UserError(
                f"prediction {prediction}: process.path regression has no noise, so that data alone can be predicted; "
                "use prediction data"
            )
        return super().coefficients(t, prediction)

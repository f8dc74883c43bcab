"""The exact predictor of a Gaussian mixture: what a perfectly trained network would say, for any path.

    x0 ~ sum_k w_k N(m_k, S_k),  x_t = alpha x0 + sigma e
    G_k      = alpha^2 S_k + sigma^2 I                       covariance of x_t in component k
    p(k|x_t) ~ w_k N(x_t; alpha m_k, G_k)
    E[x0|x_t, k] = m_k + alpha S_k G_k^-1 (x_t - alpha m_k)
    E[e |x_t, k] = sigma G_k^-1 (x_t - alpha m_k)            no division by sigma: exact at t = 0 too

Shapes: N samples, K components, D numbers a sample (tokens x channels).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.prediction import Prediction
from beeline.core.protocols import Process
from beeline.core.tokens import Tokens


@dataclass(frozen=True)
class MixturePredictor:
    """Exact conditional expectations under a Gaussian mixture.

    With a condition called ``component`` a sample is known to come from that component; where it is null or missing
    the whole mixture is meant.

    Args:
        process: the path.
        weights: (K,) summing to 1.
        means: (K, D).
        covariances: (K, D, D) positive definite.
    """

    process: Process
    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __call__(self, x_t: Tokens, t: Tensor, conditions: Conditions) -> Prediction:
        """Expected velocity, from which every other prediction follows."""
        x = x_t.values.flatten(1)
        alpha, sigma = self.process.alpha(t)[:, None, None], self.process.sigma(t)[:, None, None]
        deviation = x[:, None] - alpha * self.means
        identity = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        spread = (alpha**2)[..., None] * self.covariances + (sigma**2)[..., None] * identity
        solved = torch.linalg.solve(spread, deviation[..., None])[..., 0]
        share = self._shares(deviation, solved, spread, conditions)[..., None]
        x0 = (share * (self.means + alpha * torch.einsum("kij,nkj->nki", self.covariances, solved))).sum(dim=1)
        e = (share * sigma * solved).sum(dim=1)
        a, b = (c[:, None] for c in self.process.coefficients(t, "velocity"))
        return Prediction(self.process, x_t, t, (a * x0 + b * e).view_as(x_t.values), "velocity")

    def _shares(self, deviation: Tensor, solved: Tensor, spread: Tensor, conditions: Conditions) -> Tensor:
        """(N, K) probability of each component given x_t and what is known."""
        log_weights = self.weights.log().expand(deviation.shape[:2])
        if "component" in conditions.values:
            chosen = torch.nn.functional.one_hot(conditions.values["component"], len(self.weights)).bool()
            allowed = chosen | conditions.null["component"][:, None]
            log_weights = log_weights.masked_fill(~allowed, float("-inf"))
        quadratic = (deviation * solved).sum(dim=-1)
        return torch.softmax(log_weights - 0.5 * (quadratic + torch.logdet(spread)), dim=-1)

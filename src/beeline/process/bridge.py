"""The bridge from data to a known end, with noise between.

    x_t = (1 - u) x0 + u y + s sqrt(u (1 - u)) e,   u = sin^2(pi t / 2)        y the known end
    alpha = cos^2(pi t / 2),  sigma = s/2 sin(pi t),  m(t) = sin^2(pi t / 2) y

In u itself the velocity grows without bound at both ends, its regression has an infinite mean square, and a solver's
first step is far off; at the pace of t all of it is bounded.

A path with an offset m: it is taken from x_t, and its derivative from the velocity, before data and noise are read
from them. Other predictions are of x0 and e alone and have none.

Source: Albergo et al. 2023, "Stochastic interpolants: a unifying framework for flows and diffusions", sections 2 and
4 (I = (1 - u) x0 + u x1, gamma = s sqrt(u (1 - u))), with both of its ends coupled by the data.

Shapes: B rows, L tokens a row, C numbers a token, N samples.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from beeline.core.protocols import Source
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.path import GaussianPath

_QUARTER = 0.5 * math.pi
# Sign with which m' is part of the predictions that have it.
_SIGNS = {"velocity": 1.0, "velocity_to_data": -1.0}


class Bridge(GaussianPath):
    """From data to the value of a condition, a map of the form of the data.

    At t = 1 nothing is left of the data nor of the noise that tells samples of one end apart; the path therefore ends a
    little before, where sampling starts from m + sigma e.

    Args:
        end: name of the condition.
        noise: s, twice the size of the noise half-way, above 0.
        sigma_data: standard deviation of the data that prediction edm reckons with.
    """

    t_max = 0.975

    def __init__(self, end: str, noise: float = 1.0, sigma_data: float = 0.5) -> None:
        super().__init__(None, sigma_data)
        self.known_end = end
        self.noise = noise

    def alpha(self, t: Tensor) -> Tensor:
        """cos^2(pi t / 2)."""
        return torch.cos(_QUARTER * t).square()

    def sigma(self, t: Tensor) -> Tensor:
        """s/2 sin(pi t)."""
        return 0.5 * self.noise * torch.sin(math.pi * t)

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """-pi/2 sin(pi t)."""
        return -_QUARTER * torch.sin(math.pi * t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """s pi/2 cos(pi t)."""
        return self.noise * _QUARTER * torch.cos(math.pi * t)

    def end_share(self, t: Tensor) -> Tensor:
        """m / y = sin^2(pi t / 2)."""
        return torch.sin(_QUARTER * t).square()

    def prior(self, like: Tokens, source: Source, key: Key, t: float) -> Tokens:
        """Where sampling starts: m(t) + sigma(t) e."""
        noise = super().prior(like, source, key, t)
        share = self.end_share(torch.tensor(t, dtype=torch.float64)).item()
        return noise.with_values(noise.values + share * _end(like))

    def mix(self, x0: Tokens, e: Tensor, t: Tensor) -> Tokens:
        """x_t = alpha x0 + m + sigma e."""
        mixed = super().mix(x0, e, t)
        return mixed.with_values(mixed.values + self._offset(x0, t))

    def target(self, x0: Tokens, e: Tensor, t: Tensor, prediction: str) -> Tensor:
        """a x0 + b e, and m' more for a velocity."""
        plain = super().target(x0, e, t, prediction)
        return plain + self._drift(x0, t, prediction) if prediction in _SIGNS else plain

    def convert(self, y: Tensor, x_t: Tokens, t: Tensor, source: str, target: str) -> Tensor:
        """Rewrite a prediction of one kind as another, without the known end in between."""
        if source == target:
            return y
        bare = x_t.with_values(x_t.values - self._offset(x_t, t))
        said = y - self._drift(x_t, t, source) if source in _SIGNS else y
        plain = super().convert(said, bare, t, source, target)
        return plain + self._drift(x_t, t, target) if target in _SIGNS else plain

    def _offset(self, tokens: Tokens, t: Tensor) -> Tensor:
        """m."""
        return tokens.expand(self.end_share(t)) * _end(tokens)

    def _drift(self, tokens: Tokens, t: Tensor, prediction: str) -> Tensor:
        """m' with the sign that it has in a velocity; what y gains the data lose, m' = -alpha' y."""
        return tokens.expand(-_SIGNS[prediction] * self.alpha_derivative(t)) * _end(tokens)


def _end(tokens: Tokens) -> Tensor:
    """(B, L, C) where the paths of samples end.

    Raises:
        ValueError: the tokens were not placed.
    """
    if tokens.end is None:
        raise ValueError("tokens on a bridge must be placed before anything is asked of their path")
    return tokens.end

"""The bridge from data to a known end, with noise between.

    x_t = (1 - t) x0 + t y + s sqrt(t (1 - t)) e        y the known end
    alpha = 1 - t,  sigma = s sqrt(t (1 - t)),  m(t) = t y

A path with an offset m: it is taken from x_t, and its derivative y from the velocity, before data and noise are read
from them. Other predictions are of x0 and e alone and have none.

Source: Albergo et al. 2023, "Stochastic interpolants: a unifying framework for flows and diffusions", sections 2 and
3.4 (the mirror of I = (1 - t) x0 + t x1, gamma = s sqrt(t (1 - t))), with both of its ends coupled by the data.

Shapes: B rows, L tokens a row, C numbers a token, N samples.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.protocols import Source
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.path import GaussianPath

# Share of the known end in each prediction that has one.
_END_SHARES = {"velocity": 1.0, "velocity_to_data": -1.0}


class Bridge(GaussianPath):
    """From data to the value of a condition, a map of the form of the data.

    At both ends sigma behaves like the root of the distance, and at t = 1 nothing of the data is left; the path
    therefore begins and ends a thousandth from them. Sampling starts from t y + sigma e there.

    Args:
        end: name of the condition.
        noise: s, size of the noise between, above 0.
        sigma_data: standard deviation of the data that prediction edm reckons with.
    """

    t_min = 1e-3
    t_max = 1.0 - t_min

    def __init__(self, end: str, noise: float = 1.0, sigma_data: float = 0.5) -> None:
        super().__init__(None, sigma_data)
        self.known_end = end
        self.noise = noise

    def alpha(self, t: Tensor) -> Tensor:
        """1 - t."""
        return 1.0 - t

    def sigma(self, t: Tensor) -> Tensor:
        """s sqrt(t (1 - t))."""
        return self.noise * torch.sqrt(t * (1.0 - t))

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """-1."""
        return -torch.ones_like(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """s (1 - 2 t) / (2 sqrt(t (1 - t)))."""
        return 0.5 * self.noise * (1.0 - 2.0 * t) / torch.sqrt(t * (1.0 - t))

    def placed(self, tokens: Tokens, conditions: Conditions) -> Tokens:
        """Tokens that know where their path ends: at the value of the condition, dropped or not."""
        assert self.known_end is not None
        return replace(tokens, end=tokens.only_data(conditions.values[self.known_end].to(tokens.values)))

    def prior(self, like: Tokens, source: Source, key: Key, t: float) -> Tokens:
        """Where sampling starts: t y + sigma(t) e."""
        noise = super().prior(like, source, key, t)
        return noise.with_values(noise.values + t * _end(like))

    def mix(self, x0: Tokens, e: Tensor, t: Tensor) -> Tokens:
        """x_t = (1 - t) x0 + t y + sigma e."""
        mixed = super().mix(x0, e, t)
        return mixed.with_values(mixed.values + x0.expand(t) * _end(x0))

    def target(self, x0: Tokens, e: Tensor, t: Tensor, prediction: str) -> Tensor:
        """a x0 + b e, and y more for a velocity."""
        plain = super().target(x0, e, t, prediction)
        share = _END_SHARES.get(prediction)
        return plain if share is None else plain + share * _end(x0)

    def convert(self, y: Tensor, x_t: Tokens, t: Tensor, source: str, target: str) -> Tensor:
        """Rewrite a prediction of one kind as another, without the known end in between."""
        if source == target:
            return y
        end = _end(x_t)
        bare = x_t.with_values(x_t.values - x_t.expand(t) * end)
        plain = super().convert(y - _END_SHARES.get(source, 0.0) * end, bare, t, source, target)
        return plain + _END_SHARES.get(target, 0.0) * end


def _end(tokens: Tokens) -> Tensor:
    """(B, L, C) where the paths of samples end.

    Raises:
        ValueError: the tokens were not placed.
    """
    if tokens.end is None:
        raise ValueError("tokens on a bridge must be placed before anything is asked of their path")
    return tokens.end

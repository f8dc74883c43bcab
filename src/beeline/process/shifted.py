"""Any continuous path run through at another speed.

    path(t'),   t' = s t / (1 + (s - 1) t),   dt'/dt = s / (1 + (s - 1) t)^2

alpha, sigma and all that follows from them are those of the path at t'; velocities are dt'/dt times as large.

Source: Esser et al. 2024, "Scaling rectified flow transformers for high-resolution image synthesis", equation 23.

Shapes: B rows, L tokens a row, C numbers a token, N samples.
"""

from __future__ import annotations

from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.protocols import Source
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.densities import shift_time
from beeline.process.path import GaussianPath

_VELOCITIES = ("velocity", "velocity_to_data")


class Shifted(GaussianPath):
    """A path that spends more time near the noise for s > 1, near the data for s < 1.

    Args:
        path: continuous.
        shift: s, above 0; 1 is off.
    """

    def __init__(self, path: GaussianPath, shift: float) -> None:
        super().__init__(f"{path.time_input_name} at t shifted by {shift:g}", path.sigma_data)
        self.path = path
        self.shift = shift
        self.known_end = path.known_end
        self.is_gaussian = path.is_gaussian
        self.t_min, self.t_max = (min(1.0, end / (shift - (shift - 1.0) * end)) for end in (path.t_min, path.t_max))

    def inner(self, t: Tensor) -> Tensor:
        """t', the time at which the path is at t; rounding does not carry it past the noise."""
        return shift_time(t, self.shift).clamp(max=1.0)

    def rate(self, t: Tensor) -> Tensor:
        """dt'/dt."""
        return self.shift / (1.0 + (self.shift - 1.0) * t).square()

    def alpha(self, t: Tensor) -> Tensor:
        """alpha(t')."""
        return self.path.alpha(self.inner(t))

    def sigma(self, t: Tensor) -> Tensor:
        """sigma(t')."""
        return self.path.sigma(self.inner(t))

    def alpha_derivative(self, t: Tensor) -> Tensor:
        """alpha'(t') dt'/dt."""
        return self.path.alpha_derivative(self.inner(t)) * self.rate(t)

    def sigma_derivative(self, t: Tensor) -> Tensor:
        """sigma'(t') dt'/dt."""
        return self.path.sigma_derivative(self.inner(t)) * self.rate(t)

    def time_input(self, t: Tensor) -> Tensor:
        """What the network sees of the path at t'."""
        return self.path.time_input(self.inner(t))

    def input_scale(self, t: Tensor) -> Tensor | None:
        """That of the path at t'."""
        return self.path.input_scale(self.inner(t))

    def placed(self, tokens: Tokens, conditions: Conditions) -> Tokens:
        """As the path places them."""
        return self.path.placed(tokens, conditions)

    def prior(self, like: Tokens, source: Source, key: Key, t: float) -> Tokens:
        """The start of the path at t'."""
        return self.path.prior(like, source, key, self.shift * t / (1.0 + (self.shift - 1.0) * t))

    def mix(self, x0: Tokens, e: Tensor, t: Tensor) -> Tokens:
        """x of the path at t'."""
        return self.path.mix(x0, e, self.inner(t))

    def target(self, x0: Tokens, e: Tensor, t: Tensor, prediction: str) -> Tensor:
        """That of the path at t'; a velocity dt'/dt times as large."""
        plain = self.path.target(x0, e, self.inner(t), prediction)
        return plain * x0.expand(self.rate(t)) if prediction in _VELOCITIES else plain

    def convert(self, y: Tensor, x_t: Tokens, t: Tensor, source: str, target: str) -> Tensor:
        """Rewrite a prediction of one kind as another, as the path does at t'."""
        if source == target:
            return y
        rate = x_t.expand(self.rate(t))
        plain = self.path.convert(y / rate if source in _VELOCITIES else y, x_t, self.inner(t), source, target)
        return plain * rate if target in _VELOCITIES else plain

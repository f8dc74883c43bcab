"""The algebra that every Gaussian path shares.

    x_t = alpha(t) x0 + sigma(t) e                      t = 0 data, t = 1 noise
    y   = a(t) x0 + b(t) e                              any prediction
    x0  = (b x_t - sigma y) / (alpha b - sigma a)       one 2x2 solve for both
    e   = (alpha y - a x_t) / (alpha b - sigma a)

    prediction         a          b
    data               1          0
    noise              0          1
    velocity           alpha'     sigma'
    velocity_to_data   -alpha'    -sigma'               SiT and LightningDiT, whose time runs from noise to data
    score              0          -1 / sigma
    v                  -sigma     alpha                 v-diffusion, Salimans & Ho 2022, appendix D
    edm                sigma/(sd s)  -alpha sd/s        Karras et al. 2022, their F; s^2 = sigma^2 + alpha^2 sd^2

A path is four functions of t; all conversions follow from them.
Shapes: B rows, L tokens a row, C numbers a token, N samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from typing import get_args

import torch
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.errors import UserError, unknown
from beeline.core.protocols import Source
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.process.config import PredictionName

PREDICTIONS = get_args(PredictionName)

# A prediction is used only where x0 and e can be read from it, that is where the 2x2 system is this far from singular,
# and where a network's errors stay harmless: where the velocity, along which samplers walk, moves by at most so many
# times the error of the prediction, which itself is at most so many times as large as x0 and e.
_SMALLEST_DETERMINANT = 1e-3
LARGEST_FACTOR = 50.0

_TIMES_TRIED = 1001


class GaussianPath(ABC):
    """A process x_t = alpha(t) x0 + sigma(t) e with e from a source; subclasses give the four functions.

    Attributes:
        t_min: smallest time at which the four functions are finite and well scaled.
        t_max: largest such time.
        levels: number of noise levels of a discrete process, which are at t = 1/levels, 2/levels, ... 1; else 0.
        known_end: name of the condition that a path ends at, as bridges do; None of paths that end in noise.
        is_gaussian: whether e is Gaussian noise, not drawn from a population nor given by a condition.
        is_regression: whether there is no path to walk, and one pass of the network is the answer.

    Args:
        time_input_name: what the time embedding sees: 1000 t or 1 - t; the path's own when None.
        sigma_data: sd, standard deviation of the data that prediction edm reckons with.
    """

    t_min: float = 0.0
    t_max: float = 1.0
    levels: int = 0
    time_input_name: str = "1000 t"
    known_end: str | None = None
    is_gaussian: bool = True
    is_regression: bool = False

    def __init__(self, time_input_name: str | None = None, sigma_data: float = 0.5) -> None:
        if time_input_name is not None:
            self.time_input_name = time_input_name
        self.sigma_data = sigma_data

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Share of data at time t."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Share of noise at time t."""

    @abstractmethod
    def alpha_derivative(self, t: Tensor) -> Tensor:
        """d alpha / dt."""

    @abstractmethod
    def sigma_derivative(self, t: Tensor) -> Tensor:
        """d sigma / dt."""

    def time_input(self, t: Tensor) -> Tensor:
        """What the time embedding sees: 1000 t, because its slowest wave has a period of 10,000 (E18), or 1 - t."""
        return 1.0 - t if self.time_input_name == "1 - t" else 1000.0 * t

    def input_scale(self, t: Tensor) -> Tensor | None:
        """Factor on x_t at the entrance of the network; None: it sees x_t as it is."""
        return None

    def placed(self, tokens: Tokens, conditions: Conditions) -> Tokens:
        """Tokens that know where their path ends, at the value of a condition, dropped or not; elsewhere the same."""
        if self.known_end is None:
            return tokens
        return replace(tokens, end=tokens.only_data(conditions.values[self.known_end].to(tokens.values)))

    def coefficients(self, t: Tensor, prediction: str) -> tuple[Tensor, Tensor]:
        """(a, b) of y = a x0 + b e.

        Raises:
            UserError: no prediction has that name.
        """
        zero, one = torch.zeros_like(t), torch.ones_like(t)
        match prediction:
            case "data":
                return one, zero
            case "noise":
                return zero, one
            case "velocity":
                return self.alpha_derivative(t), self.sigma_derivative(t)
            case "velocity_to_data":
                return -self.alpha_derivative(t), -self.sigma_derivative(t)
            case "score" if not self.is_gaussian:
                raise UserError("prediction score: means nothing where the source is a population, not noise; use data")
            case "score":
                return zero, -1.0 / self.sigma(t)
            case "v":
                return -self.sigma(t), self.alpha(t)
            case "edm":
                alpha, sigma, deviation = self.alpha(t), self.sigma(t), self.sigma_data
                size = torch.sqrt(sigma.square() + (alpha * deviation).square())
                return sigma / (deviation * size), -alpha * deviation / size
        raise unknown("prediction", prediction, PREDICTIONS)

    def determinant(self, t: Tensor, prediction: str) -> Tensor:
        """alpha b - sigma a: how far the 2x2 system is from singular."""
        a, b = self.coefficients(t, prediction)
        return self.alpha(t) * b - self.sigma(t) * a

    def interval(self, prediction: str) -> tuple[float, float]:
        """[t_min, t_max] on which x0 and e can be read from that prediction.

        The longest stretch of the path's own interval where the determinant is at least 1e-3 in size, no coefficient
        exceeds 50, and neither does |d velocity / d prediction|, the ratio of their determinants; all of them where
        x_t is larger than 1 in units of its size sqrt(alpha^2 + sigma^2).

        Raises:
            UserError: there is no such stretch.
        """
        return self._longest_stretch(self.is_usable, prediction)

    def solver_interval(self, prediction: str) -> tuple[float, float]:
        """The part of ``interval`` along which solvers walk; on continuous paths the whole."""
        return self.interval(prediction)

    def _longest_stretch(self, is_usable: Callable[[Tensor, str], Tensor], prediction: str) -> tuple[float, float]:
        times = torch.linspace(self.t_min, self.t_max, _TIMES_TRIED, dtype=torch.float64)
        usable = is_usable(times, prediction).tolist()
        stretches = [list(group) for good, group in groupby(range(len(times)), usable.__getitem__) if good]
        if not stretches:
            raise UserError(f"prediction {prediction}: nowhere on this path can data and noise be read from it")
        longest = max(stretches, key=len)
        first, last = longest[0], longest[-1]
        low, high = times[first], times[last]
        if first > 0:
            low = _edge(lambda t: bool(is_usable(t, prediction)), times[first - 1], low)
        if last < len(times) - 1:
            high = _edge(lambda t: bool(is_usable(t, prediction)), times[last + 1], high)
        return low.item(), high.item()

    def is_usable(self, t: Tensor, prediction: str) -> Tensor:
        """Whether x0 and e can be read from a prediction at time t, as ``interval`` asks."""
        a, b = self.coefficients(t, prediction)
        determinant = self.determinant(t, prediction).abs()
        factor = self.determinant(t, "velocity").abs() / determinant
        square = self.alpha(t).square() + self.sigma(t).square()
        # Rounding about 1 must not move the intervals of variance-preserving paths.
        size = torch.where(square > 1.0 + 1e-9, square, 1.0).sqrt()
        determinant = determinant / size
        largest = torch.maximum(torch.maximum(a.abs(), b.abs()), factor) / size
        return (determinant >= _SMALLEST_DETERMINANT) & (largest <= LARGEST_FACTOR)

    def prior(self, like: Tokens, source: Source, key: Key, t: float) -> Tokens:
        """Where sampling starts: the marginal of the noise at t, sigma(t) e.

        Args:
            like: tokens whose form the start has.
            source: where e comes from.
            key: names the draws.
            t: the time at which sampling starts.
        """
        sigma = self.sigma(torch.tensor(t, dtype=torch.float64)).item()
        return like.with_values(sigma * source.sample(like, key))

    def mix(self, x0: Tokens, e: Tensor, t: Tensor) -> Tokens:
        """x_t = alpha x0 + sigma e.

        Args:
            x0: data.
            e: (B, L, C) noise.
            t: (N,) times.
        """
        alpha, sigma = x0.expand(self.alpha(t)), x0.expand(self.sigma(t))
        return x0.with_values(alpha * x0.values + sigma * e)

    def target(self, x0: Tokens, e: Tensor, t: Tensor, prediction: str) -> Tensor:
        """y = a x0 + b e, what a prediction should be.

        Args:
            x0: data.
            e: (B, L, C) noise that was mixed in.
            t: (N,) times.
            prediction: its kind.
        """
        a, b = (x0.expand(c) for c in self.coefficients(t, prediction))
        return a * x0.values + b * e

    def convert(self, y: Tensor, x_t: Tokens, t: Tensor, source: str, target: str) -> Tensor:
        """Rewrite a prediction of one kind as another.

        Args:
            y: (B, L, C) prediction of kind ``source``.
            x_t: the noisy sample it was made at.
            t: (N,) times, within ``interval(source)``.
            source: kind of ``y``.
            target: kind wanted.
        """
        if source == target:
            return y
        alpha, sigma = x_t.expand(self.alpha(t)), x_t.expand(self.sigma(t))
        a, b = (x_t.expand(c) for c in self.coefficients(t, source))
        determinant = alpha * b - sigma * a
        x0 = (b * x_t.values - sigma * y) / determinant
        e = (alpha * y - a * x_t.values) / determinant
        a, b = (x_t.expand(c) for c in self.coefficients(t, target))
        return a * x0 + b * e


def _edge(usable: Callable[[Tensor], bool], outside: Tensor, inside: Tensor) -> Tensor:
    """Where, between two times, a prediction begins to be usable: the last usable one found by bisection."""
    for _ in range(50):
        middle = 0.5 * (inside + outside)
        if usable(middle):
            inside = middle
        else:
            outside = middle
    return inside

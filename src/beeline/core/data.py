"""What a modality hands over: examples in, named scores out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from beeline.core.conditions import Conditions
from beeline.core.tokens import Tokens


@dataclass(frozen=True)
class Example:
    """One sample as its owner knows it.

    Args:
        array: native array: grids are (extent per axis ..., channels), in native units and dtype.
        condition: what is known about it, by condition name; a missing name stands for "unknown".
        group: what an example belongs to (a speaker, a simulation), None for nothing; one in both splits is refused.
    """

    array: np.ndarray[Any, Any]
    condition: Mapping[str, Any] = field(default_factory=dict)
    group: Hashable = None


@dataclass(frozen=True)
class Batch:
    """Training examples in the form that an objective takes."""

    tokens: Tokens
    conditions: Conditions

    def to(self, device: str) -> Batch:
        """The same batch on another device."""
        return Batch(self.tokens.to(device), self.conditions.to(device))


Examples = Sequence[Example]


@dataclass(frozen=True)
class Metric:
    """A number that tells how good generated samples are.

    Args:
        name: what the report calls it.
        formula: how it is computed, in one line.
        function: (training examples, held-out examples, generated examples) -> value.
        low: smallest value of a good model.
        high: largest value of a good model.
    """

    name: str
    formula: str
    function: Callable[[Examples, Examples, Examples], float]
    low: float = float("-inf")
    high: float = float("inf")

    def passes(self, value: float) -> bool:
        """Whether a value is what a good model reaches; never for a value that is not a number."""
        return self.low <= value <= self.high

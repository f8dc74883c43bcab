"""A numeric vector: physical parameters, ages, doses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from beeline.conditioning.numbers import finite_numbers, parse_numbers
from beeline.core.errors import UserError
from beeline.core.protocols import Route, Tokenizer
from beeline.data.moments import channel_moments, never_varies


@dataclass(frozen=True)
class Vector:
    """Some numbers, standardised by their training mean and deviation, which travel with the model.

    Args:
        name: key in ``Example.condition``.
        size: how many numbers.
        dropout: share of training samples that see the null; 0 leaves the null out.
        mean: training means, once fitted.
        deviation: training standard deviations, once fitted.
    """

    name: str
    size: int
    dropout: float = 0.1
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    route: ClassVar[Route] = "global"
    choices: ClassVar[None] = None

    @property
    def channels(self) -> int:
        """How many numbers."""
        return self.size

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 <= self.dropout < 1:
            raise UserError(f"condition {self.name}: need size >= 1 and 0 <= dropout < 1")

    @property
    def has_null(self) -> bool:
        """Whether it may be absent: where training drops it."""
        return self.dropout > 0

    def fit(self, values: Iterable[Any]) -> Self:
        """Measure mean and deviation of the training values.

        Raises:
            UserError: a component never varies, so that nothing can be learned from it.
        """
        present = (finite_numbers(self.name, value, self.size).numpy() for value in values if value is not None)
        count, mean, deviation = channel_moments(present, self.size)
        for index in np.flatnonzero(never_varies(mean, deviation)):
            what = "is the same in every example" if count[index] else "is never given"
            raise UserError(f"condition {self.name}: component {index} {what}; leave it out")
        return replace(self, mean=tuple(mean.tolist()), deviation=tuple(deviation.tolist()))

    def encode(self, value: Any) -> Tensor:
        """Standardised numbers (size,); None as zeros, whose place the null takes.

        Raises:
            UserError: the value does not hold ``size`` finite numbers.
        """
        if value is None:
            return torch.zeros(self.size)
        mean, deviation = (torch.tensor(part, dtype=torch.float64) for part in (self.mean, self.deviation))
        return ((finite_numbers(self.name, value, self.size) - mean) / deviation).to(torch.float32)

    def parse(self, text: str) -> list[float]:
        """Numbers separated by commas.

        Raises:
            UserError: something between the commas is not a number.
        """
        return parse_numbers(self.name, text, self.size)

    def embedder(self, hidden_size: int, tokenizer: Tokenizer) -> nn.Module:
        """A two-layer network, and a trained vector for the null where the condition is dropped."""
        return VectorEmbedding(self.size, hidden_size, has_null=self.dropout > 0)


class VectorEmbedding(nn.Module):
    """Linear, SiLU, Linear; a trained vector in place of absent values.

    Args:
        size: numbers in.
        hidden_size: numbers out.
        has_null: whether there is a vector for "unknown".
    """

    def __init__(self, size: int, hidden_size: int, has_null: bool) -> None:
        super().__init__()
        self.first = nn.Linear(size, hidden_size)
        self.second = nn.Linear(hidden_size, hidden_size)
        self.null = nn.init.normal_(nn.Parameter(torch.empty(hidden_size)), std=0.02) if has_null else None

    def forward(self, values_NK: Tensor, null_N: Tensor) -> Tensor:
        """(N, size) and null mask to (N, D)."""
        vectors: Tensor = self.second(nn.functional.silu(self.first(values_NK)))
        return vectors if self.null is None else torch.where(null_N[:, None], self.null, vectors)

"""How a training example was varied, told to the network so that samples are not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from beeline.conditioning.numbers import finite_numbers, parse_numbers
from beeline.core.protocols import Route, Tokenizer


@dataclass(frozen=True)
class AugmentationLabel:
    """Some numbers that say how an example was varied; all zero, as where it is absent, is "not at all".

    Embedded by a matrix without offset, so that "not at all" adds nothing (Karras et al. 2022, appendix F.2).

    Args:
        name: key in ``Example.condition``.
        size: how many numbers.
    """

    name: str
    size: int

    route: ClassVar[Route] = "global"
    choices: ClassVar[None] = None
    dropout: ClassVar[float] = 0.0
    has_null: ClassVar[bool] = True

    @property
    def channels(self) -> int:
        """How many numbers."""
        return self.size

    def fit(self, values: Iterable[Any]) -> Self:
        """Nothing to measure."""
        return self

    def encode(self, value: Any) -> Tensor:
        """The numbers (size,); None as zeros.

        Raises:
            UserError: the value does not hold ``size`` finite numbers.
        """
        if value is None:
            return torch.zeros(self.size)
        return finite_numbers(self.name, value, self.size).to(torch.float32)

    def parse(self, text: str) -> list[float]:
        """Numbers separated by commas.

        Raises:
            UserError: something between the commas is not a number.
        """
        return parse_numbers(self.name, text, self.size)

    def embedder(self, hidden_size: int, tokenizer: Tokenizer) -> nn.Module:
        """A matrix without offset."""
        return AugmentationEmbedding(self.size, hidden_size)


class AugmentationEmbedding(nn.Module):
    """A linear map; zero in place of absent values.

    Args:
        size: numbers in.
        hidden_size: numbers out.
    """

    def __init__(self, size: int, hidden_size: int) -> None:
        super().__init__()
        self.matrix = nn.Linear(size, hidden_size, bias=False)

    def forward(self, values_NK: Tensor, null_N: Tensor) -> Tensor:
        """(N, size) and null mask to (N, D)."""
        vectors: Tensor = self.matrix(torch.where(null_N[:, None], 0.0, values_NK))
        return vectors

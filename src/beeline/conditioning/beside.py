"""What is known of a sample and not told to the network: the cell type of a control cell, a site, a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from beeline.core.protocols import Route, Tokenizer


@dataclass(frozen=True)
class Beside:
    """A text that goes into files and measures alone.

    Args:
        name: key in ``Example.condition``.
    """

    name: str

    route: ClassVar[Route] = "beside"
    choices: ClassVar[None] = None
    dropout: ClassVar[float] = 0.0
    has_null: ClassVar[bool] = True
    channels: ClassVar[int] = 1

    def fit(self, values: Iterable[Any]) -> Self:
        """Nothing to measure."""
        return self

    def encode(self, value: Any) -> Tensor:
        """Nothing that a network could see."""
        return torch.zeros(0)

    def parse(self, text: str) -> str:
        """The text as it is."""
        return text

    def embedder(self, hidden_size: int, tokenizer: Tokenizer) -> nn.Module:
        """None is needed."""
        return nn.Identity()

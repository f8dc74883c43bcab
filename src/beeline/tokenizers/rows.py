"""Sets of things without names or places: cells of a population, draws of a distribution.

An array (S, C) holds C numbers of each of S things. A token is a thing; order means nothing, and S may be any number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from beeline.core.errors import UserError
from beeline.core.tokens import Layout, Tokens


@dataclass(frozen=True)
class RowTokenizer:
    """One token for each row of an array.

    Args:
        width: numbers of a row, C.
    """

    width: int

    axes = 0
    identities = 0
    exact = True

    def __post_init__(self) -> None:
        if self.width < 1:
            raise UserError(f"width {self.width}: must be at least 1")

    def fit(self, arrays: Iterable[Any]) -> Self:
        """Nothing to measure."""
        return self

    def encode(self, array: Tensor) -> Tokens:
        """One array (S, C) to Tokens with B = 1.

        Raises:
            UserError: the array has another width or no row.
        """
        if array.dim() != 2 or array.shape[1] != self.width:
            raise UserError(f"an array of shape {tuple(array.shape)} does not fit: need rows of {self.width} numbers")
        return self.blank(self.form(array)).with_values(self.lift(array))

    def decode(self, tokens: Tokens) -> Tensor:
        """Undo ``encode`` on a single sample: (S, C)."""
        return tokens.values[0]

    def lift(self, array: Tensor, like: Tokens | None = None) -> Tensor:
        """Rows (S, K) aligned with the data, or a single one for all of ``like``'s: (1, S, K)."""
        return array[None] if like is None else array.expand(like.layout[0].shape[0], -1)[None]

    def lift_width(self, channels: int) -> int:
        """Numbers a token of a lifted array."""
        return channels

    def form(self, array: Tensor) -> tuple[int, ...]:
        """The number of rows."""
        return (array.shape[0],)

    def blank(self, form: tuple[int, ...]) -> Tokens:
        """Zero tokens, as many as are asked for.

        Raises:
            UserError: that is no number above 0.
        """
        if len(form) != 1 or form[0] < 1:
            raise UserError(f"shape {'x'.join(map(str, form))}: these data are sets; say how many things are in one")
        return Tokens(torch.zeros(1, form[0], self.width), layout=(Layout(form, form),))

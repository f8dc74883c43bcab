"""Sets of tokens with identities and no positions: genes, species, items of a questionnaire.

An array (G,) holds one number for each of G identities, NaN where it was not measured. A token is one measured
number; its identity says which. Order means nothing.
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
class SetTokenizer:
    """One token for each measured entry of a vector.

    Args:
        identities: entries of the vector, G.
    """

    identities: int

    width = 1
    axes = 0
    exact = True

    def fit(self, arrays: Iterable[Any]) -> Self:
        """Nothing to measure."""
        return self

    def encode(self, array: Tensor) -> Tokens:
        """One vector (G,), NaN where absent, to Tokens with B = 1.

        Raises:
            UserError: the vector has another length or nothing was measured.
        """
        if array.shape != (self.identities,):
            raise UserError(f"an array of shape {tuple(array.shape)} does not fit: need ({self.identities},)")
        ids = self.form(array)
        if not ids:
            raise UserError("a set without a single measured entry cannot be used")
        return self.blank(ids).with_values(self.lift(array))

    def decode(self, tokens: Tokens) -> Tensor:
        """Undo ``encode`` on a single sample: (G,), NaN where absent."""
        array = tokens.values.new_full((self.identities,), float("nan"))
        assert tokens.ids is not None
        array[tokens.ids[0]] = tokens.values[0, :, 0]
        return array

    def lift(self, array: Tensor, like: Tokens | None = None) -> Tensor:
        """The entries (G,) or (G, K) of ``like``'s identities, or of those that are not NaN: (1, L, K)."""
        ids = torch.tensor(self.form(array)) if like is None or like.ids is None else like.ids[0]
        return array[ids].reshape(1, len(ids), -1)

    def lift_width(self, channels: int) -> int:
        """Numbers a token of a lifted array."""
        return channels

    def form(self, array: Tensor) -> tuple[int, ...]:
        """The identities that were measured."""
        absent = torch.isnan(array) if array.dim() == 1 else torch.isnan(array).all(dim=-1)
        return tuple(torch.nonzero(~absent)[:, 0].tolist())

    def blank(self, form: tuple[int, ...]) -> Tokens:
        """Zero tokens of those identities.

        Raises:
            UserError: an identity does not exist or is named twice.
        """
        if not form or min(form) < 0 or max(form) >= self.identities or len(set(form)) < len(form):
            raise UserError(f"identities {form} must differ and lie between 0 and {self.identities - 1}")
        return Tokens(
            torch.zeros(1, len(form), 1),
            ids=torch.tensor(form)[None],
            layout=(Layout((len(form),), (self.identities,)),),
        )

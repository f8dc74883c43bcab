"""Sets of tokens with identities and no positions: genes, species, items of a questionnaire.

An array (G,) holds one number for each of G identities, NaN where it was not measured. A token is one measured
number; its identity says which. Order means nothing.

Which identities go together can be measured, so that a network need not find it out: loadings of the leading principal
components w_k of the training arrays x, each of unit size over the identities,

    l_gk = w_gk sqrt(G),    w_k the eigenvectors of <(x - <x>) (x - <x>)^T>,    absent numbers at 0

Shapes: G identities, L tokens, K components or channels.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from beeline.core.errors import UserError
from beeline.core.tokens import Layout, Tokens
from beeline.data.moments import leading_components

_MOST_RELATED = 5000  # beside which a covariance matrix has 25 million entries


@dataclass(frozen=True)
class SetTokenizer:
    """One token for each measured entry of a vector.

    Args:
        identities: entries of the vector, G.
        components: whose loadings tell a network which identities go together; 0 for none.
        fitted: the loadings as base64 of float32, once fitted; empty without.
    """

    identities: int
    components: int = 0
    fitted: str = ""

    width = 1
    axes = 0
    exact = True

    def fit(self, arrays: Iterable[Any]) -> Self:
        """Measure the loadings, where they are wanted and there are at most 5,000 identities."""
        if not self.components or self.identities > _MOST_RELATED:
            return self
        known = leading_components(arrays, self.components)
        loadings = (known.T * np.sqrt(self.identities)).astype("<f4")
        return replace(self, fitted=base64.b64encode(loadings.tobytes()).decode("ascii"))

    def kinship(self) -> Tensor | None:
        """(G, K) loadings of each identity; None where they were not measured."""
        if not self.fitted:
            return None
        loadings = np.frombuffer(base64.b64decode(self.fitted), dtype="<f4").reshape(self.identities, -1)
        return torch.from_numpy(loadings.astype(np.float32))

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

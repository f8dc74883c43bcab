"""What conditions of route ``cross`` share: where their tokens lie among those of the data, and how they are embedded.

A cell of the data has its centre at its index: cell i covers [i - 1/2, i + 1/2]. Token j of patches of p cells covers
the cells p j ... p j + p - 1, so that a place x among the cells is

    j = (x + 1/2) / p - 1/2

among the tokens, where the data's own tokens lie at whole numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from beeline.core.context import Context
from beeline.core.errors import UserError
from beeline.core.protocols import Tokenizer


def among_tokens(name: str, places: Tensor, tokenizer: Tokenizer) -> Tensor:
    """Places among the cells of the data as places among its tokens.

    Args:
        name: of the condition, for the message.
        places: (..., P) cells, whole numbers at their centres.
        tokenizer: of the data.

    Raises:
        UserError: its tokens are no patches along as many axes.
    """
    patch = getattr(tokenizer, "patch", None)
    axes = places.shape[-1]
    if not isinstance(patch, tuple) or len(patch) != axes:
        raise UserError(
            f"condition {name}: its tokens lie along {axes} axes, and the data have no patches along as many; it goes "
            "with grids alone"
        )
    return (places + 0.5) / torch.tensor(patch, dtype=places.dtype, device=places.device) - 0.5


class ContextEmbedding(nn.Module):
    """A linear layer to tokens of hidden size; where the condition is absent, no token and a trained vector.

    Args:
        width: numbers a token.
        hidden_size: D.
        has_null: whether there is a vector for "unknown".
    """

    def __init__(self, width: int, hidden_size: int, has_null: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(width, hidden_size)
        self.null = nn.init.normal_(nn.Parameter(torch.empty(hidden_size)), std=0.02) if has_null else None

    def forward(self, context: Context, null_N: Tensor) -> tuple[Context, Tensor | None]:
        """(N, M, width) numbers and a null mask to (N, M, D) tokens and (N, D), zero where the condition is there."""
        seen = Context(self.linear(context.values), context.coords, context.keep & ~null_N[:, None])
        return seen, None if self.null is None else torch.where(null_N[:, None], self.null, 0.0)

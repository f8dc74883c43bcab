"""What the blocks of a transformer share beside its tokens; the same from pass to pass of a walk.

Shapes: B rows, L tokens a row, M tokens of a context, D hidden numbers, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from beeline.nn.attention import Sight


@dataclass(frozen=True)
class Looked:
    """Tokens of conditions, as every block attends to them.

    Args:
        values: (B, M, D).
        mask: (B, 1, 1, M) True where one may be looked at; all of a row that has none.
        is_there: (B, 1, 1) whether a row has any.
        rotary: cosines and sines of their rotary positions, or None.
        pair: keys and values that one block makes of them, (B, H, M, D / H) each; None where it makes them itself.
    """

    values: Tensor
    mask: Tensor
    is_there: Tensor
    rotary: tuple[Tensor, Tensor] | None = None
    pair: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Surroundings:
    """What a block is given beside tokens and conditioning vectors.

    Args:
        segment: (B, L) sample of each token, or None when rows are samples.
        sight: which tokens may look at which, or None for all.
        rotary: cosines and sines of rotary positions, or None.
        context: what rows may attend to beside themselves, or None.
    """

    segment: Tensor | None = None
    sight: Sight = None
    rotary: tuple[Tensor, Tensor] | None = None
    context: Looked | None = None


@dataclass(frozen=True)
class Frame:
    """Where the tokens of a batch lie, and what they may look at.

    Args:
        tables: added to the embedded tokens, in turn: identities, positions; (1 or B, L, D).
        around: of each block.
        order: (T,) place in the rows, which are behind one another, of each of the T tokens that blocks see in a single
            row of their own; None where they see the rows.
    """

    tables: tuple[Tensor, ...]
    around: tuple[Surroundings, ...]
    order: Tensor | None = None

    def taken(self, rows_BLC: Tensor) -> Tensor:
        """Numbers of tokens as blocks see them: (B, L, C), or (1, T, C)."""
        return rows_BLC if self.order is None else rows_BLC.flatten(0, 1)[self.order][None]

    def put_back(self, seen: Tensor, shape: torch.Size) -> Tensor:
        """Undo ``taken``, with zeros where there is no token.

        Args:
            seen: numbers of tokens as blocks see them.
            shape: of the rows, beginning with B and L.
        """
        if self.order is None:
            return seen
        flat = seen.new_zeros(shape[0] * shape[1], seen.shape[-1])
        return flat.index_copy(0, self.order, seen[0]).unflatten(0, shape[:2])


def arranged(rows: Tensor | None, order: Tensor) -> Tensor | None:
    """Tokens of rows in a single one of another order.

    Args:
        rows: (B, L, ...).
        order: (T,) place in the rows, which are behind one another, of each of T tokens.
    """
    return rows if rows is None else rows.flatten(0, 1)[order][None]

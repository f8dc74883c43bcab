"""What the blocks of a transformer share beside its tokens; the same from pass to pass of a walk.

Shapes: B rows, L tokens a row, M tokens of a context, D hidden numbers, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


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
        mask: which tokens may look at which, or None for all.
        rotary: cosines and sines of rotary positions, or None.
        context: what rows may attend to beside themselves, or None.
    """

    segment: Tensor | None = None
    mask: Tensor | None = None
    rotary: tuple[Tensor, Tensor] | None = None
    context: Looked | None = None


@dataclass(frozen=True)
class Frame:
    """Where the tokens of a batch lie, and what they may look at.

    Args:
        tables: added to the embedded tokens, in turn: identities, positions; (1 or B, L, D).
        around: of each block.
    """

    tables: tuple[Tensor, ...]
    around: tuple[Surroundings, ...]

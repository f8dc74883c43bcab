"""What stands between tokens with their conditions and what is said about them: a transformer, a U-Net."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from beeline.core.context import Context
from beeline.core.tokens import Tokens


class Backbone(Protocol):
    """A network over tokens, whatever it makes of their places.

    Attributes:
        recompute: compute activations again on the way back instead of keeping them.
        recomputes: whether it can.
    """

    recompute: bool
    recomputes: bool

    def over(
        self, tokens: Tokens, time_N: Tensor, condition_ND: Tensor | None = None, context: Context | None = None
    ) -> Tensor:
        """Outputs for every token: (B, L, outputs x C).

        Args:
            tokens: noisy, the features of ``concat`` conditions appended to their numbers.
            time_N: what ``Process.time_input`` gives.
            condition_ND: sum of the ``global`` conditions' embeddings, of ``condition_width``.
            context: tokens of ``cross`` conditions, of the same width.

        Raises:
            UserError: tokens of such a form are not for it.
        """

    def check_extents(self, extents: tuple[int, ...]) -> None:
        """Refuse samples that it cannot place.

        Args:
            extents: tokens along each axis.

        Raises:
            UserError: saying why.
        """

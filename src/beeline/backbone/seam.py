"""What stands between tokens with their conditions and what is said about them: a transformer, a U-Net."""

from __future__ import annotations

from typing import Any, Protocol

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

    def frame_of(self, tokens: Tokens, context: Context | None = None, lasting: bool = False) -> Any:
        """What is the same in every pass over tokens of these places, whatever their numbers.

        Args:
            tokens: a batch.
            context: tokens of ``cross`` conditions, of ``condition_width``.
            lasting: whether several passes follow, and no gradients.

        Raises:
            UserError: tokens of such a form are not for it.
        """

    def over(self, values_BLC: Tensor, time_N: Tensor, condition_ND: Tensor | None, frame: Any) -> Tensor:
        """Outputs for every token: (B, L, outputs x C).

        Args:
            values_BLC: noisy tokens, the features of ``concat`` conditions appended.
            time_N: what ``Process.time_input`` gives.
            condition_ND: sum of the ``global`` conditions' embeddings, of ``condition_width``; None without any.
            frame: what ``frame_of`` gave for them.
        """

    def check_extents(self, extents: tuple[int, ...]) -> None:
        """Refuse samples that it cannot place.

        Args:
            extents: tokens along each axis.

        Raises:
            UserError: saying why.
        """

"""Where noise comes from. Every draw of e in the library goes through a Source.

Shapes: B rows, L tokens a row, C numbers a token, N samples.
"""

from __future__ import annotations

from torch import Tensor

from beeline.core.random import Key
from beeline.core.tokens import Tokens


class Gaussian:
    """e ~ N(0, I)."""

    def sample(self, like: Tokens, key: Key) -> Tensor:
        """Draw (B, L, C) noise; a token's draws depend on its sample's key and its place in the sample alone."""
        _, length, width = like.values.shape
        draws = key.normal(length * width).to(like.values.dtype).unflatten(1, (length, width))
        if like.segment is not None:
            draws = draws[like.segment.clamp(min=0), like.position()]
        return like.only_data(draws)


class ZeroMean:
    """Gaussian noise without its mean over the tokens of each sample, for data whose place in space means nothing.

    e = z - mean(z), z ~ N(0, I): the Gaussian on the subspace of zero centre of mass (Hoogeboom et al. 2022,
    "Equivariant diffusion for molecule generation in 3D", section 3.1).
    """

    def sample(self, like: Tokens, key: Key) -> Tensor:
        """Draw (B, L, C) noise whose real tokens sum to zero in every sample and channel."""
        noise = Gaussian().sample(like, key)
        return like.only_data(noise - like.expand(like.channel_means(noise)))

"""Where noise comes from. Every draw of e in the library goes through a Source.

Shapes: B rows, L tokens a row, C numbers a token, N samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from beeline.core.random import Key
from beeline.core.tokens import Tokens


class Gaussian:
    """e ~ N(0, I)."""

    def sample(self, like: Tokens, key: Key) -> Tensor:
        """Draw (B, L, C) noise; a token's draws depend on its sample's key and its place in the sample alone."""
        _, length, width = like.values.shape
        draws = key.normal(length * width).to(like.values.dtype).unflatten(1, (length, width))
        if like.segment is None:
            return draws
        return draws[like.segment.clamp(min=0), like.position()]


class ZeroMean:
    """Gaussian noise without its mean over the tokens of each sample, for data whose place in space means nothing.

    e = z - mean(z), z ~ N(0, I): the Gaussian on the subspace of zero centre of mass (Hoogeboom et al. 2022,
    "Equivariant diffusion for molecule generation in 3D", section 3.1).
    """

    def sample(self, like: Tokens, key: Key) -> Tensor:
        """Draw (B, L, C) noise whose real tokens sum to zero in every sample and channel."""
        noise = Gaussian().sample(like, key)
        means = [like.sample_mean(noise[..., channel : channel + 1]) for channel in range(noise.shape[-1])]
        return noise - like.expand(torch.stack(means, dim=-1))

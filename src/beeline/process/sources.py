"""Where noise comes from. Every draw of e in the library goes through a Source.

Shapes: B rows, L tokens a row, C numbers a token, N samples.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from beeline.core.errors import UserError
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


class KnownEnd:
    """The value of a condition in the place of noise: e is what the path of a sample ends at, such as a control cell.

    Nothing is drawn: a sample is an answer to its own start, and scores, SDEs and likelihoods mean nothing.
    """

    def sample(self, like: Tokens, key: Key) -> Tensor:
        """The ends of the paths, (B, L, C), whatever the key.

        Raises:
            ValueError: the tokens were not placed.
        """
        if like.end is None:
            raise ValueError("tokens whose paths start from a condition must be placed before a draw")
        return like.end


class Population(nn.Module):
    """Other data in the place of noise: e is a member of a population, such as control cells, drawn with replacement.

    Such an e has no density that is known, so that on its paths scores, SDEs and likelihoods mean nothing. The members
    are saved with the network, of which this is a part.

    Args:
        members: (M, L, C) tokens of the members, all of one form; without them nothing can be drawn.
    """

    members: Tensor

    def __init__(self, members: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("members", torch.zeros(0, 0, 0) if members is None else members)

    def sample(self, like: Tokens, key: Key) -> Tensor:
        """Draw (B, L, C): one member for each sample, which depends on its key alone.

        Raises:
            UserError: the samples have another form than the members, or share rows.
        """
        count, *form = self.members.shape
        if like.segment is not None or list(like.values.shape[1:]) != form:
            length, width = like.values.shape[1:]
            raise UserError(
                f"source population: its members are {' x '.join(map(str, form))} numbers each, not {length} x {width};"
                " ask for samples of the form of the training data, without packing"
            )
        drawn = (key.fold("member").uniform()[:, 0] * count).long()
        return like.only_data(self.members[drawn.to(self.members.device)].to(like.values))

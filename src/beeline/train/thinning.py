"""Training on some of the tokens of each sample: as many as are asked for, drawn anew every time it is met.

    loss = mean over a random subset of K of L tokens,    E[loss] = mean over all tokens of E[loss of a token]

Every token is in the subset with the same probability, K / L, so that no gene counts more than another; what a token's
loss is given depends on which others are seen beside it, which is what training on subsets is about. Which tokens are
drawn is a function of the seed and the global sample number.

Shapes: N samples, L tokens each, K of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from beeline.core.data import Batch
from beeline.core.errors import UserError
from beeline.core.protocols import Condition
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.model.codec import Codec, Encoded
from beeline.train.config import TrainConfig
from beeline.train.feed import Feed

_PURPOSE = "tokens seen"


def thinned(tokens: Tokens, key: Key, most: int) -> Tokens:
    """A random subset of the tokens of each sample, in the order in which they were; all where they are no more.

    Args:
        tokens: one sample a row.
        key: of the samples.
        most: tokens of each, K.
    """
    length = tokens.values.shape[1]
    if length <= most:
        return tokens
    draws = key.uniform(length).to(tokens.values.device)
    if tokens.keep is not None:
        draws = torch.where(tokens.keep, draws, 2.0)
    chosen = draws.argsort(dim=1)[:, :most].sort(dim=1).values

    def picked(part: Tensor | None) -> Tensor | None:
        if part is None:
            return None
        place = chosen if part.dim() == 2 else chosen[..., None].expand(-1, -1, part.shape[2])
        return part.expand(len(chosen), *part.shape[1:]).gather(1, place)

    names = ("coords", "ids", "keep", "cells", "observed", "end")
    parts = {name: picked(getattr(tokens, name)) for name in names}
    layout = tuple(replace(each, extents=(min(most, each.extents[0]),)) for each in tokens.layout)
    values = picked(tokens.values)
    assert values is not None
    return replace(tokens, values=values, layout=layout, **parts)


class ThinnedFeed:
    """Batches of another feed, of whose samples some tokens are seen.

    Args:
        feed: hands out whole samples, one a row.
        most: tokens of each, K.
        seed: of the draws.
    """

    def __init__(self, feed: Feed, most: int, seed: int) -> None:
        self.feed, self.most, self.seed = feed, most, seed
        self.codec, self.size, self.held = feed.codec, feed.size, feed.held
        self.waited, self.workers = feed.waited, feed.workers

    def batch(self, first: int, length: int) -> Batch:
        """The samples with numbers first ... first + length - 1."""
        batch = self.feed.batch(first, length)
        self.waited, self.workers = self.feed.waited, self.feed.workers
        key = Key.range(self.seed, first, length).fold(_PURPOSE)
        return replace(batch, tokens=thinned(batch.tokens, key, self.most))

    def close(self) -> None:
        """Let go of what reads."""
        self.feed.close()


def thinned_examples(examples: Sequence[Encoded], most: int, seed: int) -> list[Encoded]:
    """The same subset of each held-out example every time, so that losses on them compare.

    Args:
        examples: encoded.
        most: tokens of each.
        seed: of the draws.
    """
    keys = (Key.range(seed, place, 1).fold(f"{_PURPOSE} held out") for place in range(len(examples)))
    return [replace(each, tokens=thinned(each.tokens, key, most)) for each, key in zip(examples, keys, strict=True)]


def thinned_data(
    feed: Feed, unseen: Sequence[Encoded], most: int, config: TrainConfig, coupled: bool
) -> tuple[Feed, list[Encoded]]:
    """Training batches and held-out examples of which some tokens are seen.

    Args:
        feed: hands out whole samples.
        unseen: held-out examples.
        most: tokens of each.
        config: of training.
        coupled: whether noise is exchanged between samples.

    Raises:
        UserError: another option needs whole samples.
    """
    check_thinned(feed.codec, config.packing, coupled)
    return ThinnedFeed(feed, most, config.seed), thinned_examples(unseen, most, config.seed)


def check_thinned(codec: Codec, packing: bool, coupled: bool) -> None:
    """Refuse what means nothing where samples are seen in part.

    Args:
        codec: of the samples.
        packing: whether samples share rows.
        coupled: whether noise is exchanged between samples.

    Raises:
        UserError: naming it.
    """
    aligned: list[Condition] = [each for each in codec.conditions if each.route in ("concat", "start")]
    wrong = {
        "train.packing puts whole samples into rows": packing,
        "objective.coupling optimal_transport compares whole samples": coupled,
        f"condition {aligned[0].name if aligned else ''} lies under whole samples": bool(aligned),
        "the tokens of these data lie on a grid": bool(codec.tokenizer.axes),
    }
    for why, is_wrong in wrong.items():
        if is_wrong:
            raise UserError(f"{why}, and training sees some tokens of each; leave one of them out")

"""A map of another resolution than the data's, which the data attend to.

Cell c of a map of n cells along an axis of E cells of the data, spanning s times their length about the same centre,
has its centre at

    x = (s ((c + 1/2) / n - 1/2) + 1/2) E - 1/2                s = 1: both cover the same ground

among the cells of the data, and a patch of q cells of the map at the mean of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from beeline.conditioning.attended import ContextEmbedding, among_tokens
from beeline.conditioning.map import AlignedMap
from beeline.core.context import Context
from beeline.core.errors import UserError
from beeline.core.protocols import Route, Tokenizer
from beeline.core.tokens import Tokens


@dataclass(frozen=True)
class CoarseMap:
    """An array (E_1, ..., E_P, channels) of any extents over the ground of the data, or over more of it.

    Args:
        name: key in ``Example.condition``.
        patch: cells of a patch of the map along each axis; its extents must be multiples.
        channels: numbers a cell.
        span: how many times as long as the data the map is along each axis, about the same centre; 1 covers the same
            ground.
        dropout: share of training samples that see the null; 0 leaves the null out.
        mean: training mean of each channel, once fitted.
        deviation: training standard deviation of each channel, once fitted.
        extents: of the largest training map along each axis, once fitted.
    """

    name: str
    patch: tuple[int, ...]
    channels: int = 1
    span: float = 1.0
    dropout: float = 0.0
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    extents: tuple[int, ...] = ()

    route: ClassVar[Route] = "cross"
    choices: ClassVar[None] = None

    def __post_init__(self) -> None:
        if not self.patch or min(self.patch) < 1 or not 0 < self.span < math.inf:
            raise UserError(f"condition {self.name}: need a patch of whole numbers above 0, and a span above 0")
        self._map()

    @property
    def has_null(self) -> bool:
        """Whether it may be absent: where training drops it."""
        return self.dropout > 0

    def fit(self, values: Iterable[Any]) -> Self:
        """Measure mean and deviation of each channel over the training maps, and how large they are.

        Raises:
            UserError: a channel never varies.
        """
        largest = self.patch

        def measured() -> Iterator[Any]:
            nonlocal largest
            for value in values:
                if value is not None:
                    largest = tuple(map(max, largest, np.shape(value)))
                yield value

        fitted = self._map().fit(measured())
        return replace(self, mean=fitted.mean, deviation=fitted.deviation, extents=largest)

    def encode(self, value: Any) -> Tensor:
        """The standardised map (E_1, ..., E_P, channels); None as zeros.

        Raises:
            UserError: the value is not a finite array with ``channels`` channels last and whole patches.
        """
        if value is None:
            return torch.zeros(*(self.extents or self.patch), self.channels)
        encoded = self._map().encode(value)
        extents = tuple(encoded.shape[:-1])
        if len(extents) != len(self.patch) or any(e % q for e, q in zip(extents, self.patch, strict=True)):
            raise UserError(f"condition {self.name}: a map of {extents} cells has no whole patches of {self.patch}")
        return encoded

    def remarks(self, values: Iterable[Any]) -> list[str]:
        """Where a map lies far outside of those of training, as one in other units does: a line for each channel.

        Args:
            values: that ``encode`` takes.
        """
        return self._map().remarks(values)

    def parse(self, text: str) -> np.ndarray[Any, Any]:
        """The array in a .npy file.

        Raises:
            UserError: there is no such file or it holds no array.
        """
        return self._map().parse(text)

    def context(self, encoded: Tensor, tokens: Tokens, tokenizer: Tokenizer) -> Context:
        """The patches of a map among the tokens of a sample, N = 1.

        Args:
            encoded: what ``encode`` gave.
            tokens: of the sample.
            tokenizer: that made them.

        Raises:
            UserError: the data have other axes.
        """
        axes = len(self.patch)
        grid = tuple(extent // q for extent, q in zip(encoded.shape, self.patch, strict=False))
        split = [n for pair in zip(grid, self.patch, strict=True) for n in pair]
        order = [*range(0, 2 * axes, 2), *range(1, 2 * axes, 2), 2 * axes]
        values = encoded.reshape(*split, self.channels).permute(*order).reshape(1, math.prod(grid), -1)
        shape = tokens.layout[0].shape
        if len(shape) != axes:
            raise UserError(f"condition {self.name}: a map along {axes} axes over data along {len(shape)}")
        places = among_tokens(self.name, _centres(grid, shape, self.span), tokenizer)
        return Context(values, places, torch.ones(values.shape[:2], dtype=torch.bool))

    def embedder(self, hidden_size: int, tokenizer: Tokenizer) -> nn.Module:
        """A linear layer, and a trained vector for the null where the condition is dropped."""
        return ContextEmbedding(math.prod(self.patch) * self.channels, hidden_size, has_null=self.dropout > 0)

    def _map(self) -> AlignedMap:
        return AlignedMap(self.name, self.channels, self.dropout, self.mean, self.deviation)


@lru_cache(maxsize=1024)
def _centres(grid: tuple[int, ...], shape: tuple[int, ...], span: float) -> Tensor:
    """(1, M, P) centres of the patches of a map, row-major, among the cells of data of some extents."""
    axes = [
        (span * ((torch.arange(count) + 0.5) / count - 0.5) + 0.5) * extent - 0.5
        for count, extent in zip(grid, shape, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(1, -1, len(grid))

"""Scattered observations, as many as there are, which the data attend to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from beeline.conditioning.attended import ContextEmbedding, among_tokens
from beeline.conditioning.map import AlignedMap
from beeline.conditioning.numbers import fitted_moments, real_array
from beeline.core.context import Context
from beeline.core.errors import UserError
from beeline.core.protocols import Route, Tokenizer
from beeline.core.tokens import Tokens

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Points:
    """An array (M, axes + channels): where each point lies among the cells of the data, then what was seen there.

    A cell has its centre at its index, so that (2, 5, v) saw v in cell [2, 5] and (2.5, 5, v) on its edge to the next.
    The order of the points means nothing. M may be 0, which is no observation; None is one of unknown number.

    Args:
        name: key in ``Example.condition``.
        axes: of the data.
        channels: numbers seen at a point.
        dropout: share of training samples that see the null; 0 leaves the null out.
        mean: training mean of each channel, once fitted.
        deviation: training standard deviation of each channel, once fitted.
        most: largest number of points of a training example, once fitted.
    """

    name: str
    axes: int
    channels: int = 1
    dropout: float = 0.0
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    most: int = 1

    route: ClassVar[Route] = "cross"
    choices: ClassVar[None] = None

    def __post_init__(self) -> None:
        if self.axes < 1 or self.channels < 1 or not 0 <= self.dropout < 1:
            raise UserError(f"condition {self.name}: need axes >= 1, channels >= 1 and 0 <= dropout < 1")

    @property
    def has_null(self) -> bool:
        """Whether it may be absent: where training drops it."""
        return self.dropout > 0

    def fit(self, values: Iterable[Any]) -> Self:
        """Measure mean and deviation of each channel over all training points, and how many there are at most.

        Raises:
            UserError: a channel never varies.
        """
        most = 1

        def seen() -> Iterator[Array]:
            nonlocal most
            for value in values:
                if value is not None:
                    most = max(most, len(points := self._points(value)))
                    yield points[:, self.axes :]

        mean, deviation = fitted_moments(self.name, seen(), self.channels, "at every point")
        return replace(self, mean=mean, deviation=deviation, most=most)

    def encode(self, value: Any) -> Tensor:
        """Places and standardised numbers (M, axes + channels); None as zeros.

        Raises:
            UserError: the value is not a finite array of such rows.
        """
        if value is None:
            return torch.zeros(self.most, self.axes + self.channels)
        points = self._points(value)
        seen = (points[:, self.axes :] - np.asarray(self.mean)) / np.asarray(self.deviation)
        return torch.from_numpy(np.concatenate([points[:, : self.axes], seen], axis=1).astype(np.float32))

    def parse(self, text: str) -> Array:
        """The array in a .npy file.

        Raises:
            UserError: there is no such file or it holds no array.
        """
        return AlignedMap(self.name, self.channels).parse(text)

    def context(self, encoded: Tensor, tokens: Tokens, tokenizer: Tokenizer) -> Context:
        """The points among the tokens of a sample, N = 1.

        Args:
            encoded: what ``encode`` gave.
            tokens: of the sample.
            tokenizer: that made them.

        Raises:
            UserError: the data have other axes, or a point lies outside of them along an axis that is not periodic.
        """
        places, values = encoded[None, :, : self.axes], encoded[None, :, self.axes :]
        layout = tokens.layout[0]
        if len(layout.shape) != self.axes:
            raise UserError(f"condition {self.name}: points along {self.axes} axes over data along {len(layout.shape)}")
        for axis, extent in enumerate(layout.shape):
            turns = bool(layout.period) and layout.period[axis] is not None
            if not turns and ((places[..., axis] < -0.5) | (places[..., axis] > extent - 0.5)).any():
                raise UserError(
                    f"condition {self.name}: a point lies outside of the data along axis {axis}, whose {extent} cells "
                    f"go from 0 to {extent - 1}"
                )
        return Context(
            values, among_tokens(self.name, places, tokenizer), torch.ones(values.shape[:2], dtype=torch.bool)
        )

    def embedder(self, hidden_size: int, tokenizer: Tokenizer) -> nn.Module:
        """A linear layer, and a trained vector for the null where the condition is dropped."""
        return ContextEmbedding(self.channels, hidden_size, has_null=self.dropout > 0)

    def _points(self, value: Any) -> Array:
        wanted, width = f"rows of {self.axes} coordinates and {self.channels} numbers", self.axes + self.channels
        points = real_array(self.name, value, "a point", wanted, lambda rows: rows.ndim == 2 and rows.shape[1] == width)
        return points.astype(np.float64)

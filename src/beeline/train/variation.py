"""Augmentation of training examples: rearranged as arrays, or as tokens where that comes to the same."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.core.offers import Augmentation
from beeline.core.protocols import Array
from beeline.model.codec import Codec


class Variation:
    """An augmentation at work on the examples of a codec.

    Args:
        augmentation: the ways of varying an example.
        codec: of the examples.

    Raises:
        UserError: the examples attend to a condition that cannot be varied with them.
    """

    def __init__(self, augmentation: Augmentation, codec: Codec) -> None:
        self.augmentation = augmentation
        self.codec = codec
        for condition in codec.conditions:
            if condition.route in ("cross", "start"):
                raise UserError(
                    f"condition {condition.name}: is attended to by place, and does not move where augmentation moves "
                    "the data; leave augmentation out"
                )
        self._maps = [condition.name for condition in codec.conditions if condition.route == "concat"]

    def example(self, example: Example, way: int) -> Example:
        """An example varied in one way: its array and the maps under it together, and told to the network."""
        condition = dict(example.condition)
        for name in self._maps:
            if condition.get(name) is not None:
                condition[name] = self.augmentation.rearrange(np.asarray(condition[name]), way)
        if self.augmentation.condition is not None:
            condition[self.augmentation.condition] = self.augmentation.label(way)
        array, observed = self.augmentation.rearrange(example.array, way), example.observed_numbers()
        if observed is not None:
            observed = self.augmentation.rearrange(observed, way)
        return replace(example, array=array, condition=condition, observed=observed)

    def labels(self) -> dict[str, Tensor]:
        """The encoded condition of every way (ways, ...), by name; empty where nothing is told."""
        name = self.augmentation.condition
        if name is None:
            return {}
        condition = self.codec.condition(name)
        ways = range(self.augmentation.ways)
        return {name: torch.stack([condition.encode(self.augmentation.label(way)) for way in ways])}

    def table(self, example: Example) -> Tensor | None:
        """Which number of an example's tokens each number of its varied tokens is: (ways, L x C).

        Found by encoding a count of the cells. None where tokens are more than a rearrangement of cells, where maps
        lie under the data, where the cells are too many to count in fp32, or where the table would be large.

        Args:
            example: one whose form all examples have.
        """
        shape = self.codec.normaliser.apply(example.array).shape
        cells = math.prod(shape)
        if self._maps or not self.codec.tokenizer.exact or max(cells, self.augmentation.ways * cells // 2) >= 2**24:
            return None
        count = np.arange(1, cells + 1, dtype=np.float32).reshape(shape)
        ways = range(self.augmentation.ways)
        rows = torch.stack([self._tokens(np.ascontiguousarray(self.augmentation.rearrange(count, w))) for w in ways])
        place = torch.zeros(cells + 1, dtype=torch.long)
        place[rows[0]] = torch.arange(rows.shape[1])
        table = torch.where(rows > 0, place[rows], torch.arange(rows.shape[1]))
        return table if self._is_right(table, example) else None

    def _tokens(self, count: Array) -> Tensor:
        return self.codec.tokenizer.encode(torch.from_numpy(count)).values.flatten().long()

    def _is_right(self, table: Tensor, example: Example) -> bool:
        """Whether gathering gives what varying and encoding gives; a normaliser may know places."""
        plain = self.codec.encode(self.example(example, 0)).tokens.values.flatten()
        varied = (self.codec.encode(self.example(example, way)) for way in range(self.augmentation.ways))
        return all(
            torch.equal(plain[row], each.tokens.values.flatten()) for row, each in zip(table, varied, strict=True)
        )

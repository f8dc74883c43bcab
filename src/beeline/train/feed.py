"""Batches by global sample number."""

from __future__ import annotations

from collections.abc import Sequence

from beeline.core.data import Batch
from beeline.data.order import Order
from beeline.model.codec import Codec, Encoded


class Feed:
    """Training examples held in memory, encoded, and handed out in the order of the run.

    Args:
        codec: batches examples.
        examples: encoded, at least one.
        seed: of the order.
        packing: several samples a row instead of padding each.
    """

    def __init__(self, codec: Codec, examples: Sequence[Encoded], seed: int, packing: bool = False) -> None:
        self.codec = codec
        self.examples = examples
        self.packing = packing
        self._order = Order(len(examples), seed)
        self._row_length = max(example.tokens.values.shape[1] for example in examples) if packing else None

    @property
    def size(self) -> int:
        """Number of examples, which is an epoch."""
        return len(self.examples)

    def batch(self, first: int, count: int) -> Batch:
        """The samples with numbers first ... first + count - 1."""
        picked = [self.examples[index] for index in self._order.indices(first, count)]
        return self.codec.batch(picked, self.packing, self._row_length)

"""Batches by global sample number, from memory.

Where the data come from changes no number: a batch is a function of the numbers of its samples (``reading.py`` does
the same for data that do not fit).

Shapes: L tokens, C numbers a token.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from beeline.core.data import Batch
from beeline.core.device import sent
from beeline.core.memory import held_bytes
from beeline.data.order import Order, ways_of
from beeline.model.codec import Codec, Encoded
from beeline.train.shelf import Shelf


class Feed(Protocol):
    """Hands out training batches.

    Attributes:
        codec: that encoded them.
        size: number of examples, which is an epoch.
        held: bytes of the examples that it keeps in memory.
        waited: seconds that batches have taken so far.
        workers: processes that read.
    """

    codec: Codec
    size: int
    held: int
    waited: float
    workers: int

    def batch(self, first: int, length: int) -> Batch:
        """The samples with numbers first ... first + length - 1."""
        ...

    def close(self) -> None:
        """Let go of what reads."""
        ...


class HeldFeed:
    """Encoded examples in the memory of the device that trains.

    Args:
        codec: batches examples.
        examples: encoded, at least one.
        seed: of the order and of the variation.
        packing: several samples a row instead of padding each.
        device: where to keep the examples.
        table: which number of an example's tokens each number of its varied tokens is, (ways, L x C), for examples of
            one form; None where they are not varied.
        labels: encoded condition that tells the way, (ways, ...), by name.
    """

    workers = 0

    def __init__(
        self,
        codec: Codec,
        examples: Sequence[Encoded],
        seed: int,
        packing: bool = False,
        device: str = "cpu",
        table: Tensor | None = None,
        labels: dict[str, Tensor] | None = None,
    ) -> None:
        self.codec = codec
        self.size = len(examples)
        self.waited = 0.0
        self._seed = seed
        self._order = Order(len(examples), seed)
        self._table = None if table is None else table.to(device)
        self._labels = {name: rows.to(device) for name, rows in (labels or {}).items()}
        self._shelf = Shelf(codec, examples, packing, device)
        self.held = held_bytes(self._shelf.tensors())
        if table is not None and (packing or not self._shelf.one_form):
            raise ValueError("only examples of one form can be varied as tokens")

    def batch(self, first: int, length: int) -> Batch:
        """The samples with numbers first ... first + length - 1."""
        begin = time.monotonic()
        indices = self._order.indices(first, length)
        batch = self._varied(self._shelf.batch(indices), first, length)
        self.waited += time.monotonic() - begin
        return batch

    def _varied(self, batch: Batch, first: int, length: int) -> Batch:
        if self._table is None:
            return batch
        way = sent(ways_of(self._seed, first, length, len(self._table)), self._table.device)
        table = self._table[way]

        def varied(numbers: Tensor) -> Tensor:
            return numbers.flatten(1).gather(1, table).view_as(numbers)

        tokens = batch.tokens.with_values(varied(batch.tokens.values))
        if tokens.observed is not None:
            tokens = replace(tokens, observed=varied(tokens.observed))
        told = {name: rows[way] for name, rows in self._labels.items()}
        null = {name: torch.zeros_like(absent) for name, absent in batch.conditions.null.items() if name in told}
        conditions = replace(
            batch.conditions,
            values={**batch.conditions.values, **told},
            null={**batch.conditions.null, **null},
        )
        return Batch(tokens, conditions)

    def close(self) -> None:
        """Nothing to let go of."""

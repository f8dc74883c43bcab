"""Batches by global sample number, from memory.

Where the data come from changes no number: a batch is a function of the numbers of its samples (``reading.py`` does
the same for data that do not fit).

Shapes: M examples held, N samples of a batch, L tokens, C numbers a token.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from beeline.core.data import Batch
from beeline.core.device import sent
from beeline.core.memory import held_bytes
from beeline.core.tokens import Tokens
from beeline.data.order import Order, ways_of
from beeline.model.codec import Codec, Encoded


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
    """Encoded examples in memory; those of one form as one tensor on the device that trains.

    Args:
        codec: batches examples.
        examples: encoded, at least one.
        seed: of the order and of the variation.
        packing: several samples a row instead of padding each.
        device: where to keep examples of one form.
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
        self._packing = packing
        self._row_length = max(example.tokens.values.shape[1] for example in examples) if packing else None
        self._table = None if table is None else table.to(device)
        self._labels = {name: rows.to(device) for name, rows in (labels or {}).items()}
        self._stack = None if packing or not _of_one_form(examples) else stacked(codec, examples, device)
        self._examples = examples if self._stack is None else ()
        self.held = held_bytes([self._examples, self._stack])
        if self._stack is None and table is not None:
            raise ValueError("only examples of one form can be varied as tokens")

    def batch(self, first: int, length: int) -> Batch:
        """The samples with numbers first ... first + length - 1."""
        begin = time.monotonic()
        indices = self._order.indices(first, length)
        if self._stack is None:
            picked = [self._examples[index] for index in indices]
            batch = self.codec.batch(picked, self._packing, self._row_length)
        else:
            batch = self._varied(picked_from(self._stack, indices), first, length)
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


def _of_one_form(examples: Sequence[Encoded]) -> bool:
    """Whether examples differ in nothing but numbers."""
    first = examples[0].tokens

    def same(one: Tensor | None, other: Tensor | None) -> bool:
        if one is None or other is None:
            return one is other
        return one is other or torch.equal(one, other)

    return all(
        each.tokens.layout == first.layout
        and same(each.tokens.coords, first.coords)
        and same(each.tokens.ids, first.ids)
        and same(each.tokens.cells, first.cells)
        for each in examples
    )


def stacked(codec: Codec, examples: Sequence[Encoded], device: str) -> Batch:
    """All examples as one batch on a device; what they share is kept once."""
    batch = codec.batch(examples)
    return Batch(_with_shared(batch.tokens, lambda part: part[:1]), batch.conditions).to(device)


def picked_from(stack: Batch, indices: Sequence[int]) -> Batch:
    """Some rows of a batch of samples of one form."""
    index = sent(indices, stack.tokens.values.device)
    shared = _with_shared(stack.tokens, lambda part: part[:1].expand(len(indices), *part.shape[1:]))
    observed = None if stack.tokens.observed is None else stack.tokens.observed[index]
    layout = (shared.layout[0],) * len(indices)
    tokens = replace(shared, values=stack.tokens.values[index], layout=layout, observed=observed)
    return Batch(tokens, stack.conditions.rows(index))


def _with_shared(tokens: Tokens, change: Callable[[Tensor], Tensor]) -> Tokens:
    """The same tokens with what samples of one form have in common changed."""

    def changed(part: Tensor | None) -> Tensor | None:
        return None if part is None else change(part)

    return replace(tokens, coords=changed(tokens.coords), ids=changed(tokens.ids), cells=changed(tokens.cells))

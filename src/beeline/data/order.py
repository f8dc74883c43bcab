"""Which example a global sample number stands for."""

from __future__ import annotations

import torch
from torch import Tensor

from beeline.core.random import Key, permutation


class Order:
    """Shuffled epochs behind one another: number n is example permutation_{n // size}[n % size].

    A function of its arguments alone, so a resumed run, another batch size or another number of devices meets the
    same examples in the same order.

    Args:
        size: number of examples, above 0.
        seed: the run's seed.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        self._epochs: dict[int, Tensor] = {}

    def indices(self, start: int, count: int) -> list[int]:
        """Examples of the numbers start ... start + count - 1."""
        numbers = torch.arange(start, start + count)
        epochs, places = numbers // self.size, numbers % self.size
        picked = torch.empty_like(numbers)
        for epoch in torch.unique(epochs).tolist():
            chosen = epochs == epoch
            picked[chosen] = self._epoch(epoch)[places[chosen]]
        return [int(index) for index in picked.tolist()]

    def _epoch(self, epoch: int) -> Tensor:
        if epoch not in self._epochs:
            # Two at a time: a batch may straddle a boundary.
            self._epochs = {kept: order for kept, order in self._epochs.items() if kept == epoch - 1}
            self._epochs[epoch] = permutation(self.seed, "order", epoch, self.size)
        return self._epochs[epoch]


def ways_of(seed: int, first: int, count: int, ways: int) -> list[int]:
    """In which of a number of ways each of the samples first ... first + count - 1 is varied, all equally likely."""
    draws = Key.range(seed, first, count).fold("augmentation").uniform()[:, 0]
    return [int(way) for way in (draws * ways).long().tolist()]

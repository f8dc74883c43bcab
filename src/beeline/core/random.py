"""Counter-based random numbers: every draw is a function of (seed, purpose, global sample number, element).

    bits = Philox-4x32-10(key = hash(seed, purpose), counter = (element block, sample number))

Nothing else enters, so a sample meets the same draws in any batch, in any order, on any device, and a run needs no
generator state to resume. On CPUs the words are numpy's, whose hundred small operations take less time than torch's
(``benchmarks/draws.py``); they are integers, and the same.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.

Shapes: N samples, K elements a sample.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10

Words = TypeVar("Words", Tensor, np.ndarray[Any, Any])


@dataclass(frozen=True)
class Key:
    """The name of a stream of draws, one stream per sample.

    Args:
        seed: the run's seed.
        numbers: (N,) int64 global sample numbers: step x global batch + position; when sampling, the item number.
        purpose: what the draws are for; streams of different purposes are independent.
    """

    seed: int
    numbers: Tensor
    purpose: str = ""

    @classmethod
    def range(cls, seed: int, start: int, count: int, device: torch.device | str = "cpu") -> Key:
        """The streams of the samples start, start + 1, ... start + count - 1."""
        return cls(seed, torch.arange(start, start + count, device=device))

    def fold(self, *purpose: str | int) -> Key:
        """The streams of a narrower purpose."""
        return Key(self.seed, self.numbers, "/".join([self.purpose, *map(str, purpose)]))

    def uniform(self, elements: int = 1) -> Tensor:
        """Draw (N, elements) float64 numbers, uniform on the open interval (0, 1)."""
        return (self._words(elements).to(torch.float64) + 0.5) / 2.0**32

    def normal(self, elements: int = 1) -> Tensor:
        """Draw (N, elements) float64 standard normal numbers.

        Box-Muller: sqrt(-2 ln u1) (cos 2 pi u2, sin 2 pi u2). Computed in float64, so that rounding to float32
        hides the last-place differences between vectorised and scalar code paths.
        """
        pairs = self.uniform(2 * ((elements + 1) // 2)).unflatten(1, (-1, 2))
        radius = torch.sqrt(-2.0 * torch.log(pairs[..., 0]))
        angle = 2.0 * math.pi * pairs[..., 1]
        both = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=-1)
        return both.flatten(1)[:, :elements]

    def _words(self, elements: int) -> Tensor:
        blocks = (elements + 3) // 4
        words = _words_by_numpy if self.numbers.device.type == "cpu" else _words_by_torch
        return words(self.numbers, blocks, self._secret()).flatten(1)[:, :elements]

    def _secret(self) -> tuple[int, int]:
        digest = hashlib.blake2b(f"{self.seed}:{self.purpose}".encode(), digest_size=8).digest()
        return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


def _words_by_numpy(numbers: Tensor, blocks: int, secret: tuple[int, int]) -> Tensor:
    block = np.broadcast_to(np.arange(blocks), (len(numbers), blocks))
    number = np.broadcast_to(numbers.numpy()[:, None], block.shape)
    counter = (block, np.zeros_like(block), number & _MASK, number >> 32 & _MASK)
    return torch.from_numpy(np.stack(philox(counter, secret), axis=-1))


def _words_by_torch(numbers: Tensor, blocks: int, secret: tuple[int, int]) -> Tensor:
    places = torch.arange(blocks, device=numbers.device).expand(len(numbers), blocks)
    number = numbers[:, None].expand_as(places)
    counter = (places, torch.zeros_like(places), number & _MASK, number >> 32 & _MASK)
    return torch.stack(philox(counter, secret), dim=-1)


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, ...]:
    """Philox-4x32-10: scramble a 128-bit counter with a 64-bit key.

    Args:
        counter: four int64 tensors or arrays of one shape, each holding a 32-bit word.
        key: two 32-bit words.

    Returns:
        four of the same kind, each holding a 32-bit word.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # An int64 product of two 32-bit words wraps modulo 2^64: its bits are those of the unsigned product.
        first, second = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (second >> 32 & _MASK) ^ c1 ^ k0,
            second & _MASK,
            (first >> 32 & _MASK) ^ c3 ^ k1,
            first & _MASK,
        )
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return c0, c1, c2, c3


def permutation(seed: int, purpose: str, epoch: int, size: int) -> Tensor:
    """Order in which epoch number ``epoch`` visits ``size`` examples: a function of its arguments alone."""
    digest = hashlib.blake2b(f"{seed}:{purpose}:{epoch}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "little", signed=True))
    return torch.randperm(size, generator=generator)

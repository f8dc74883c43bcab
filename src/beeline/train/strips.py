"""Parts of many examples behind one another, and tables that say which of them stand where in a batch.

An example has s tokens; u, the greatest common divisor of all s, are a block, so that examples of one size are a block
each. With rows that have to be filled up, block 0 is zeros and the examples begin at 1. A batch is a table of blocks,

    table[b, j] = start of the sample at (b, j) + place within it,  0 for filler

Shapes: M examples, N samples of a batch, T blocks of u tokens, B rows of l blocks.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from beeline.core.batching import first_fit

Numbers = np.ndarray[Any, Any]
SEGMENT = -1  # among the tables, beside those of the courses


@dataclass(frozen=True)
class Strip:
    """One part of every example.

    Args:
        blocks: (T, u, ...) of the parts, those that are equal once.
        course: which starts of the pile are theirs.
        has: (M,) which examples have one.
        distinct: how many parts differ.
    """

    blocks: Tensor
    course: int
    has: Numbers
    distinct: int

    def gathered(self, table: Tensor) -> Tensor:
        """Rows of tokens, (B, l u, ...).

        Args:
            table: (B, l) int64 which blocks.
        """
        rows, length = table.shape
        found = self.blocks.index_select(0, table.flatten())
        return found.view(rows, length * self.blocks.shape[1], *self.blocks.shape[2:])


class Pile:
    """Strips of parts that have the same sizes.

    Args:
        sizes: tokens of each example.
        device: where the strips lie.
    """

    def __init__(self, sizes: Sequence[int], device: torch.device) -> None:
        self.unit = math.gcd(*sizes) if min(sizes) else 1
        self.even = 0 < min(sizes) == max(sizes)
        self.sizes = np.array(sizes, dtype=np.int64) // self.unit
        self.longest = max(1, int(self.sizes.max()))
        self.strips: dict[str, Strip] = {}
        self._device = device
        self._first = 0 if self.even else 1
        self._courses = [self._first + np.cumsum(self.sizes) - self.sizes]

    def lay(self, name: str, parts: Sequence[Tensor | None], shared: bool = False, filled: bool = False) -> None:
        """Add a strip, unless no example has the part.

        Args:
            name: of it.
            parts: (1, s, ...) of each example, None where it has none.
            shared: those that are equal are kept once.
            filled: ones stand in for missing parts.
        """
        has = np.array([part is not None for part in parts])
        some = next((part for part in parts if part is not None), None)
        if some is None:
            return
        if filled and not has.all():
            ones = some.new_ones(1, self.longest * self.unit, *some.shape[2:])
            parts = [
                ones[:, : size * self.unit] if part is None else part
                for part, size in zip(parts, self.sizes, strict=True)
            ]
        kept = [some.new_zeros(1, self.unit, *some.shape[2:])] * self._first
        starts, at, distinct = np.zeros_like(self.sizes), self._first, 0
        seen: dict[object, int] = {}
        for index, part in enumerate(parts):
            if part is None:
                continue
            start = _known(seen, part, at) if shared else at
            starts[index] = start
            if start == at:
                kept.append(part)
                at, distinct = at + int(self.sizes[index]), distinct + 1
        blocks = torch.cat(kept, dim=1).to(self._device)[0].unflatten(0, (-1, self.unit))
        self.strips[name] = Strip(blocks, self._course(starts), has, distinct)

    def _course(self, starts: Numbers) -> int:
        for course, known in enumerate(self._courses):
            if np.array_equal(known, starts):
                return course
        self._courses.append(starts)
        return len(self._courses) - 1

    def bytes_of(self, count: int) -> int:
        """Bytes that the strips of so many examples like these would take.

        A part that several of these share stands for itself, one that occurs once for as many as there are examples.

        Args:
            count: of them.
        """
        every = 0.0
        for strip in self.strips.values():
            starts = self._courses[strip.course]
            _, inverse, times = np.unique(starts, return_inverse=True, return_counts=True)
            once = int(self.sizes[strip.has & (times[inverse] == 1)].sum())
            blocks = len(strip.blocks) - once + once * count / len(starts)
            every += strip.blocks.nbytes / len(strip.blocks) * blocks
        return round(every)

    def common(self, name: str, picked: Numbers) -> Tensor | None:
        """(N, s, ...) the part that all picked examples share, repeated without a copy; None if they differ.

        Args:
            name: of the strip.
            picked: (N,) which examples, all of which have the part.
        """
        strip = self.strips[name]
        starts, size = self._courses[strip.course], self.sizes[picked[0]]
        start = starts[picked[0]]
        if strip.distinct > 1 and ((starts[picked] != start).any() or (self.sizes[picked] != size).any()):
            return None
        part = strip.blocks[int(start) : int(start + size)].flatten(0, 1)
        return part.expand(len(picked), *part.shape)

    def tables(self, picked: Numbers, packed: bool = False, length: int | None = None) -> dict[int, Numbers]:
        """(B, l) blocks of every course, and whose they are where samples share rows.

        Args:
            picked: (N,) which examples.
            packed: several samples a row instead of one.
            length: blocks a row; the longest picked example when None.
        """
        if self.even and not packed:
            return {course: starts[picked, None] for course, starts in enumerate(self._courses)}
        sizes = self.sizes[picked]
        length = max(1, int(sizes.max())) if length is None else length
        rows = first_fit(sizes.tolist(), length) if packed else [[sample] for sample in range(len(picked))]
        order = np.array([sample for row in rows for sample in row])
        sizes = sizes[order]
        ends = np.cumsum(sizes)
        begins = ends - sizes
        heads = begins[np.cumsum([0, *map(len, rows[:-1])])]  # what lies before each row
        shift = np.repeat(np.arange(len(rows)) * length - heads, [len(row) for row in rows])
        counted = np.arange(ends[-1])
        spot = counted + np.repeat(shift, sizes)

        def table(of_order: Numbers, filler: int) -> Numbers:
            made = np.full((len(rows), length), filler)
            made.reshape(-1)[spot] = of_order
            return made

        found = {
            course: table(counted + np.repeat(starts[picked[order]] - begins, sizes), 0)
            for course, starts in enumerate(self._courses)
        }
        return found | {SEGMENT: table(np.repeat(order, sizes), -1)} if packed else found


def _known(seen: dict[object, int], part: Tensor, at: int) -> int:
    """Where an equal part begins already, else ``at``."""
    if id(part) not in seen:  # parts outlive what is seen of them
        content = hashlib.blake2b(part.numpy().tobytes(), digest_size=16).digest()
        seen[id(part)] = seen.setdefault((part.shape, content), at)
    return seen[id(part)]

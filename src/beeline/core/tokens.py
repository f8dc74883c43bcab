"""Tokens: the one form in which every kind of data reaches a process, an objective, a network or a sampler.

Shapes: B rows, L tokens a row, C numbers a token, P coordinates a token, N samples.
Without ``segment`` a row is a sample (N = B); with it, several samples share a row and ``segment`` says whose
each token is.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """What decoding one sample needs beyond its numbers.

    Args:
        extents: tokens along each axis; for a set, the number of tokens.
        shape: native extents along each axis, before padding to whole patches.
        period: tokens after which an axis begins anew, None for an axis that does not; empty where none does.
    """

    extents: tuple[int, ...]
    shape: tuple[int, ...]
    period: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Tokens:
    """A batch of token sequences.

    Args:
        values: (B, L, C) floating numbers.
        coords: (B, L, P) float positions, or None for sets.
        ids: (B, L) integer identities (genes, atoms), or None.
        keep: (B, L) True where a token is real, or None when all are.
        cells: (B, L, C) True where a number is data, False where it only fills a patch or a row; None when all are
            data. What is False here is zero in every sample, noisy or not, and counts nowhere.
        segment: (B, L) index of the sample that a token belongs to, -1 for padding; None when rows are samples.
        layout: one entry per sample, in the order of ``segment``.
        end: (B, L, C) where the path of each sample ends, on bridges; None on other paths.
        observed: (B, L, C) True where a number is known and counts in losses, False where it was not observed; None
            when all are.
    """

    values: Tensor
    coords: Tensor | None = None
    ids: Tensor | None = None
    keep: Tensor | None = None
    cells: Tensor | None = None
    segment: Tensor | None = None
    layout: tuple[Layout, ...] = ()
    end: Tensor | None = None
    observed: Tensor | None = None

    @property
    def samples(self) -> int:
        """Number of samples N, which is what t and the conditions are indexed by."""
        return self.values.shape[0] if self.segment is None else len(self.layout)

    def with_values(self, values: Tensor) -> Tokens:
        """The same tokens holding other numbers."""
        return replace(self, values=values)

    def places(self) -> list[object]:
        """Everything but the numbers, in a row, to be compared piece by piece."""
        return [getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "values"]

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Tokens:
        """The same tokens with every tensor changed, coordinates that all rows share being changed once."""

        values = change(self.values)

        def apply(tensor: Tensor | None) -> Tensor | None:
            if tensor is None:
                return None
            if tensor.shape[0] > 1 and tensor.stride(0) == 0:
                return change(tensor[:1])[:1].expand(values.shape[0], *tensor.shape[1:])
            return change(tensor)

        return Tokens(
            values,
            apply(self.coords),
            apply(self.ids),
            apply(self.keep),
            apply(self.cells),
            apply(self.segment),
            self.layout,
            apply(self.end),
            apply(self.observed),
        )

    def to(self, device: torch.device | str) -> Tokens:
        """The same tokens on another device."""
        return self.mapped(lambda tensor: tensor.to(device))

    def rows(self, index: Tensor) -> Tokens:
        """Some of the samples, each a row of its own.

        Args:
            index: (M,) int64 which.

        Raises:
            ValueError: several samples share a row.
        """
        if self.segment is not None:
            raise ValueError("samples that share rows cannot be taken apart")
        layout = tuple(self.layout[row] for row in index.tolist()) if self.layout else ()

        def chosen(tensor: Tensor | None) -> Tensor | None:
            if tensor is None:
                return None
            if tensor.shape[0] > 1 and tensor.stride(0) == 0:
                return tensor[:1].expand(len(index), *tensor.shape[1:])
            return tensor[index]

        return replace(
            self,
            values=self.values[index],
            coords=chosen(self.coords),
            ids=chosen(self.ids),
            keep=chosen(self.keep),
            cells=chosen(self.cells),
            layout=layout,
            end=chosen(self.end),
            observed=chosen(self.observed),
        )

    def doubled(self) -> Tokens:
        """Each sample twice, the second half following the first: one batch for two evaluations."""
        twice = self.mapped(lambda tensor: torch.cat([tensor, tensor]))
        if self.segment is not None:
            other = torch.where(self.segment >= 0, self.segment + self.samples, self.segment)
            twice = replace(twice, segment=torch.cat([self.segment, other]))
        return replace(twice, layout=self.layout * 2)

    def expand(self, per_sample: Tensor) -> Tensor:
        """Give every token the value of its sample: (N,) or (N, D) becomes (B, 1 or L, 1 or D).

        The one place where a time or a condition is broadcast over tokens.
        """
        return expand(per_sample, self.segment)

    def only_data(self, values: Tensor) -> Tensor:
        """(B, L, C) numbers with zeros where there is no data."""
        return values if self.cells is None else values * self.cells

    def sample_mean(self, values: Tensor) -> Tensor:
        """Average (B, L, C) over the numbers of each sample that are data and were observed: (N,), 0 without any."""
        ones = torch.ones_like(values)
        if self.observed is None:
            return self._sums(values).sum(dim=-1) / self._sums(ones).sum(dim=-1)
        total, count = (self._sums(torch.where(self.observed, each, 0)).sum(dim=-1) for each in (values, ones))
        return total / count.clamp(min=1)

    def channel_means(self, values: Tensor) -> Tensor:
        """Average (B, L, C) over the tokens of each sample, number by number: (N, C)."""
        return self._sums(values) / self._sums(torch.ones_like(values)).clamp(min=1)

    def _sums(self, values: Tensor) -> Tensor:
        """Sum (B, L, C) over the data of every sample, number by number: (N, C)."""
        if self.cells is not None:
            values = torch.where(self.cells, values, 0)
        elif self.keep is not None:
            values = torch.where(self.keep[..., None], values, 0)
        if self.segment is None:
            return values.sum(dim=1)
        # Padding is summed into one more sample, which is then dropped: no shape depends on the data.
        index = torch.where(self.segment >= 0, self.segment, self.samples).flatten()
        empty = values.new_zeros(self.samples + 1, values.shape[-1])
        return empty.index_add(0, index, values.flatten(0, 1))[:-1]

    def periods(self) -> Tensor | None:
        """(N, P) tokens after which each axis begins anew, infinity where it does not; None where none does.

        A single row where all samples have the same.
        """
        if not any(layout.period for layout in self.layout):
            return None
        rows = [[math.inf if each is None else each for each in layout.period] for layout in self.layout]
        same = self.segment is None and all(row == rows[0] for row in rows)
        return _table((tuple(rows[0]),), self.values.device) if same else torch.tensor(rows, device=self.values.device)

    def starts(self) -> Tensor | None:
        """(N + B + 1,) int32 where samples and what fills rows begin, all rows behind one another, and B L at the end.

        Rows that nothing fills add an empty one at the end each, so that no shape depends on the data. None where rows
        are samples.
        """
        if self.segment is None:
            return None
        rows, length = self.segment.shape
        place = torch.arange(rows * length, device=self.segment.device)
        run = torch.where(self.segment >= 0, self.segment, self.samples + place.view(rows, length) // length)
        begins = place.new_full((self.samples + rows + 1,), rows * length)
        return begins.scatter_reduce(0, run.flatten(), place, "amin").sort().values.to(torch.int32)

    def position(self) -> Tensor:
        """(B, L) place of each token within its own sample, counted from 0."""
        rows, length = self.values.shape[:2]
        place = torch.arange(length, device=self.values.device).expand(rows, length)
        if self.segment is None:
            return place
        begins = torch.ones_like(self.segment, dtype=torch.bool)
        begins[:, 1:] = self.segment[:, 1:] != self.segment[:, :-1]
        return place - torch.where(begins, place, 0).cummax(dim=1).values


@functools.cache
def _table(rows: tuple[tuple[float, ...], ...], device: torch.device) -> Tensor:
    """Numbers that Python knows, sent to a device once: it would be waited for, and recordings read them in place."""
    return torch.tensor(rows, device=device)


def expand(per_sample: Tensor, segment: Tensor | None) -> Tensor:
    """Give every token the value of its sample: (N,) or (N, D) becomes (B, 1 or L, 1 or D)."""
    columns = per_sample if per_sample.dim() > 1 else per_sample[:, None]
    if segment is None:
        return columns[:, None]
    return columns[segment.clamp(min=0)]

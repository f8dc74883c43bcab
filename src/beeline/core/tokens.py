"""Tokens: the one form in which every kind of data reaches a process, an objective, a network or a sampler.

Shapes: B rows, L tokens a row, C numbers a token, P coordinates a token, N samples.
Without ``segment`` a row is a sample (N = B); with it, several samples share a row and ``segment`` says whose
each token is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """What decoding one sample needs beyond its numbers.

    Args:
        extents: tokens along each axis; for a set, the number of tokens.
        shape: native extents along each axis, before padding to whole patches.
        period: length after which a coordinate repeats, per axis; None where it does not.
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
        segment: (B, L) index of the sample that a token belongs to, -1 for padding; None when rows are samples.
        layout: one entry per sample, in the order of ``segment``.
    """

    values: Tensor
    coords: Tensor | None = None
    ids: Tensor | None = None
    keep: Tensor | None = None
    segment: Tensor | None = None
    layout: tuple[Layout, ...] = ()

    @property
    def samples(self) -> int:
        """Number of samples N, which is what t and the conditions are indexed by."""
        return self.values.shape[0] if self.segment is None else len(self.layout)

    def with_values(self, values: Tensor) -> Tokens:
        """The same tokens holding other numbers."""
        return replace(self, values=values)

    def to(self, device: torch.device | str) -> Tokens:
        """The same tokens on another device."""

        def move(tensor: Tensor | None) -> Tensor | None:
            if tensor is None:
                return None
            if tensor.shape[0] > 1 and tensor.stride(0) == 0:  # stays shared, see _collate_shared
                return tensor[:1].to(device).expand_as(tensor)
            return tensor.to(device)

        return Tokens(
            self.values.to(device), move(self.coords), move(self.ids), move(self.keep), move(self.segment), self.layout
        )

    def expand(self, per_sample: Tensor) -> Tensor:
        """Give every token the value of its sample: (N,) or (N, D) becomes (B, 1 or L, 1 or D).

        The one place where a time or a condition is broadcast over tokens.
        """
        return expand(per_sample, self.segment)

    def sample_mean(self, values: Tensor) -> Tensor:
        """Average (B, L, C) over the real tokens and channels of each sample: (N,)."""
        per_token = values.mean(dim=-1)
        if self.segment is not None:
            # Padding is summed into one more sample, which is then dropped: no shape depends on the data.
            index = torch.where(self.segment >= 0, self.segment, self.samples).flatten()
            empty = per_token.new_zeros(self.samples + 1)
            total = empty.index_add(0, index, per_token.flatten())
            count = empty.index_add(0, index, torch.ones_like(per_token).flatten())
            return (total / count)[:-1]
        if self.keep is not None:
            return (per_token * self.keep).sum(dim=1) / self.keep.sum(dim=1)
        return per_token.mean(dim=1)

    def position(self) -> Tensor:
        """(B, L) place of each token within its own sample, counted from 0."""
        rows, length = self.values.shape[:2]
        place = torch.arange(length, device=self.values.device).expand(rows, length)
        if self.segment is None:
            return place
        begins = torch.ones_like(self.segment, dtype=torch.bool)
        begins[:, 1:] = self.segment[:, 1:] != self.segment[:, :-1]
        return place - torch.where(begins, place, 0).cummax(dim=1).values

    def doubled(self) -> Tokens:
        """Each sample twice, the second half following the first: one batch for two evaluations."""

        def twice(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else torch.cat([tensor, tensor])

        segment = self.segment
        if segment is not None:
            segment = torch.cat([segment, torch.where(segment >= 0, segment + self.samples, segment)])
        return Tokens(
            torch.cat([self.values, self.values]),
            twice(self.coords),
            twice(self.ids),
            twice(self.keep),
            segment,
            self.layout * 2,
        )


def expand(per_sample: Tensor, segment: Tensor | None) -> Tensor:
    """Give every token the value of its sample: (N,) or (N, D) becomes (B, 1 or L, 1 or D)."""
    columns = per_sample if per_sample.dim() > 1 else per_sample[:, None]
    if segment is None:
        return columns[:, None]
    return columns[segment.clamp(min=0)]


def collate(samples: Sequence[Tokens], length: int | None = None) -> Tokens:
    """Put samples below one another, one a row, padded to the longest (or to ``length``).

    Args:
        samples: single samples (B = 1), at least one.
        length: tokens a row; not below the longest sample.
    """
    longest = max(sample.values.shape[1] for sample in samples)
    length = longest if length is None else length
    if length < longest:
        raise ValueError(f"rows of {length} tokens cannot hold a sample of {longest}")
    if all(sample.values.shape[1] == length for sample in samples):
        keep = None
    else:
        real = torch.tensor([sample.values.shape[1] for sample in samples], device=samples[0].values.device)
        keep = torch.arange(length, device=real.device)[None, :] < real[:, None]
    return Tokens(
        values=torch.cat([_pad(sample.values, length) for sample in samples]),
        coords=_collate_shared([sample.coords for sample in samples], length),
        ids=_collate_shared([sample.ids for sample in samples], length),
        keep=keep,
        layout=tuple(layout for sample in samples for layout in sample.layout),
    )


def pack(samples: Sequence[Tokens], length: int | None = None) -> Tokens:
    """Put samples behind one another in rows of ``length`` tokens, first fit; ``segment`` tells them apart.

    Args:
        samples: single samples (B = 1), at least one.
        length: tokens a row; the longest sample when None.
    """
    longest = max(sample.values.shape[1] for sample in samples)
    length = longest if length is None else length
    if length < longest:
        raise ValueError(f"rows of {length} tokens cannot hold a sample of {longest}")
    rows: list[list[int]] = []
    free: list[int] = []
    for index, sample in enumerate(samples):
        size = sample.values.shape[1]
        row = next((row for row, room in enumerate(free) if room >= size), len(rows))
        if row == len(rows):
            rows.append([])
            free.append(length)
        rows[row].append(index)
        free[row] -= size

    def fill(pick: list[Tensor | None], value: float) -> Tensor | None:
        parts = [part for part in pick if part is not None]
        if len(parts) < len(pick):
            return None
        return torch.cat([_pad(torch.cat([parts[i] for i in row], dim=1), length, value) for row in rows])

    values = fill([sample.values for sample in samples], 0)
    segment = fill(
        [
            torch.full(sample.values.shape[:2], index, device=sample.values.device)
            for index, sample in enumerate(samples)
        ],
        -1,
    )
    assert values is not None
    assert segment is not None
    return Tokens(
        values=values,
        coords=fill([sample.coords for sample in samples], 0),
        ids=fill([sample.ids for sample in samples], 0),
        keep=segment >= 0,
        segment=segment,
        layout=tuple(layout for sample in samples for layout in sample.layout),
    )


def unbatch(tokens: Tokens) -> list[Tokens]:
    """Undo ``collate`` and ``pack``: the single samples, in order, without padding."""
    return [_single(tokens, index) for index in range(tokens.samples)]


def _single(tokens: Tokens, index: int) -> Tokens:
    if tokens.segment is None:
        row = index
        chosen = tokens.keep[row] if tokens.keep is not None else slice(None)
    else:
        row = int((tokens.segment == index).any(dim=1).nonzero()[0, 0])
        chosen = tokens.segment[row] == index

    def cut(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor[row][chosen][None]

    return Tokens(
        tokens.values[row][chosen][None], cut(tokens.coords), cut(tokens.ids), layout=tokens.layout[index : index + 1]
    )


def _pad(tensor: Tensor, length: int, value: float = 0) -> Tensor:
    missing = length - tensor.shape[1]
    if missing == 0:
        return tensor
    filler = tensor.new_full((tensor.shape[0], missing, *tensor.shape[2:]), value)
    return torch.cat([tensor, filler], dim=1)


def _collate_shared(parts: Sequence[Tensor | None], length: int) -> Tensor | None:
    """Pad and stack; when every part is the very same tensor, a view of it, so that it is computed with once."""
    first = parts[0]
    if first is None:
        return None
    if all(part is first for part in parts):
        return _pad(first, length).expand(len(parts), length, *first.shape[2:])
    return torch.cat([_pad(part, length) for part in parts if part is not None])

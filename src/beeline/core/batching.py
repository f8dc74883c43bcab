"""Many samples in one batch: below one another and padded, or behind one another and packed; and back.

Shapes: B rows, L tokens a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from beeline.core.tokens import Layout, Tokens

Join = Callable[[list[Tensor], float], Tensor]


def collate(samples: Sequence[Tokens], length: int | None = None) -> Tokens:
    """Put samples below one another, one a row, padded to the longest (or to ``length``).

    Args:
        samples: single samples (B = 1), at least one.
        length: tokens a row; not below the longest sample.
    """
    sizes, length = _sizes(samples, length)

    def below(parts: list[Tensor], filler: float) -> Tensor:
        if all(part is parts[0] for part in parts):  # a view, so that what follows is computed once
            return _pad(parts[0], length, filler).expand(len(parts), length, *parts[0].shape[2:])
        return torch.cat([_pad(part, length, filler) for part in parts])

    device = samples[0].values.device
    real = torch.tensor(sizes, device=device)
    keep = None if min(sizes) == length else torch.arange(length, device=device)[None] < real[:, None]
    return _joined(samples, below, keep, None)


def pack(samples: Sequence[Tokens], length: int | None = None) -> Tokens:
    """Put samples behind one another in rows of ``length`` tokens, first fit; ``segment`` tells them apart.

    Args:
        samples: single samples (B = 1), at least one.
        length: tokens a row; the longest sample when None.
    """
    sizes, length = _sizes(samples, length)
    rows = first_fit(sizes, length)

    def behind(parts: list[Tensor], filler: float) -> Tensor:
        return torch.cat([_pad(torch.cat([parts[index] for index in row], dim=1), length, filler) for row in rows])

    device = samples[0].values.device
    owners = [torch.full((1, size), index, device=device) for index, size in enumerate(sizes)]
    segment = behind(owners, -1)
    return _joined(samples, behind, segment >= 0, segment)


def first_fit(sizes: Sequence[int], length: int) -> list[list[int]]:
    """Which samples share each row, every one in the first that has room for it.

    Args:
        sizes: tokens of each sample, none above ``length``.
        length: tokens a row.
    """
    rows: list[list[int]] = []
    free: list[int] = []
    for index, size in enumerate(sizes):
        for row, room in enumerate(free):
            if room >= size:
                rows[row].append(index)
                free[row] -= size
                break
        else:
            rows.append([index])
            free.append(length - size)
    return rows


def unbatch(tokens: Tokens) -> list[Tokens]:
    """Undo ``collate`` and ``pack``: the single samples, in order, without padding."""
    return [_single(tokens, index) for index in range(tokens.samples)]


def _sizes(samples: Sequence[Tokens], length: int | None) -> tuple[list[int], int]:
    sizes = [sample.values.shape[1] for sample in samples]
    length = max(sizes) if length is None else length
    if length < max(sizes):
        raise ValueError(f"rows of {length} tokens cannot hold a sample of {max(sizes)}")
    return sizes, length


def _joined(samples: Sequence[Tokens], join: Join, keep: Tensor | None, segment: Tensor | None) -> Tokens:
    def optional(name: str) -> Tensor | None:
        parts = [part for sample in samples if (part := getattr(sample, name)) is not None]
        return join(parts, 0) if len(parts) == len(samples) else None

    cells = None
    if any(sample.cells is not None for sample in samples):
        every = [torch.ones_like(s.values, dtype=torch.bool) if s.cells is None else s.cells for s in samples]
        cells = join(every, 0)
    elif keep is not None:
        cells = keep[..., None].expand(*keep.shape, samples[0].values.shape[-1])
    observed = None
    if any(sample.observed is not None for sample in samples):
        every = [torch.ones_like(s.values, dtype=torch.bool) if s.observed is None else s.observed for s in samples]
        observed = join(every, 0)
    layout: tuple[Layout, ...] = tuple(each for sample in samples for each in sample.layout)
    values = join([sample.values for sample in samples], 0)
    coords, ids = optional("coords"), optional("ids")
    return Tokens(values, coords, ids, keep, cells, segment, layout, observed=observed)


def _single(tokens: Tokens, index: int) -> Tokens:
    if tokens.segment is None:
        row = index
        chosen = tokens.keep[row] if tokens.keep is not None else slice(None)
    else:
        row = int((tokens.segment == index).any(dim=1).nonzero()[0, 0])
        chosen = tokens.segment[row] == index

    def cut(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor[row][chosen][None]

    cells = cut(tokens.cells)
    single = Tokens(
        tokens.values[row][chosen][None],
        cut(tokens.coords),
        cut(tokens.ids),
        layout=tokens.layout[index : index + 1],
        observed=cut(tokens.observed),
    )
    return single if cells is None or bool(cells.all()) else replace(single, cells=cells)


def _pad(tensor: Tensor, length: int, value: float) -> Tensor:
    missing = length - tensor.shape[1]
    if missing == 0:
        return tensor
    filler = tensor.new_full((tensor.shape[0], missing, *tensor.shape[2:]), value)
    return torch.cat([tensor, filler], dim=1)

"""Tokens of a condition, to which the tokens of the data attend.

Shapes: N samples, M tokens of the condition a sample, K numbers a token, P coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class Context:
    """What each sample of a batch may look at: a map of another resolution, scattered observations.

    Args:
        values: (N, M, K) numbers.
        coords: (N, M, P) where each lies, in the coordinates of the tokens of the data.
        keep: (N, M) True where a token is real; a sample may have none.
    """

    values: Tensor
    coords: Tensor
    keep: Tensor

    def to(self, device: torch.device | str) -> Context:
        """The same on another device."""
        return Context(self.values.to(device), self.coords.to(device), self.keep.to(device))

    def __getitem__(self, index: Tensor) -> Context:
        """That of some samples."""
        return Context(self.values[index], self.coords[index], self.keep[index])

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """All of it."""
        return self.values, self.coords, self.keep


def below(contexts: Sequence[Context]) -> Context:
    """Contexts below one another, padded to the longest.

    Args:
        contexts: at least one, of any numbers of samples and tokens.
    """
    longest = max(1, *(each.values.shape[1] for each in contexts))
    parts = ([_padded(tensor, longest) for tensor in each.tensors()] for each in contexts)
    return Context(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def beside(contexts: Sequence[Context]) -> Context:
    """Contexts of the same samples and of numbers of the same meaning, behind one another.

    Args:
        contexts: at least one.
    """
    return Context(*(torch.cat(tensors, dim=1) for tensors in zip(*(each.tensors() for each in contexts), strict=True)))


def _padded(tensor: Tensor, length: int) -> Tensor:
    missing = length - tensor.shape[1]
    return pad(tensor, (0, 0) * (tensor.dim() - 2) + (0, missing)) if missing else tensor

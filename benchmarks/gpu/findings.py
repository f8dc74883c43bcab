"""Measured figures with the most that is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Finding:
    """A measured figure.

    Args:
        what: it is.
        value: measured.
        bound: the most that is right.
    """

    what: str
    value: float
    bound: float

    @property
    def holds(self) -> bool:
        """Whether it is right; what is not a number is not."""
        return self.value <= self.bound

    def __str__(self) -> str:
        return f"{'ok' if self.holds else 'FAILED':6} {self.what}: {self.value:.2g} (at most {self.bound:.2g})"


def apart(one: Tensors, other: Tensors, start: Tensors | None = None) -> float:
    """Size of the difference of tensors, as a share of the size of the first, or of its way from where it started."""

    def size(left: Tensors, right: Tensors | None) -> float:
        each = [left[name].double().cpu() - (0.0 if right is None else right[name].double().cpu()) for name in left]
        return float(torch.stack([part.square().sum() for part in each]).sum().sqrt())

    return size(one, other) / size(one, start)

"""A batch of conditions: what each sample is asked to be, and where its null stands in.

Shapes: N samples; what a condition encodes to is its own affair, save that maps are (B, L, K) beside their tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from beeline.core.random import Key


@dataclass(frozen=True)
class Conditions:
    """Encoded conditions of N samples.

    Args:
        values: encoded batch of each condition, by name.
        null: (N,) True where a condition is absent and its null is used, by name.
        rates: probability with which training drops each condition, by name.
    """

    values: Mapping[str, Tensor] = field(default_factory=dict)
    null: Mapping[str, Tensor] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> Conditions:
        """The same conditions on another device."""
        return replace(
            self,
            values={name: value.to(device) for name, value in self.values.items()},
            null={name: null.to(device) for name, null in self.null.items()},
        )

    def drop(self, key: Key) -> Conditions:
        """Replace conditions by their null, each sample and each condition independently, at the stored rates."""
        null = {
            name: absent | (key.fold(name).uniform()[:, 0] < self.rates.get(name, 0.0))
            for name, absent in self.null.items()
        }
        return replace(self, null=null)

    def absent(self) -> Conditions:
        """The same samples with every condition that has a null replaced by it."""
        null = {name: null | (self.rates.get(name, 0.0) > 0) for name, null in self.null.items()}
        return replace(self, null=null)

    def rows(self, index: Tensor) -> Conditions:
        """Those of some samples.

        Args:
            index: (M,) int64 which.
        """
        return replace(
            self,
            values={name: value[index] for name, value in self.values.items()},
            null={name: null[index] for name, null in self.null.items()},
        )

    def join(self, other: Conditions) -> Conditions:
        """These samples followed by the other ones."""
        return replace(
            self,
            values={name: torch.cat([value, other.values[name]]) for name, value in self.values.items()},
            null={name: torch.cat([null, other.null[name]]) for name, null in self.null.items()},
        )

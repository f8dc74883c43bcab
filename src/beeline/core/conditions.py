"""A batch of conditions: what each sample is asked to be, and where its null stands in.

Shapes: N samples; what a condition encodes to is its own affair, save that maps are (B, L, K) beside their tokens, and
what is attended to is a Context.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from beeline.core.context import Context, below
from beeline.core.random import Key

Value = Tensor | Context


@dataclass(frozen=True)
class Conditions:
    """Encoded conditions of N samples.

    Args:
        values: encoded batch of each condition, by name: a tensor, of what is attended to a Context.
        null: (N,) True where a condition is absent and its null is used, by name.
        rates: probability with which training drops each condition, by name.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
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
            values={name: _followed(value, other.values[name]) for name, value in self.values.items()},
            null={name: torch.cat([null, other.null[name]]) for name, null in self.null.items()},
        )

    def given(self) -> list[object]:
        """All of it in a row, to be compared piece by piece: tensors, names and rates."""
        return [*self.tensors(), tuple(self.values), tuple(self.null), dict(self.rates)]

    def tensors(self) -> list[Tensor]:
        """Everything that tells samples apart, each with a row a sample."""
        values = [each for value in self.values.values() for each in _parts(value)]
        return [*values, *self.null.values()]


def condition_name(text: str) -> str:
    """A name that a condition can have, "_" for all that is no letter, digit or "_": ``cell type`` is cell_type.

    Args:
        text: as people write it, such as the name of a column; what begins with a digit gets a "_" before it.
    """
    name = re.sub(r"\W", "_", text)
    return f"_{name}" if name[:1].isdigit() else name


def _followed(value: Value, other: Value) -> Value:
    if isinstance(value, Tensor) and isinstance(other, Tensor):
        return torch.cat([value, other])
    assert isinstance(value, Context)
    assert isinstance(other, Context)
    return below([value, other])


def _parts(value: Value) -> tuple[Tensor, ...]:
    return value.tensors() if isinstance(value, Context) else (value,)

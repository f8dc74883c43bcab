"""A class label."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from beeline.core.errors import UserError, unknown
from beeline.core.protocols import Route, Tokenizer

_MOST_NAMES = 20


@dataclass(frozen=True)
class ClassLabel:
    """One of a number of classes, embedded by a table of hidden width (E16); the null is the table's last row (E9).

    Args:
        name: key in ``Example.condition``.
        classes: number of classes; labels are 0 ... classes - 1.
        dropout: share of training samples that see the null; 0 leaves the null row out.
        names: what the classes are called, in order; empty where they have numbers alone.
    """

    name: str
    classes: int
    dropout: float = 0.1
    names: tuple[str, ...] = ()

    route: ClassVar[Route] = "global"
    channels: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.classes < 1 or not 0 <= self.dropout < 1:
            raise UserError(f"condition {self.name}: need classes >= 1 and 0 <= dropout < 1")
        if self.names and not len(set(self.names)) == len(self.names) == self.classes:
            raise UserError(f"condition {self.name}: need a name of its own for each of {self.classes} classes")

    @property
    def choices(self) -> Sequence[int]:
        """Every label."""
        return range(self.classes)

    @property
    def has_null(self) -> bool:
        """Whether it may be absent: where training drops it."""
        return self.dropout > 0

    def fit(self, values: Iterable[Any]) -> Self:
        """Check the training labels: nothing is fitted."""
        for value in values:
            self.encode(value)
        return self

    def encode(self, value: Any) -> Tensor:
        """A label, or the name of its class, as a scalar; None as label 0, whose place the null takes.

        Raises:
            UserError: it is neither a name nor a whole number below ``classes``.
        """
        if value is None:
            return torch.tensor(0)
        if isinstance(value, str) and self.names:
            return torch.tensor(self._number(value))
        try:
            label = operator.index(value)
        except TypeError:
            label = -1
        if isinstance(value, bool) or not 0 <= label < self.classes:
            raise UserError(f"condition {self.name}={value}: labels are {self._known()}")
        return torch.tensor(label)

    def parse(self, text: str) -> int:
        """A label as written on the command line: the name of a class, or its number.

        Raises:
            UserError: it is neither.
        """
        if text in self.names:
            return self.names.index(text)
        try:
            return int(text)
        except ValueError:
            if self.names:
                return self._number(text)
            raise UserError(f"condition {self.name}={text}: labels are {self._known()}") from None

    def _number(self, name: str) -> int:
        if name not in self.names:
            raise unknown(self.name, name, self.names)
        return self.names.index(name)

    def _known(self) -> str:
        numbers = f"whole numbers from 0 to {self.classes - 1}"
        if not self.names:
            return numbers
        more = ", ..." if self.classes > _MOST_NAMES else ""
        return f"{numbers}, or {', '.join(self.names[:_MOST_NAMES])}{more}"

    def embedder(self, hidden_size: int, tokenizer: Tokenizer) -> nn.Module:
        """A table of ``classes`` rows, and one for the null where labels are dropped."""
        return LabelEmbedding(self.classes, hidden_size, has_null=self.dropout > 0)


class LabelEmbedding(nn.Module):
    """Table of class vectors whose null index comes from its own size, never from a constant.

    Args:
        classes: number of classes.
        hidden_size: numbers a vector.
        has_null: whether there is a row for "unknown".
    """

    def __init__(self, classes: int, hidden_size: int, has_null: bool) -> None:
        super().__init__()
        self.null_index = classes
        self.has_null = has_null
        self.table = nn.Embedding(classes + has_null, hidden_size)
        nn.init.normal_(self.table.weight, std=0.02)

    def forward(self, labels_N: Tensor, null_N: Tensor) -> Tensor:
        """(N,) labels and null mask to (N, D)."""
        if self.has_null:
            labels_N = torch.where(null_N, self.null_index, labels_N)
        vectors: Tensor = self.table(labels_N)
        return vectors

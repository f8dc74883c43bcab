"""A class label."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from beeline.core.errors import UserError
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
        """The class of a name, or of one of the synonyms that a name separates by commas, as ImageNet's do."""
        if name in self.names:
            return self.names.index(name)
        found = [number for number, each in enumerate(self.names) if name in _synonyms(each)]
        if len(found) == 1:
            return found[0]
        if found:
            several = ", ".join(f"{number} ({self.names[number]})" for number in found[:_MOST_NAMES])
            raise UserError(f"condition {self.name}={name}: is the name of several classes, {several}; give a number")
        known = {each for full in self.names for each in (full, *_synonyms(full))}
        near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"labels are {self._known()}"
        raise UserError(f"unknown {self.name} '{name}'; {hint}")

    def _known(self) -> str:
        numbers = f"whole numbers from 0 to {self.classes - 1}"
        if not self.names:
            return numbers
        if self.classes > _MOST_NAMES:
            return f"{numbers}, or names such as '{self.names[0]}' and '{self.names[-1]}'"
        return f"{numbers}, or {', '.join(self.names)}"

    def embedder(self, hidden_size: int, tokenizer: Tokenizer) -> nn.Module:
        """A table of ``classes`` rows, and one for the null where labels are dropped."""
        return LabelEmbedding(self.classes, hidden_size, has_null=self.dropout > 0)


def _synonyms(name: str) -> list[str]:
    return [part.strip() for part in name.split(",")]


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

"""Named numbers: parameters of a simulation, a month, a level; some of which may not be known.

    s = 2 (f(x) - f(low)) / (f(high) - f(low)) - 1          f(x) = x, or log x where so asked

low and high are the least and the largest value of the training examples, so that s lies in [-1, 1] among them. A
parameter that is not known is s = 0 beside a flag, whose weights are its learned embedding.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from beeline.conditioning.vector import VectorEmbedding
from beeline.core.errors import UserError, unknown
from beeline.core.protocols import Route, Tokenizer

Array = np.ndarray[Any, Any]

# Share of the trained width by which a value may lie outside of it before anybody is told.
_MARGIN = 0.01
_ABSENT = ("", "?", "nan", "none")


@dataclass(frozen=True)
class Parameters:
    """Named numbers on the scales of their training values, each of which may be missing.

    A value is a dict by name, or a sequence in the order of the names; NaN, None or, in a dict, no entry is a missing
    parameter, which only one that was missing in training can be.

    Args:
        name: key in ``Example.condition``.
        names: of the numbers, in order, at least one.
        log: those of the names whose logarithm is taken; their values must be above 0.
        units: of each of the names, in order, for messages; empty where they are not known.
        dropout: share of training samples that see the null in place of all of them; 0 leaves the null out.
        low: least training value of each, once fitted.
        high: largest training value of each, once fitted.
        missing: names that were missing in some of the training examples, once fitted.
    """

    name: str
    names: tuple[str, ...]
    log: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    dropout: float = 0.1
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    missing: tuple[str, ...] = ()

    route: ClassVar[Route] = "global"
    choices: ClassVar[None] = None

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) < len(self.names) or not 0 <= self.dropout < 1:
            raise UserError(f"condition {self.name}: need at least one name, each once, and 0 <= dropout < 1")
        for each in self.names:
            if "," in each or "=" in each or each != each.strip() or not each:
                raise UserError(f"condition {self.name}: a parameter cannot be called '{each}', with ',', '=' or space")
        for each in self.log:
            self._place(each)
        if self.units and len(self.units) != len(self.names):
            raise UserError(f"condition {self.name}: {len(self.units)} units for {len(self.names)} names")

    @property
    def channels(self) -> int:
        """How many numbers."""
        return len(self.names)

    @property
    def has_null(self) -> bool:
        """Whether all of them may be absent: where training drops them."""
        return self.dropout > 0

    def fit(self, values: Iterable[Any]) -> Self:
        """Measure the least and the largest training value of each parameter, and which are missing now and then.

        Raises:
            UserError: one never varies or is never given, so that nothing can be learned from it; or is not above 0
                where its logarithm is taken.
        """
        low, high = np.full(self.channels, np.inf), np.full(self.channels, -np.inf)
        lacking = np.zeros(self.channels, dtype=bool)
        for value in values:
            if value is None:
                continue
            numbers = self._numbers(value)
            lacking |= np.isnan(numbers)
            low, high = np.fmin(low, numbers), np.fmax(high, numbers)
        for each, least, largest in zip(self.names, low, high, strict=True):
            if not least < largest:
                what = "is never given" if least > largest else f"is {least:g} in every example"
                raise UserError(f"condition {self.name}: parameter {each} {what}; leave it out")
        missing = tuple(each for each, lacks in zip(self.names, lacking, strict=True) if lacks)
        return replace(self, low=tuple(low.tolist()), high=tuple(high.tolist()), missing=missing)

    def encode(self, value: Any) -> Tensor:
        """Scaled numbers, then a flag of each that is missing: (2 x names,); None as zeros.

        Raises:
            UserError: the value does not fit, or a parameter is missing that never was in training.
        """
        if value is None:
            return torch.zeros(2 * self.channels)
        numbers = self._numbers(value)
        for each, number in zip(self.names, numbers, strict=True):
            if math.isnan(number) and each not in self.missing:
                raise UserError(
                    f"condition {self.name}: parameter {each} is missing and never was in training: give it a value"
                )
        scaled = self._scaled(numbers)
        absent = np.isnan(scaled)
        return torch.from_numpy(np.concatenate([np.where(absent, 0.0, scaled), absent]).astype(np.float32))

    def remarks(self, values: Iterable[Any]) -> list[str]:
        """What lies outside of the range of the training values: a line for each parameter that does, once.

        Args:
            values: that ``encode`` takes.
        """
        rows = [self._numbers(value) for value in values if value is not None]
        lines: list[str] = []
        if not rows:
            return lines
        numbers = np.stack(rows)
        distance = np.nan_to_num(np.abs(np.stack([self._scaled(row) for row in rows])), nan=0.0)
        for place in np.flatnonzero(distance.max(axis=0) > 1.0 + 2.0 * _MARGIN):
            number = numbers[distance[:, place].argmax(), place]
            unit = f" {self.units[place]}" if self.units and self.units[place] else ""
            lines.append(
                f"condition {self.name}: {self.names[place]} = {number:g}{unit} lies outside of what the model was "
                f"trained on, {self.low[place]:g} to {self.high[place]:g}{unit}"
            )
        return lines

    def between(self, first: Any, last: Any, share: float) -> dict[str, float]:
        """A value on the way from one to another, evenly on the scale of each parameter.

        Args:
            first: at share 0.
            last: at share 1.
            share: 0 to 1.
        """
        one, other = (self._scaled(self._numbers(value)) for value in (first, last))
        mixed = self._unscaled((1.0 - share) * one + share * other)
        return dict(zip(self.names, mixed.tolist(), strict=True))

    def parse(self, text: str) -> dict[str, float]:
        """NAME=NUMBER pairs separated by commas, or numbers in the order of the names; ? for a missing one.

        Raises:
            UserError: a part is neither, or a name is unknown or given twice.
        """
        parts, found = text.split(","), dict[str, float]()
        by_name = any("=" in part for part in parts)
        if not by_name and len(parts) != self.channels:
            raise UserError(f"condition {self.name}={text}: need {self._wanted()}")
        for place, part in enumerate(parts):
            each, equals, number = part.partition("=") if by_name else (self.names[place], "=", part)
            each = each.strip()
            try:
                value = math.nan if number.strip().lower() in _ABSENT else float(number)
            except ValueError:
                equals = ""
            if not equals or each in found:
                raise UserError(f"condition {self.name}={text}: need {self._wanted()}")
            found[self.names[self._place(each)]] = value
        return found

    def embedder(self, hidden_size: int, tokenizer: Tokenizer) -> nn.Module:
        """A two-layer network, and a trained vector for the null where the condition is dropped."""
        return VectorEmbedding(2 * self.channels, hidden_size, has_null=self.dropout > 0)

    def _place(self, name: str) -> int:
        if name not in self.names:
            raise unknown(f"parameter of condition {self.name}", name, self.names)
        return self.names.index(name)

    def _numbers(self, value: Any) -> Array:
        """A value as float64 numbers (names,), NaN where one is missing."""
        if isinstance(value, Mapping):
            for each in value:
                self._place(each)
            value = [value.get(each) for each in self.names]
        elif self.channels == 1 and not isinstance(value, Sequence) and np.ndim(value) == 0:
            value = [value]
        try:
            numbers = np.array([math.nan if each is None else each for each in value], dtype=np.float64)
        except (TypeError, ValueError):
            raise UserError(f"condition {self.name}={value}: need {self._wanted()}") from None
        if numbers.shape != (self.channels,) or np.isinf(numbers).any():
            raise UserError(f"condition {self.name}={value}: need {self._wanted()}, finite or NaN where missing")
        for each in self.log:
            if (number := numbers[self._place(each)]) <= 0:
                raise UserError(f"condition {self.name}: {each} = {number:g} has no logarithm; need a number above 0")
        return numbers

    def _wanted(self) -> str:
        shown = ",".join(f"{each}=..." for each in self.names[:3]) + (",..." if self.channels > 3 else "")
        return f"{self.channels} numbers, or some by name such as {shown}"

    def _curved(self, numbers: Array) -> Array:
        logarithmic = np.array([each in self.log for each in self.names])
        return np.where(logarithmic, np.log(np.where(logarithmic, numbers, 1.0)), numbers)

    def _scaled(self, numbers: Array) -> Array:
        low, high = self._curved(np.array(self.low)), self._curved(np.array(self.high))
        return 2.0 * (self._curved(numbers) - low) / (high - low) - 1.0

    def _unscaled(self, scaled: Array) -> Array:
        low, high = self._curved(np.array(self.low)), self._curved(np.array(self.high))
        curved = low + 0.5 * (scaled + 1.0) * (high - low)
        logarithmic = np.array([each in self.log for each in self.names])
        return np.where(logarithmic, np.exp(np.where(logarithmic, curved, 0.0)), curved)

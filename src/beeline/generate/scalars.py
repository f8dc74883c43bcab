"""The numbers that a model can be told, one by one: the parameters among its conditions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from beeline.conditioning.parameters import Parameters
from beeline.conditioning.vector import Vector
from beeline.core.protocols import Condition


@dataclass(frozen=True)
class Scalar:
    """One number of a condition.

    Args:
        condition: that takes it.
        place: among the numbers of the condition.
        name: what it is called.
        units: of it; empty where they are not known.
    """

    condition: Parameters | Vector
    place: int
    name: str
    units: str = ""

    def value(self, given: Any) -> float:
        """The number in a value of the condition; NaN where it is missing.

        Args:
            given: a value of the condition.
        """
        if isinstance(given, Mapping):
            given = [given.get(name) for name in self._names]
        number = None if given is None else np.asarray(given, dtype=object).reshape(-1)[self.place]
        return math.nan if number is None else float(number)

    def put(self, given: Any, number: float) -> Any:
        """A value of the condition with another number in its place, the others as they are.

        Args:
            given: a value of the condition.
            number: in the place of its own.
        """
        if isinstance(given, Mapping):
            return {**given, self._names[self.place]: number}
        numbers = [None if each is None else float(each) for each in np.asarray(given, dtype=object).reshape(-1)]
        return [*numbers[: self.place], number, *numbers[self.place + 1 :]]

    def steps(self, values: Iterable[Any], count: int) -> list[float]:
        """Numbers from the least to the largest that was trained, evenly on the scale that the model has for them.

        Args:
            values: of the condition in training.
            count: how many, at least two.
        """
        shares = [step / (count - 1) for step in range(count)]
        if isinstance(self.condition, Parameters):
            own, name = self.condition, self._names[self.place]
            low, high = (dict(zip(own.names, edge, strict=True)) for edge in (own.low, own.high))
            return [own.between(low, high, share)[name] for share in shares]
        found = [number for each in values if math.isfinite(number := self.value(each))]
        low_number, high_number = min(found, default=math.nan), max(found, default=math.nan)
        return [low_number + share * (high_number - low_number) for share in shares]

    @property
    def _names(self) -> Sequence[str]:
        return self.condition.names if isinstance(self.condition, Parameters) else ()


def scalars_of(conditions: Iterable[Condition]) -> list[Scalar]:
    """The numbers that some conditions take, in order.

    Args:
        conditions: of a model.
    """
    found: list[Scalar] = []
    for each in conditions:
        if isinstance(each, Parameters):
            units = each.units or ("",) * len(each.names)
            found += [Scalar(each, place, name, units[place]) for place, name in enumerate(each.names)]
        elif isinstance(each, Vector):
            names = [each.name] if each.size == 1 else [f"{each.name}_{place}" for place in range(each.size)]
            found += [Scalar(each, place, name) for place, name in enumerate(names)]
    return found

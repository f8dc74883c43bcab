"""What a modality hands over: examples in, named scores out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from torch import Tensor

from beeline.core.conditions import Conditions
from beeline.core.errors import UserError
from beeline.core.random import Key
from beeline.core.tokens import Tokens


@dataclass(frozen=True)
class Example:
    """One sample as its owner knows it.

    Args:
        array: native array: grids are (extent per axis ..., channels), in native units and dtype.
        condition: what is known about it, by condition name; a missing name stands for "unknown".
        group: what an example belongs to (a speaker, a simulation), None for nothing; one in both splits is refused.
        observed: which numbers were observed, booleans of the array's shape or of its cells (the shape without
            channels); None for all. What stands in the others counts nowhere.
    """

    array: np.ndarray[Any, Any]
    condition: Mapping[str, Any] = field(default_factory=dict)
    group: Hashable = None
    observed: np.ndarray[Any, Any] | None = None

    def observed_numbers(self) -> np.ndarray[Any, Any] | None:
        """``observed`` number by number, of the array's shape.

        Raises:
            UserError: it is aligned with neither the array nor its cells, or holds no booleans.
        """
        if self.observed is None:
            return None
        given, shape = np.asarray(self.observed), self.array.shape
        if given.dtype != np.bool_ or given.shape not in (shape, shape[:-1]):
            raise UserError(
                f"observed: an array of {given.dtype} and shape {given.shape} beside data of shape {shape}; it needs "
                "booleans of that shape, or of one without the channels"
            )
        return given if given.shape == shape else np.broadcast_to(given[..., None], shape)

    def known_numbers(self) -> np.ndarray[Any, Any]:
        """The array, with NaN where nothing was observed.

        Raises:
            UserError: ``observed`` does not fit.
        """
        observed = self.observed_numbers()
        if observed is None:
            return self.array
        return np.where(observed, self.array, np.array(np.nan, np.result_type(self.array, np.float32)))


@dataclass(frozen=True)
class Batch:
    """Training examples in the form that an objective takes.

    Args:
        tokens: the data.
        conditions: of the samples.
        partners: (N,) int64 number of the sample whose noise each sample takes, where a coupling has exchanged them;
            None where each takes its own.
    """

    tokens: Tokens
    conditions: Conditions
    partners: Tensor | None = None

    def to(self, device: str) -> Batch:
        """The same batch on another device."""
        partners = None if self.partners is None else self.partners.to(device)
        return Batch(self.tokens.to(device), self.conditions.to(device), partners)

    def given(self) -> list[object]:
        """All of it in a row, to be compared piece by piece: tensors, layouts, names and rates."""
        return [self.tokens.values, *self.tokens.places(), *self.conditions.given(), self.partners]

    def rows(self, index: Tensor) -> Batch:
        """Some of the samples, each a row of its own.

        Args:
            index: (M,) int64 which.
        """
        partners = None if self.partners is None else self.partners[index]
        return Batch(self.tokens.rows(index), self.conditions.rows(index), partners)

    def noise_key(self, key: Key) -> Key:
        """The streams from which the noise of the samples is drawn.

        Args:
            key: of the samples.
        """
        own = key if self.partners is None else replace(key, numbers=self.partners)
        return own.fold("noise")


Examples = Sequence[Example]


class Deferred(Sequence[Example]):
    """Examples that are read when they are asked for, by index; what is known without reading them is told at once.

    A dataset larger than memory is one of these. It must survive being sent to another process.
    """

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self.read(each) for each in range(*index.indices(len(self)))]
        return self.read(range(len(self))[index])

    @abstractmethod
    def read(self, index: int) -> Example:
        """An example.

        Args:
            index: of it, from 0.
        """

    @abstractmethod
    def condition(self, index: int) -> Mapping[str, Any]:
        """The condition of an example."""

    @abstractmethod
    def group(self, index: int) -> Hashable:
        """The group of an example."""

    @abstractmethod
    def name(self, index: int) -> str:
        """Where an example comes from, for messages: a file, or a row of one."""

    def further(self) -> Sequence[Example]:
        """Examples that nothing is learned from and parts are fitted on too, with conditions where they have some."""
        return ()


def condition_of(examples: Examples, index: int) -> Mapping[str, Any]:
    """The condition of an example, without reading it where that can be helped."""
    return examples.condition(index) if isinstance(examples, Deferred) else examples[index].condition


def group_of(examples: Examples, index: int) -> Hashable:
    """The group of an example, without reading it where that can be helped."""
    return examples.group(index) if isinstance(examples, Deferred) else examples[index].group


def name_of(examples: Examples, index: int) -> str:
    """What to call an example in a message."""
    return examples.name(index) if isinstance(examples, Deferred) else f"example {index}"


def further(examples: Examples) -> Examples:
    """Examples that parts are fitted on beside those that are learned from."""
    return examples.further() if isinstance(examples, Deferred) else ()


def located(split: str, examples: Examples, index: int, problem: object) -> str:
    """What is wrong with an example, with its name before it, unless the message has the name already."""
    name, text = name_of(examples, index), str(problem)
    return f"{split}: {text}" if name in text else f"{split} {name}: {text}"


@dataclass(frozen=True)
class KnownNumbers:
    """Arrays of examples with NaN where nothing was observed, read anew each time they are gone through.

    Args:
        examples: whose arrays they are.
        start: name of the condition that holds another array of the same kind beside each; None without one.
    """

    examples: Examples
    start: str | None = None

    def __iter__(self) -> Iterator[np.ndarray[Any, Any]]:
        for index in range(len(self.examples)):
            example = self.examples[index]
            yield example.known_numbers()
            if self.start is not None and example.condition.get(self.start) is not None:
                yield np.asarray(example.condition[self.start])
        for example in further(self.examples):
            yield example.known_numbers()


def evenly(examples: Sized, most: int) -> Iterator[int]:
    """Indices of at most ``most`` examples, spread evenly."""
    step = max(1, -(-len(examples) // most))
    return iter(range(0, len(examples), step))


@dataclass(frozen=True)
class Geometry:
    """The grid that fields of physical quantities lie on.

    Args:
        channels: names of the quantities, in the order of the last axis.
        units: of each; empty where they are not known.
        spacing: distance from a cell to the next along each axis.
        length_unit: of the spacing; empty where it is not known.
        periodic: whether the last cell of each axis is a neighbour of its first; empty where none is.
        overdensity: channels whose spectra are those of x / <x> - 1, <x> being the mean of each map.
    """

    channels: tuple[str, ...]
    units: tuple[str, ...]
    spacing: tuple[float, ...]
    length_unit: str = ""
    periodic: tuple[bool, ...] = ()
    overdensity: tuple[str, ...] = ()


@dataclass(frozen=True)
class Expression:
    """What the numbers of a cell are of, and how cells are told apart.

    Args:
        genes: names, in the order of the arrays.
        contexts: conditions in which a control cell agrees with the cells that it stands for.
        kinds: conditions by which cells are of a kind; the contexts where there are some.
        logarithmic: whether the numbers are log1p of counts of one library, from which fold changes follow.
    """

    genes: tuple[str, ...]
    contexts: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    logarithmic: bool = True


@dataclass(frozen=True)
class Metric:
    """A number that tells how good generated samples are.

    Args:
        name: what the report calls it.
        formula: how it is computed, in one line.
        function: (training examples, held-out examples, generated examples) -> value.
        low: smallest value of a good model.
        high: largest value of a good model.
        truth: its known value where held-out examples stand in the place of samples, and by how much it may be off;
            None where it is not known.
        better: ``lower`` or ``higher`` values; None where it is neither, or not said.
    """

    name: str
    formula: str
    function: Callable[[Examples, Examples, Examples], float]
    low: float = float("-inf")
    high: float = float("inf")
    truth: tuple[float, float] | None = None
    better: Literal["lower", "higher"] | None = None

    def passes(self, value: float) -> bool:
        """Whether a value is what a good model reaches; never for a value that is not a number."""
        return self.low <= value <= self.high

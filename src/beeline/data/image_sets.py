"""Images wherever they lie, as a dataset that reads them when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from beeline.core.data import Deferred, Example
from beeline.core.errors import UserError
from beeline.data.image_arrays import Part, read_parts
from beeline.data.image_files import Header, read_image
from beeline.data.image_index import shown
from beeline.data.image_reading import Reading, array_as
from beeline.data.splits import split_by_group

Array = np.ndarray[Any, Any]
SplitBy = Literal["group", "image"]


class Pictures(Protocol):
    """Images by number, wherever they lie."""

    def __len__(self) -> int: ...

    def read(self, index: int, reading: Reading) -> Array:
        """One of them, (height, width, channels), under a policy."""
        ...

    def name(self, index: int) -> str:
        """Where one of them lies."""
        ...


class FilePictures:
    """Image files below a folder; their names are held as one run of bytes, which workers share without copying.

    Args:
        folder: above them.
        names: below it.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        encoded = [os.fsencode(name) for name in names]
        self._bytes = b"".join(encoded)
        self._ends = np.cumsum([0, *map(len, encoded)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def read(self, index: int, reading: Reading) -> Array:
        """One of them under a policy.

        Raises:
            UserError: it cannot be read.
        """
        return read_image(self.folder / self._name(index), reading, self.name(index))

    def name(self, index: int) -> str:
        """Its path."""
        return shown(str(self.folder / self._name(index)))

    def _name(self, index: int) -> str:
        return os.fsdecode(self._bytes[self._ends[index] : self._ends[index + 1]])


class ArrayPictures:
    """Images in arrays, one behind the other; mapped arrays are opened anew in another process.

    Args:
        parts: the arrays.
        files: that they were read from; empty where they are held in memory alone.
    """

    def __init__(self, parts: Sequence[Part], files: Sequence[Path] = ()) -> None:
        self._names = [part.name for part in parts]
        self._arrays = [part.images for part in parts]
        self._starts = np.cumsum([0, *map(len, self._arrays)])
        self._files = list(files)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, index: int, reading: Reading) -> Array:
        """One of them under a policy, a copy."""
        part, place = self._place(index)
        return np.array(array_as(np.asarray(self._arrays[part][place]), reading))

    def name(self, index: int) -> str:
        """Array and number within it."""
        part, place = self._place(index)
        return f"{self._names[part]}[{place}]"

    def _place(self, index: int) -> tuple[int, int]:
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        return part, index - int(self._starts[part])

    def __getstate__(self) -> dict[str, Any]:
        mapped = any(isinstance(array, np.memmap) for array in self._arrays)
        return {**self.__dict__, "_arrays": None} if mapped else self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if state["_arrays"] is None:
            self._arrays = [part.images for part in read_parts(self._files)]


@dataclass(frozen=True)
class Look:
    """What is known of the form of some images before they are read.

    Args:
        index: number of the first of them.
        header: size, channels and bits.
        count: how many there are of it, one behind the other.
        floats: whether they hold floats.
    """

    index: int
    header: Header
    count: int = 1
    floats: bool = False


@dataclass(frozen=True)
class Found:
    """Images and what is known of them.

    Args:
        where: they lie.
        pictures: to be read.
        looks: at their form; in large sets not at every one.
        labels: class of each; None where they have none.
        names: of the classes; empty where they have numbers alone.
        held_out: whether each is held out; None where that is not told.
        groups: of each; None where none are told.
        notes: what else there is to say, a line each.
        files: whether they are image files rather than arrays.
        by_class: whether each class is split on its own.
    """

    where: str
    pictures: Pictures
    looks: tuple[Look, ...]
    labels: Array | None = None
    names: tuple[str, ...] = ()
    held_out: Array | None = None
    groups: tuple[Hashable, ...] | None = None
    notes: tuple[str, ...] = ()
    files: bool = False
    by_class: bool = True

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return 0 if self.labels is None else len(self.names) or int(self.labels.max()) + 1

    def split(self, held_out: float, by: SplitBy = "group") -> tuple[Array, Array]:
        """Numbers of the training and of the held-out images.

        Args:
            held_out: share to hold out, where it is not told which.
            by: whether groups stay whole, or each image is drawn by itself.

        Raises:
            UserError: one side would be empty.
        """
        if self.held_out is not None:
            return np.flatnonzero(~self.held_out), np.flatnonzero(self.held_out)
        every = range(len(self.pictures))
        named: Sequence[Hashable] = [self.pictures.name(index) for index in every] if self.files else every
        own: Sequence[Hashable] = named
        if self.files:
            own = [str(name).removeprefix(self.where) for name in named]
        groups = own
        if self.groups is not None and by == "group":
            groups = [one if one is not None else other for one, other in zip(self.groups, own, strict=True)]
        classes = None
        if self.by_class:
            classes = [0] * len(groups) if self.labels is None else self.labels.tolist()
        sides = _split(groups, held_out, classes)
        return np.asarray(sides[0]), np.asarray(sides[1])


def _split(groups: Sequence[Hashable], held_out: float, classes: list[int] | None) -> tuple[list[int], list[int]]:
    if classes is not None:
        try:
            return split_by_group(groups, held_out, classes=classes)
        except UserError:
            pass  # every class has one image: some class must go without
    return split_by_group(groups, held_out)


class ImageSet(Deferred):
    """Some of the images found, read when they are asked for.

    Args:
        found: the images.
        indices: numbers of those that belong to the set.
        reading: what each becomes.
        condition: name of the condition that is their class; None for none.
    """

    def __init__(self, found: Found, indices: Array, reading: Reading, condition: str | None) -> None:
        self._pictures = found.pictures
        self._indices = np.asarray(indices, dtype=np.int64)
        self._reading = reading
        self._condition_name = condition if found.labels is not None else None
        self._labels = None if found.labels is None else np.asarray(found.labels, dtype=np.int32)
        self._groups = found.groups

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, index: int) -> Example:
        """An image, its class and group."""
        array = self._pictures.read(int(self._indices[index]), self._reading)
        return Example(array, self.condition(index), self.group(index))

    def condition(self, index: int) -> Mapping[str, Any]:
        """The class, where it is a condition."""
        if self._condition_name is None or self._labels is None:
            return {}
        return {self._condition_name: int(self._labels[self._indices[index]])}

    def group(self, index: int) -> Hashable:
        """What it belongs to."""
        return None if self._groups is None else self._groups[int(self._indices[index])]

    def name(self, index: int) -> str:
        """Where it lies."""
        return self._pictures.name(int(self._indices[index]))

"""Latents as a dataset that maps them from their file."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from beeline.core.data import Deferred, Example
from beeline.core.errors import UserError
from beeline.data.latent_store import ARRAY, INDEX, NUMBER, LatentImages, LatentIndex, latents_done

Array = np.ndarray[Any, Any]


class LatentSet(Deferred):
    """Latents of some images, mapped from their file.

    Args:
        folder: of the latents.
        index: what they are.
        images: that they are of.
        numbers: of the images that belong to the set.
        flips: whether their mirror images follow them.
        condition: name of the condition that is their class; None for none.

    Raises:
        UserError: the latents are not there, or not all of them.
    """

    def __init__(
        self,
        folder: Path,
        index: LatentIndex,
        images: LatentImages,
        numbers: Array,
        flips: bool = False,
        condition: str | None = None,
    ) -> None:
        self._path = folder / ARRAY
        if not self._path.is_file():
            raise UserError(
                f"{folder}: holds the latents of {latents_done(folder):,} of {index.count:,} images; the same "
                "'beeline convert' that began it goes on"
            )
        self._shape = index.array_shape
        self._images = images
        self._numbers = np.tile(np.asarray(numbers, dtype=np.int64), 1 + flips)
        self._unflipped = len(numbers)
        self._condition_name = condition if images.label is not None else None
        self._labels = np.asarray(images.label or (), dtype=np.int32)
        self._array = self._mapped()

    def _mapped(self) -> Array:
        try:
            array = np.load(self._path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise UserError(f"{self._path}: damaged ({error}); delete its folder and make it again") from None
        if array.shape != self._shape or array.dtype != NUMBER:
            raise UserError(f"{self._path}: is not the one that {INDEX} was written with")
        return array

    def __len__(self) -> int:
        return len(self._numbers)

    def read(self, index: int) -> Example:
        """A latent, its class and group."""
        array = np.array(self._array[self._numbers[index], int(index >= self._unflipped)], dtype=np.float32)
        return Example(array, self.condition(index), self.group(index))

    def condition(self, index: int) -> Mapping[str, Any]:
        """The class, where it is a condition."""
        if self._condition_name is None:
            return {}
        return {self._condition_name: int(self._labels[self._numbers[index]])}

    def group(self, index: int) -> Hashable:
        """What the image belongs to, else the image itself: its mirror image is of the same group."""
        number = self._numbers[index]
        group = None if self._images.group is None else self._images.group[number]
        return self._images.file[number] if group is None else group

    def name(self, index: int) -> str:
        """The image, and whether it is mirrored."""
        return self._images.file[self._numbers[index]] + (", mirrored" if index >= self._unflipped else "")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_array": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._array = self._mapped()

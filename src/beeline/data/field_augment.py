"""Rolls, flips and quarter turns of fields: what a law without a preferred place or direction leaves as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from beeline.core.errors import UserError

Array = np.ndarray[Any, Any]
MOVES = ("roll", "flip", "rotate")


@dataclass(frozen=True)
class FieldMoves:
    """Moves of a field and of the maps under it; way 0 leaves both as they are.

    Ways: {rolls along the periodic axes} x {flips of each axis} x {quarter turns of a square}.

    Args:
        shape: cells along each axis.
        rolled: whether each axis is rolled; only periodic ones may be.
        flipped: whether the axes are flipped.
        rotated: whether the field is turned, which needs two axes of one extent.
        step: cells by which it is rolled at least, along every axis.

    Raises:
        UserError: it cannot be turned.
    """

    shape: tuple[int, ...]
    rolled: tuple[bool, ...] = ()
    flipped: bool = False
    rotated: bool = False
    step: int = 1

    condition: ClassVar[None] = None

    def __post_init__(self) -> None:
        if self.rotated and (len(self.shape) != 2 or self.shape[0] != self.shape[1]):
            size = "x".join(map(str, self.shape))
            raise UserError(f"augment rotate: needs two axes of one extent, not {size}; leave it out")

    @property
    def ways(self) -> int:
        """How many."""
        return int(np.prod(self._choices, dtype=np.int64))

    @property
    def _choices(self) -> tuple[int, ...]:
        """Shifts along each axis, then flips of each, then quarter turns."""
        rolled = self.rolled or (False,) * len(self.shape)
        shifts = (size // self.step if rolls else 1 for size, rolls in zip(self.shape, rolled, strict=True))
        flips = [2 if self.flipped else 1] * len(self.shape)
        if self.rotated:  # with quarter turns, a flip of one axis makes those of the other
            flips[1] = 1
        return (*shifts, *flips, 4 if self.rotated else 1)

    def rearrange(self, array: Array, way: int) -> Array:
        """An array (cells ..., channels) moved in that way."""
        places = [int(place) for place in np.unravel_index(way, self._choices)]
        axes = range(len(self.shape))
        shifts, flips, turns = places[: len(axes)], places[len(axes) : -1], places[-1]
        array = np.roll(array, [shift * self.step for shift in shifts], axis=tuple(axes))
        array = np.flip(array, axis=tuple(axis for axis in axes if flips[axis]))
        return np.ascontiguousarray(np.rot90(array, turns) if turns else array)

    def label(self, way: int) -> Any:
        """Nothing is told."""
        return None


def field_moves(
    wanted: tuple[str, ...], shape: tuple[int, ...], periodic: tuple[bool, ...], channels: int, scalars: bool
) -> FieldMoves | None:
    """The moves that a user asks for, None for none.

    Args:
        wanted: some of ``MOVES``.
        shape: cells along each axis.
        periodic: whether each axis is; empty where none is.
        channels: of the target and of all maps together.
        scalars: whether the user says that no channel changes its sign or place when the field is turned over.

    Raises:
        UserError: a move does not leave the fields as they are.
    """
    for name in wanted:
        if name not in MOVES:
            raise UserError(f"augment {name}: know {', '.join(MOVES)}")
    if not wanted:
        return None
    if "roll" in wanted and not any(periodic):
        raise UserError("augment roll: no axis is periodic; say which are, --data.periodic, or leave it out")
    turned = [name for name in wanted if name != "roll"]
    if turned and channels > 2 and not scalars:
        raise UserError(
            f"augment {turned[0]}: {channels} channels may be components of vectors, whose signs change; "
            "--data.scalars true says that none is"
        )
    rolled = periodic if "roll" in wanted else ()
    return FieldMoves(shape, rolled, "flip" in wanted, "rotate" in wanted)

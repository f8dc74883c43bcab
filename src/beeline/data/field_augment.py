"""Rolls, flips and quarter turns of fields: what a law without a preferred place or direction leaves as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from beeline.core.errors import UserError
from beeline.data.field_checks import is_time
from beeline.data.field_description import FieldAxis, FieldDescription

Array = np.ndarray[Any, Any]
MOVES = ("roll", "flip", "rotate")


@dataclass(frozen=True)
class FieldMoves:
    """Moves of a field and of the maps under it; way 0 leaves both as they are.

    Ways: {rolls along the periodic axes} x {flips of some axes} x {quarter turns of a square}.

    Args:
        shape: cells along each axis.
        rolled: whether each axis is rolled; only periodic ones may be.
        flipped: whether each axis is flipped.
        rotated: whether the field is turned, which needs two axes of one extent.
        step: cells by which it is rolled at least, along every axis.

    Raises:
        UserError: it cannot be turned.
    """

    shape: tuple[int, ...]
    rolled: tuple[bool, ...] = ()
    flipped: tuple[bool, ...] = ()
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
        flips = [2 if flips else 1 for flips in self.flipped or (False,) * len(self.shape)]
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


def field_moves(wanted: tuple[str, ...], known: FieldDescription, scalars: bool) -> FieldMoves | None:
    """The moves that a user asks for, None for none; times are never turned round.

    Args:
        wanted: some of ``MOVES``.
        known: the fields.
        scalars: whether the user says that no channel changes its sign or place when the field is turned over.

    Raises:
        UserError: a move does not leave the fields as they are.
    """
    for name in wanted:
        if name not in MOVES:
            raise UserError(f"augment {name}: know {', '.join(MOVES)}")
    if not wanted:
        return None
    if "roll" in wanted and not known.periodic:
        raise UserError("augment roll: no axis is periodic; say which are, --data.periodic, or leave it out")
    turned = [name for name in wanted if name != "roll"]
    names = [channel.name for channel in (*known.channels, *(each for one in known.maps for each in one.channels))]
    if turned and len(names) > 1 and not scalars:
        raise UserError(
            f"augment {turned[0]}: {', '.join(names)} may be components of a vector, whose signs change; "
            "--data.scalars true says that none is"
        )
    flipped = tuple("flip" in wanted and not is_time(axis) for axis in known.axes)
    if "flip" in wanted and not any(flipped):
        raise UserError("augment flip: time has a direction, and there is no other axis; leave it out")
    if "rotate" in wanted:
        _check_square(known.axes)
    rolled = known.periodic if "roll" in wanted else ()
    return FieldMoves(known.shape, rolled, flipped, "rotate" in wanted)


def _check_square(axes: Sequence[FieldAxis]) -> None:
    """Refuse quarter turns that change what a field is.

    Raises:
        UserError: saying in what the axes differ.
    """
    size = "x".join(str(axis.size) for axis in axes)
    if len(axes) != 2 or axes[0].size != axes[1].size:
        raise UserError(f"augment rotate: needs two axes of one extent, not {size}; leave it out")
    one, other = axes
    first, second = (np.abs(np.diff(axis.coordinate)) for axis in axes)
    even = len(first) == len(second) and np.allclose(first, second, rtol=1e-3, atol=0)
    differ = {
        "units": one.units != other.units,
        "spacing": not even or not np.isclose(one.length or 0, other.length or 0, rtol=1e-3, atol=0),
        "periodicity": one.periodic != other.periodic,
        "kind, one being a time": is_time(one) or is_time(other),
    }
    if any(differ.values()):
        what = next(name for name, differs in differ.items() if differs)
        raise UserError(f"augment rotate: {one.name} and {other.name} differ in {what}; leave it out")

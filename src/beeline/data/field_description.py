"""What is known of fields beside their numbers: axes, coordinates, units, what is periodic, how large the box is."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from beeline.core.errors import UserError
from beeline.data.descriptions import Description

ABOUT = ("calendar", "standard_name", "long_name", "axis")
_EVEN, _NEARLY_EVEN = 1e-3, 0.02


@dataclass(frozen=True)
class FieldAxis:
    """One axis of a grid.

    Args:
        name: of the dimension.
        size: cells along it in the training data.
        units: of its coordinate; empty where they are not known.
        coordinate: of each cell; empty where it is not known.
        periodic: whether the last cell is a neighbour of the first.
        length: of the box along it, in its units; None where it is not known.
        calendar: of its times; this and what follows empty where the file does not say.
        standard_name: of its coordinate, as CF has it.
        long_name: of its coordinate, for people.
        axis: letter of its direction, as CF has it: T of times.
    """

    name: str
    size: int
    units: str = ""
    coordinate: tuple[float, ...] = ()
    periodic: bool = False
    length: float | None = None
    calendar: str = ""
    standard_name: str = ""
    long_name: str = ""
    axis: str = ""

    @property
    def attributes(self) -> dict[str, str]:
        """What a file says of its coordinate."""
        said = {name: str(getattr(self, name)) for name in ("units", *ABOUT)}
        return {name: value for name, value in said.items() if value}

    @property
    def is_angle(self) -> bool:
        """Whether its coordinate is in degrees of a circle."""
        return self.units.lower().startswith("degree") or self.units.lower() == "deg"

    @property
    def unevenness(self) -> float:
        """By how much a step differs from the mean one, as a share of it; 0 where no coordinate is known."""
        steps = np.diff(self.coordinate)
        return float(np.abs(steps / steps.mean() - 1).max()) if len(steps) and steps.mean() else 0.0

    @property
    def is_nearly_even(self) -> bool:
        """Whether its steps differ by a little, as those of Gaussian latitudes do."""
        return _EVEN < self.unevenness <= _NEARLY_EVEN

    @property
    def step(self) -> float:
        """From cell to cell on the mean, in the units of its coordinate; 0 where none is known."""
        return float(np.abs(np.diff(self.coordinate).mean())) if len(self.coordinate) > 1 else 0.0

    @property
    def direction(self) -> int:
        """1 where its coordinate ascends, -1 where it descends, 0 where it is not known."""
        return 0 if len(self.coordinate) < 2 else 1 if self.coordinate[1] > self.coordinate[0] else -1


@dataclass(frozen=True)
class FieldChannel:
    """One channel of a field.

    Args:
        name: of the quantity.
        units: of its numbers; empty where they are not known.
    """

    name: str
    units: str = ""


@dataclass(frozen=True)
class FieldMapping:
    """A map that conditions a field, on the same grid, or what lies beside that grid.

    Args:
        name: of the condition.
        channels: of the map.
        dims: axes that it has; it is the same along the others.
        axes: of a map of another grid; empty on the same one, and of scattered points.
    """

    name: str
    channels: tuple[FieldChannel, ...]
    dims: tuple[str, ...] = ()
    axes: tuple[FieldAxis, ...] = ()


@dataclass(frozen=True)
class FieldDescription(Description):
    """What a set of fields declares.

    Args:
        axes: of the grid, in order.
        channels: of the target, in order.
        maps: that condition it.
        parameters: numbers that condition it, in order.
        group: names of what tells groups apart; empty where each sample is its own.
        coarse: maps of another grid over the same ground.
        points: scattered observations.
        blocks: names of what tells parts of a group apart that intervals take as independent.
    """

    axes: tuple[FieldAxis, ...]
    channels: tuple[FieldChannel, ...]
    maps: tuple[FieldMapping, ...] = ()
    parameters: tuple[FieldChannel, ...] = ()
    group: tuple[str, ...] = ()
    coarse: tuple[FieldMapping, ...] = ()
    points: tuple[FieldMapping, ...] = ()
    blocks: tuple[str, ...] = ()

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes of the grid."""
        return tuple(axis.name for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each axis in the training data."""
        return tuple(axis.size for axis in self.axes)

    @property
    def periodic(self) -> tuple[bool, ...]:
        """Whether each axis is periodic; empty where none is."""
        found = tuple(axis.periodic for axis in self.axes)
        return found if any(found) else ()


def with_periods(
    axes: tuple[FieldAxis, ...], periodic: tuple[str, ...], box: tuple[float, ...]
) -> tuple[FieldAxis, ...]:
    """Axes that know which of them close upon themselves and how long they are.

    Args:
        axes: of the grid.
        periodic: names of the periodic ones; ``all`` for all.
        box: length along each axis, or one for all; empty where it is what the coordinates span, a cell each.

    Raises:
        UserError: there is no such axis, or a length is missing or not above 0.
    """
    names = [axis.name for axis in axes]
    for name in periodic:
        if name != "all" and name not in names:
            raise UserError(f"periodic {name}: the fields lie on ({', '.join(names)}); name some of these, or all")
    lengths = box * len(axes) if len(box) == 1 else box
    if box and (len(lengths) != len(axes) or not all(0 < each < np.inf for each in lengths)):
        raise UserError(f"box {', '.join(f'{each:g}' for each in box)}: need a length above 0 for each of {names}")
    found = []
    for place, axis in enumerate(axes):
        closes, span = "all" in periodic or axis.name in periodic, _span(axis)
        if closes and span is not None and axis.is_angle and span > 360 + span / axis.size / 2:
            raise UserError(
                f"periodic {axis.name}: its {axis.size} cells span {span:g} degrees from {axis.coordinate[0]:g} to "
                f"{axis.coordinate[-1]:g}, so that one lies there twice; leave it out, in xarray: "
                f".isel({axis.name}=slice(None, -1))"
            )
        found.append(dataclasses.replace(axis, periodic=closes, length=lengths[place] if box else span))
    return tuple(found)


def _span(axis: FieldAxis) -> float | None:
    """Length of an evenly divided axis, each cell as long as the distance to the next."""
    steps = np.diff(axis.coordinate)
    if not len(steps) or not steps.mean() or axis.unevenness > _NEARLY_EVEN:
        return None
    return float(abs(steps.mean()) * len(axis.coordinate))

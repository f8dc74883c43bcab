"""Fields of a file as a dataset that reads them when they are asked for.

A target and the maps under it are cut into samples along ``sample_dims``; what is left is the grid, and the channels
come last: (cells along each axis ..., channels), in physical units.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from beeline.core.data import Deferred, Example
from beeline.core.errors import UserError
from beeline.core.files import sha256
from beeline.data.field_beside import observations
from beeline.data.field_checks import check_finite
from beeline.data.field_description import FieldDescription
from beeline.data.field_stores import CHANNEL, FieldStore, float_type
from beeline.data.group_names import as_shown, shown
from beeline.data.splits import split_by_group

Array = np.ndarray[Any, Any]
Column = Array | Sequence[str]
PARAMETERS = "params"
_SMALL, _LARGEST = 2**26, 2**28
_LEAST_ROWS, _MOST_ROWS = 8, 256


@dataclass(frozen=True)
class FoundFields:
    """The fields of a file, and what is known of them.

    Args:
        store: the file.
        description: axes, channels, units.
        target: variables that are stacked as channels.
        maps: variables that are given, on the grid or beside it, by the name of their condition.
        samples: axes along which the file is cut into samples, and their extents.
        parameters: (samples, numbers); None where there are none.
        columns: what tells groups apart, one value a sample, by name; empty where each sample is its own.
        notes: what there is to say about them, a line each.
        masked: whether NaN stands for what was not observed, rather than being refused.
        blocks: what tells parts of a group apart, one value a sample, by name; empty where groups are whole.
    """

    store: FieldStore
    description: FieldDescription
    target: tuple[str, ...]
    maps: Mapping[str, str]
    samples: Mapping[str, int]
    parameters: Array | None
    columns: Mapping[str, Array]
    notes: tuple[str, ...] = ()
    masked: bool = False
    blocks: Mapping[str, Array] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The file."""
        return self.store.path

    def __len__(self) -> int:
        return int(np.prod(list(self.samples.values())))

    def group(self, index: int) -> str:
        """What a sample belongs to, such as ``month=1,level=200``; itself where no group is named."""
        if not self.columns:
            return f"sample {index}"
        return ",".join(f"{name}={shown(column[index])}" for name, column in self.columns.items())

    def block(self, index: int) -> str:
        """The part of its group that intervals take a sample for; the whole group where none is told apart."""
        parts = (f"{name}={shown(column[index])}" for name, column in self.blocks.items())
        return ",".join([self.group(index), *parts])

    def name(self, index: int) -> str:
        """Where a sample lies."""
        return f"{self.path.name} {self.group(index)}" + (f" (sample {index})" if self.columns else "")

    def place(self, index: int) -> dict[str, int]:
        """Its place along each axis of samples."""
        places = np.unravel_index(index, tuple(self.samples.values()))
        return {dim: int(place) for dim, place in zip(self.samples, places, strict=True)}

    def array(self, name: str, index: int) -> Array:
        """A variable of a sample on the whole grid, channels last, as floats.

        Raises:
            UserError: it cannot be read.
        """
        array = self.on(self.description.dims, name, index)
        return np.broadcast_to(array, (*self.description.shape, array.shape[-1]))

    def on(self, dims: Sequence[str], name: str, index: int) -> Array:
        """A variable of a sample along some axes, channels last, as floats; of one cell along those that it lacks.

        Args:
            dims: the axes, in order.
            name: of the variable.
            index: of the sample.

        Raises:
            UserError: it cannot be read.
        """
        raw = self.raw(name, index)
        left = [dim for dim in self.store.variable(name).dims if dim not in self.samples]
        wanted = [dim for dim in (*dims, CHANNEL) if dim in left]
        array = np.transpose(raw, [left.index(dim) for dim in wanted])
        for axis, dim in enumerate((*dims, CHANNEL)):
            if dim not in left:
                array = np.expand_dims(array, axis)
        return array.astype(float_type(array.dtype), copy=False)

    def raw(self, name: str, index: int) -> Array:
        """A variable of a sample along the axes that the file has it on.

        Raises:
            UserError: it cannot be read.
        """
        variable, place = self.store.variable(name), self.place(index)
        return self.store.read(name, {dim: place[dim] for dim in variable.dims if dim in place})

    @property
    def is_hashed_whole(self) -> bool:
        """Whether ``identity`` is the sha256 of the file."""
        return self.path.is_file() and self.path.stat().st_size <= _SMALL

    def identity(self) -> str:
        """A hash of what the file holds: of all of a small file, else of samples spread evenly and what is known."""
        if self.is_hashed_whole:
            return sha256(self.path)
        digest = hashlib.sha256(self.description.text().encode())
        names = (*self.target, *self.maps.values())
        for name in names:
            variable = self.store.variable(name)
            attributes = sorted((key, str(value)) for key, value in variable.attributes.items())
            digest.update(f"{name} {variable.dims} {variable.shape} {variable.dtype} {attributes}\n".encode())
        for column in (self.parameters, *self.columns.values()):
            digest.update(b"" if column is None else np.ascontiguousarray(column).tobytes())
        size = len(names) * 8 * int(np.prod(self.description.shape))
        rows = min(_MOST_ROWS, max(_LEAST_ROWS, _LARGEST // size))
        for index in range(0, len(self), max(1, -(-len(self) // rows))):
            for name in names:
                digest.update(self.raw(name, index).tobytes())
        return digest.hexdigest()

    def split(self, held_out: float, groups: str | None) -> tuple[Array, Array]:
        """Numbers of the training and of the held-out samples; a group is never cut.

        Args:
            held_out: share of samples to hold out.
            groups: the groups to hold out, such as ``month=1,level=200``, several between semicolons; None for a share.

        Raises:
            UserError: a side would be empty, or a group is not there.
        """
        every = range(len(self))
        if groups is None:
            sides = split_by_group([self.group(index) for index in every], held_out)
            return np.asarray(sides[0]), np.asarray(sides[1])
        chosen = np.zeros(len(self), dtype=bool)
        for text in filter(None, (part.strip() for part in groups.split(";"))):
            chosen |= self._members(text)
        if chosen.all() or not chosen.any():
            raise UserError(f"held_out_groups {groups}: leaves {'no sample' if chosen.all() else 'all'} to train on")
        return np.flatnonzero(~chosen), np.flatnonzero(chosen)

    def _members(self, text: str) -> Array:
        """Which samples belong to a group, (samples,) booleans."""
        if not self.columns:
            raise UserError(f"held_out_groups {text}: no group is named; say what tells groups apart, --data.group")
        chosen = np.ones(len(self), dtype=bool)
        for part in text.split(","):
            name, equals, value = (each.strip() for each in part.partition("="))
            if not equals or name not in self.columns:
                example = self.group(0)
                raise UserError(f"held_out_groups {text}: name groups by {', '.join(self.columns)}, such as {example}")
            column = self.columns[name]
            here = np.asarray([shown(each) for each in column]) == as_shown(value, column.dtype)
            if not here.any():
                known = ", ".join(dict.fromkeys(shown(each) for each in np.unique(column)[:20]))
                raise UserError(f"held_out_groups {text}: no sample has {name} = {value}; there are {known}")
            chosen &= here
        if not chosen.any():
            raise UserError(f"held_out_groups {text}: no sample has all of these at once")
        return chosen


class FieldSet(Deferred):
    """Some samples of a file, read when they are asked for.

    Args:
        found: all of them.
        indices: numbers of those that belong to the set.
    """

    def __init__(self, found: FoundFields, indices: Array) -> None:
        self._found = found
        self._indices = np.asarray(indices, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, index: int) -> Example:
        """A field, checked, with what of it was observed."""
        found, number = self._found, int(self._indices[index])
        array = np.concatenate([found.array(name, number) for name in found.target], axis=-1)
        if not found.masked:
            about, mend = found.description, "fill them in, or --data.missing mask"
            self._check(array, about.channels, number, mend, about.dims)
            return Example(array, self._conditions(number), found.block(number))
        observed = ~np.isnan(array)
        if not observed.any():
            raise UserError(f"{found.name(number)}: every number is NaN; leave the sample out")
        known = None if observed.all() else observed
        return Example(array, self._conditions(number), found.block(number), known)

    def condition(self, index: int) -> Mapping[str, Any]:
        """Maps and parameters, each read when it is asked for."""
        return _Conditions(self, int(self._indices[index]))

    def identity(self) -> str:
        """A hash of what the file holds."""
        return self._found.identity()

    def whole_groups(self) -> list[str]:
        """The group of each sample, whatever its blocks."""
        return [self._found.group(int(index)) for index in self._indices]

    def group(self, index: int) -> Hashable:
        """What it belongs to, and which block of that."""
        return self._found.block(int(self._indices[index]))

    def name(self, index: int) -> str:
        """Where it lies."""
        return self._found.name(int(self._indices[index]))

    @property
    def condition_names(self) -> list[str]:
        """Of what is given as arrays, and of the parameters where there are any."""
        found = self._found
        return [*found.maps, *([] if found.parameters is None else [PARAMETERS])]

    def condition_value(self, name: str, number: int) -> Any:
        """One condition of a sample of the file.

        Raises:
            KeyError: there is none of that name.
            UserError: it cannot be read, or holds NaN.
        """
        found, known = self._found, self._found.description
        if name == PARAMETERS and found.parameters is not None:
            return found.parameters[number].tolist()
        mapping = next(each for each in (*known.maps, *known.coarse, *known.points) if each.name == name)
        if mapping in known.points:
            rows = found.raw(found.maps[name], number).astype(np.float64)
            return observations(rows, len(known.axes), f"{found.name(number)}: points {name}")
        on_grid = mapping in known.maps
        array = found.array(found.maps[name], number) if on_grid else found.on(mapping.dims, found.maps[name], number)
        mend = "fill them in, and give what is missing as a map of its own"
        self._check(array, mapping.channels, number, mend, known.dims if on_grid else mapping.dims)
        return array

    def _conditions(self, number: int) -> dict[str, Any]:
        return dict(_Conditions(self, number))

    def _check(self, array: Array, channels: Sequence[Any], number: int, mend: str, dims: Sequence[str]) -> None:
        if np.isfinite(array).all():
            return
        for place, channel in enumerate(channels):
            check_finite(array[..., place], dims, channel.name, self._found.name(number), mend)


class _Conditions(Mapping[str, Any]):
    """The conditions of a sample, each read when it is asked for.

    Args:
        samples: of which it is one.
        number: of the sample in the file.
    """

    def __init__(self, samples: FieldSet, number: int) -> None:
        self._samples = samples
        self._number = number

    def __getitem__(self, name: str) -> Any:
        if name not in self._samples.condition_names:
            raise KeyError(name)
        return self._samples.condition_value(name, self._number)

    def __iter__(self) -> Iterator[str]:
        return iter(self._samples.condition_names)

    def __len__(self) -> int:
        return len(self._samples.condition_names)

    def __contains__(self, name: object) -> bool:
        return name in self._samples.condition_names

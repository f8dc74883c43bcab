"""From the names of variables to the samples of a file: target, maps, parameters, groups, and what does not fit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from beeline.core.errors import UserError, unknown
from beeline.data.field_beside import channels_of, coarse_mapping, points_mapping
from beeline.data.field_checks import check_axis, check_kind, check_same_grid
from beeline.data.field_description import FieldAxis, FieldChannel, FieldDescription, FieldMapping, with_periods
from beeline.data.field_files import open_store
from beeline.data.field_places import axis_of
from beeline.data.field_sets import FoundFields
from beeline.data.field_stores import CHANNEL, SAMPLE, FieldStore, Variable

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class FieldWishes:
    """What is asked of a file of fields; see the options of ``modalities/fields.py``."""

    path: Path
    target: tuple[str, ...]
    maps: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    parameter_names: tuple[str, ...] = ()
    sample_dims: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    dims: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    periodic: tuple[str, ...] = ()
    box: tuple[float, ...] = ()
    masked: bool = False
    coarse: tuple[str, ...] = ()
    points: tuple[str, ...] = ()


def find_fields(wishes: FieldWishes) -> FoundFields:
    """The samples that a user's words stand for.

    Args:
        wishes: the words.

    Raises:
        UserError: the file, a variable, an axis or a coordinate is missing or does not fit.
    """
    _check_names(wishes)
    store = open_store(wishes.path, _told_dims(wishes.dims))
    target = [store.variable(name) for name in wishes.target]
    maps, coarse, points = (
        {_condition_name(name): store.variable(name) for name in names}
        for names in (wishes.maps, wishes.coarse, wishes.points)
    )
    sample_dims = _sample_dims(wishes, target[0])
    apart = (*sample_dims, CHANNEL)
    notes = [check_kind(each, store.path) for each in (*target, *maps.values())]
    for each in (*target[1:], *maps.values()):
        check_same_grid(each, target[0], apart, store.path)
    every = [*target, *maps.values(), *coarse.values(), *points.values()]
    samples = {dim: _common_size(dim, every, store.path) for dim in sample_dims}
    axes = tuple(axis_of(store, dim, target[0].size(dim)) for dim in target[0].dims if dim not in apart)
    if not axes:
        raise UserError(f"{store.path}: {target[0].name} has no axis left beside {', '.join(apart)}; need a grid")
    axes = with_periods(axes, wishes.periodic, wishes.box)
    notes += [note for axis in axes for note in check_axis(axis, store.path)]
    over = [coarse_mapping(store, name, each, axes, sample_dims) for name, each in coarse.items()]
    scattered = [points_mapping(store, name, each, axes, sample_dims) for name, each in points.items()]
    notes += [note for _, said in (*over, *scattered) for note in said]
    table = _Table(store, samples)
    parameters = [column for name in wishes.parameters for column in table.parameters(name, wishes.parameter_names)]
    known = {channel.name: values for channel, values in parameters}
    columns, blocks = (
        {name: known[name] if name in known else table.column(name) for name in names}
        for names in (wishes.group, wishes.blocks)
    )
    description = FieldDescription(
        axes,
        _target_channels(wishes, target),
        tuple(_mapping(name, each, axes) for name, each in maps.items()),
        tuple(channel for channel, _ in parameters),
        wishes.group,
        tuple(mapping for mapping, _ in over),
        tuple(mapping for mapping, _ in scattered),
        wishes.blocks,
    )
    values = np.stack([values for _, values in parameters], axis=1).astype(np.float64) if parameters else None
    if not wishes.group:
        notes.append(_about_groups(int(np.prod(list(samples.values()))), values, description))
    notes += [
        f"{each.name}: the axes are taken as {', '.join(each.dims)}; --data.dims '{each.name}=...' says otherwise"
        for each in target[:1]
        if each.guessed
    ]
    return FoundFields(
        store,
        description,
        wishes.target,
        {name: each.name for name, each in (maps | coarse | points).items()},
        samples,
        values,
        columns,
        tuple(filter(None, notes)),
        wishes.masked,
        blocks,
    )


def _mapping(name: str, variable: Variable, axes: Sequence[FieldAxis]) -> FieldMapping:
    return FieldMapping(name, channels_of(variable), tuple(axis.name for axis in axes if axis.name in variable.dims))


def _check_names(wishes: FieldWishes) -> None:
    if not wishes.target:
        raise UserError("target: missing; name what is to be generated, --data.target u,v")
    given = (*wishes.maps, *wishes.coarse, *wishes.points)
    what = "maps" if wishes.maps == given else "maps, coarse, points"
    for of, names in (("target", wishes.target), (what, [_condition_name(name) for name in given])):
        if len(set(names)) < len(names):
            raise UserError(f"{of} {','.join(names)}: names one of them twice; leave it out")
    for name in wishes.target:
        if name in given:
            raise UserError(f"{what} {','.join(given)}: {name} is what is to be generated; leave it out of these")


class _Table:
    """Numbers of which each sample has one.

    Args:
        store: the file.
        samples: axes of the samples, and their extents.
    """

    def __init__(self, store: FieldStore, samples: Mapping[str, int]) -> None:
        self.store = store
        self.samples = samples
        self.count = int(np.prod(list(samples.values())))

    def column(self, name: str) -> Array:
        """One value a sample: of a variable over some of the axes of the samples, or the place along such an axis."""
        if name not in self.store.variables and name in self.samples:
            own: Sequence[str] = (name,)
            values = np.arange(self.samples[name])
        else:
            if name not in self.store.variables:
                known = [*self.samples, *self.store.variables]
                raise UserError(f"{self.store.path}: {unknown('coordinate or variable', name, known)}")
            own, values = self.store.variable(name).dims, self.store.read(name)
            if not set(own) <= set(self.samples):
                raise UserError(
                    f"{self.store.path}: {name} lies on ({', '.join(own)}); a sample needs one value of it, so it may "
                    f"lie on {', '.join(self.samples)} alone"
                )
            self._check_sizes(name)
        return self._spread(values, own)[:, 0]

    def _spread(self, values: Array, own: Sequence[str]) -> Array:
        """(samples, numbers) of an array over some axes of the samples and at most one more."""
        order = [*(dim for dim in self.samples if dim in own), *(dim for dim in own if dim not in self.samples)]
        values = np.transpose(values, [list(own).index(dim) for dim in order])
        for axis, dim in enumerate(self.samples):
            if dim not in own:
                values = np.expand_dims(values, axis)
        values = values if values.ndim > len(self.samples) else values[..., None]
        return np.broadcast_to(values, (*self.samples.values(), values.shape[-1])).reshape(self.count, -1)

    def parameters(self, name: str, names: Sequence[str]) -> list[tuple[FieldChannel, Array]]:
        """The numbers of a variable, one or several a sample, by name."""
        variable = self.store.variables.get(name)
        extra = [] if variable is None else [dim for dim in variable.dims if dim not in self.samples]
        if variable is None or not extra:
            units = "" if variable is None else variable.units
            return [(FieldChannel(name, units), self._numbers(name, self.column(name)))]
        self._check_sizes(name)
        if len(extra) > 1:
            raise UserError(
                f"{self.store.path}: parameters {name} have the shape {variable.shape} over ({', '.join(variable.dims)}"
                "); need one row of numbers a sample"
            )
        values = self._spread(self.store.read(name), variable.dims)
        own = tuple(names) or tuple(f"{name}_{place}" for place in range(values.shape[1]))
        if len(own) != values.shape[1]:
            raise UserError(f"parameter_names: {len(own)} names for the {values.shape[1]} numbers of {name}")
        return [(FieldChannel(each), self._numbers(each, values[:, place])) for place, each in enumerate(own)]

    def _numbers(self, name: str, values: Array) -> Array:
        if values.dtype.kind not in "fiub":
            raise UserError(f"{self.store.path}: parameter {name} holds {values.dtype}, not numbers")
        return values

    def _check_sizes(self, name: str) -> None:
        variable = self.store.variable(name)
        for dim in variable.dims:
            if dim in self.samples and variable.size(dim) != self.samples[dim]:
                raise UserError(
                    f"{self.store.path}: {name} has {variable.size(dim)} entries along {dim}, the fields have "
                    f"{self.samples[dim]}"
                )


def _told_dims(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What ``NAME=AXIS AXIS ...`` says, by name."""
    told = {}
    for text in texts:
        name, equals, dims = text.partition("=")
        if not equals or not dims.split():
            raise UserError(f"dims {text}: need a variable and its axes, such as 'y=sample time x'")
        told[name.strip()] = tuple(dims.split())
    return told


def _sample_dims(wishes: FieldWishes, target: Variable) -> tuple[str, ...]:
    given = wishes.sample_dims or ((SAMPLE,) if SAMPLE in target.dims else ())
    if not given:
        raise UserError(
            f"{wishes.path}: {target.name} lies on ({', '.join(target.dims)}); say which of these number the samples, "
            f"--data.sample_dims {target.dims[0] if target.dims else 'time'}"
        )
    for dim in given:
        if dim not in target.dims:
            raise UserError(f"{wishes.path}: sample_dims: {unknown('axis', dim, target.dims)} ({target.name})")
    return given


def _common_size(dim: str, variables: Sequence[Variable], path: object) -> int:
    sizes = {each.name: each.size(dim) for each in variables if dim in each.dims}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise UserError(f"{path}: variables have different numbers of samples along {dim}: {told}")
    return next(iter(sizes.values()))


def _target_channels(wishes: FieldWishes, target: Sequence[Variable]) -> tuple[FieldChannel, ...]:
    """Names and units of the channels of the target: told, or the file's own."""
    own = [channel for each in target for channel in channels_of(each)]
    for what, told in (("names", wishes.names), ("units", wishes.units)):
        if told and len(told) != len(own):
            raise UserError(f"{what} {', '.join(told)}: the target has {len(own)} channels; give one for each")
    names = wishes.names or [channel.name for channel in own]
    units = wishes.units or [channel.units for channel in own]
    return tuple(FieldChannel(name, unit) for name, unit in zip(names, units, strict=True))


def _condition_name(name: str) -> str:
    """A name that a condition can have."""
    return re.sub(r"\W", "_", name if re.match(r"[A-Za-z_]", name) else f"map_{name}")


def _about_groups(count: int, parameters: Array | None, description: FieldDescription) -> str:
    """A line about samples of which nobody has said what belongs together."""
    start = f"no group is named, so each of {count:,} samples is taken as its own"
    if parameters is None or (distinct := len(np.unique(parameters, axis=0))) == count:
        return f"{start}; where samples belong together (a simulation, a month), --data.group keeps them so"
    names = ", ".join(channel.name for channel in description.parameters)
    return f"{start}, though they share {distinct:,} sets of parameters ({names}); --data.group NAMES keeps those whole"

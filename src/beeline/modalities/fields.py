"""Physical fields from netCDF, zarr, HDF5, .npz or .npy files: maps to maps under parameters, in physical units."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from beeline.conditioning.field_beside import beside_fields
from beeline.conditioning.field_map import FieldMap
from beeline.conditioning.map import Shown
from beeline.conditioning.parameters import Parameters
from beeline.core.data import Examples, Geometry, Metric
from beeline.core.errors import UserError, unknown
from beeline.core.protocols import Condition
from beeline.data.field_augment import FieldMoves, field_moves
from beeline.data.field_card import field_card
from beeline.data.field_checks import is_time
from beeline.data.field_choice import FieldWishes, find_fields
from beeline.data.field_description import FieldDescription
from beeline.data.field_metrics import own_metrics
from beeline.data.field_output import as_dataset, check_sizes, labelled, netcdf_bytes
from beeline.data.field_patches import asked_patch, check_chosen, chosen_patch, token_count
from beeline.data.field_pictures import field_sheet
from beeline.data.field_sets import PARAMETERS, FieldSet, FoundFields
from beeline.data.normalisers import Standardise
from beeline.data.pictures import Picture
from beeline.data.transforms import FieldTransforms
from beeline.data.whitening import Whitening
from beeline.tokenizers.grid import GridTokenizer

_HELD_OUT, _TOKENS = 0.2, 256


@dataclass(frozen=True)
class Fields:
    """Fields on a grid of one, two, three or more axes, time among them.

    Args:
        path: a netCDF (.nc), zarr, HDF5 (.h5, .hdf5), .npz or .npy file.
        target: variables to be generated; each is a channel, or several where it has an axis named channel.
        maps: variables on the same grid that are given; where they lack an axis, they are the same along it.
        coarse: variables on another grid over the same ground that are given, and attended to.
        points: variables of scattered observations that are given, and attended to: rows of places along the axes
            (their coordinates where the file has them, else cells) and of what was seen there, padded with NaN.
        parameters: variables or coordinates that give a sample one number each, or one row of them.
        parameter_names: of the numbers in such a row.
        log_parameters: those of the parameters whose logarithm is taken.
        sample_dims: axes along which the file is cut into samples; the first axis of an .npz or .npy.
        group: coordinates, variables or parameters that tell what belongs together; no group is in both splits.
        blocks: the same within a group: parts that are taken as independent of one another in intervals, for where few
            groups are held out.
        held_out: share of the samples kept from training, between 0 and 1; 0.2 when null.
        held_out_groups: groups to keep from training in its place, such as "month=1,level=200"; several between
            semicolons.
        dims: names of the axes where the file does not say them, such as "y=sample time x,z=sample x".
        names: of the channels of the target, where the file does not say them.
        units: of the channels of the target, where the file does not say them.
        periodic: axes whose last cell is a neighbour of their first, or all.
        box: length of the box along each axis, or one for all, in the units of the axes.
        transform: zscore, log, log10p1, asinh, quantile or occupancy, for each channel of the target or one for all.
        whiten: share of the slope of each channel's power spectrum that is taken out before noise is added, from 0 to 1
            (white): for smooth fields, whose small scales hold so little that they drown in the network's error. The
            spectrum is taken by length in cells, alike along all axes.
        show_maps: as values, as anomaly where maps differ more from one another than a map varies within (the mean of
            each is told apart from what varies about it), or as gradient, which adds differences along each axis.
        overdensity: channels of the target whose spectra are taken of x / <x> - 1 when samples are measured.
        patch: cells along each side of a token, or one number for all; chosen when null.
        missing: what NaN in the target means: refuse, or mask for "not observed".
        augment: roll (along periodic axes), flip and rotate, as far as the law of the fields has no preferred place
            and direction.
        scalars: whether no channel is a component of a vector, which flips and turns would change.
        map_dropout: share of training samples whose maps, coarse maps and points are hidden, at least 0, below 1.
        parameter_dropout: share of training samples whose parameters are hidden, at least 0, below 1.
        description: what was found in the file, as training writes it; leave it out.
    """

    path: str | None = None
    target: tuple[str, ...] = ()
    maps: tuple[str, ...] = ()
    coarse: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    parameter_names: tuple[str, ...] = ()
    log_parameters: tuple[str, ...] = ()
    sample_dims: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    held_out: float | None = None
    held_out_groups: str | None = None
    dims: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    periodic: tuple[str, ...] = ()
    box: tuple[float, ...] = ()
    transform: tuple[str, ...] = ("zscore",)
    whiten: float = 0.0
    show_maps: Shown = "values"
    overdensity: tuple[str, ...] = ()
    patch: int | tuple[int, ...] | None = None
    missing: Literal["refuse", "mask"] = "refuse"
    augment: tuple[str, ...] = ()
    scalars: bool = False
    map_dropout: float = 0.0
    parameter_dropout: float = 0.1
    description: str | None = None

    def __post_init__(self) -> None:
        if self.path == "":
            raise UserError("path: missing; say where the fields are, --data.path FILE.nc")
        if self.held_out is not None and self.held_out_groups is not None:
            raise UserError("held_out and held_out_groups both say what to hold out; give one of them")
        if self.held_out is not None and not 0 < self.held_out < 1:
            raise UserError(f"held_out {self.held_out:g}: must lie between 0 and 1")
        if not self.parameters and (named := self.parameter_names or self.log_parameters):
            raise UserError(f"parameters: missing, though {', '.join(named)} are named; say where they are")
        if self.blocks and not self.group:
            raise UserError(f"blocks {','.join(self.blocks)}: are parts of a group; say what belongs together, group")
        if self.missing == "mask" and "occupancy" in self.transform:
            raise UserError("transform occupancy: makes two channels of one, which missing mask cannot follow")
        if not 0 <= self.whiten <= 1:
            raise UserError(f"whiten {self.whiten:g}: must lie between 0 and 1")
        if self.whiten and self.missing == "mask":
            raise UserError("whiten: needs whole fields, and missing mask has cells that were not observed")

    def settle(self, tokens: int) -> tuple[Fields, Sequence[str]]:
        """Choose the patch, and look at what the file says.

        Args:
            tokens: how many tokens a sample can be afforded, about.

        Returns:
            the same modality with nothing left to choose, and what was found and chosen, a line each.
        """
        found, description = self._found, self._found.description
        patch, sides = self.patch, asked_patch(self.patch, description)
        if sides is None:
            patch = sides = chosen_patch(description.shape, description.periodic, tokens)
            check_chosen(sides, description, tokens)
        share = None if self.held_out_groups is not None else self.held_out or _HELD_OUT
        settled = dataclasses.replace(
            self, path=str(found.path.absolute()), held_out=share, patch=patch, description=description.text()
        )
        training, held_out = (len(side) for side in settled._sides)
        channels_known = [each.name for each in description.channels]
        for name in self.overdensity:
            if name not in channels_known:
                raise unknown("channel of overdensity", name, channels_known)
        size = " x ".join(f"{axis.name} {axis.size}" for axis in description.axes)
        channels = ", ".join(f"{each.name}{f' ({each.units})' if each.units else ''}" for each in description.channels)
        told = f"the groups {self.held_out_groups}" if share is None else f"a share of {share:g}, by group"
        count = token_count(description.shape, sides)
        reasons = [
            f"found {len(found):,} samples of {channels} on {size} in {found.path.name}",
            f"split: {training:,} training samples, {held_out:,} held out ({told})",
            *found.notes,
        ]
        if self.whiten and len(kinds := {(is_time(axis), axis.units) for axis in description.axes}) > 1:
            units = ", ".join(f"{axis.name} in {axis.units or 'no unit'}" for axis in description.axes)
            reasons.append(f"whiten takes a cell along each of {len(kinds)} kinds of axes alike: {units}")
        if self.patch is None:
            reasons.append(f"patch {'x'.join(map(str, sides))}: {count} tokens a sample, about what can be afforded")
        return settled, reasons

    def dataset(self, split: str) -> Examples:
        """The samples of a split."""
        return FieldSet(self._found, self._sides[0 if split == "train" else 1])

    def card(self) -> dict[str, Any]:
        """Where the fields come from, their axes, channels, groups and parameters, and what their numbers are like."""
        training, held_out = (FieldSet(self._found, side) for side in self._sides)
        return field_card(self._found, training, held_out, self._kinds)

    def normaliser(self) -> Standardise | FieldTransforms | Whitening:
        """The transform of each channel, a z-score, and the filter where there is one."""
        transforms = FieldTransforms(self._kinds, tuple(channel.name for channel in self._known.channels))
        if self.whiten:
            return Whitening(transforms, self.whiten, tuple(axis.periodic for axis in self._known.axes))
        return Standardise() if set(self._kinds) == {"zscore"} else transforms

    def tokenizer(self) -> GridTokenizer:
        """Patches along every axis, which know the periodic ones."""
        known, normaliser = self._known, self.normaliser()
        channels = len(known.channels) if isinstance(normaliser, Standardise) else normaliser.channels
        patch = asked_patch(self.patch, known) or chosen_patch(known.shape, known.periodic, _TOKENS)
        return GridTokenizer(patch, channels, known.periodic)

    def conditions(self) -> Sequence[Condition]:
        """The maps, each under its name, and the parameters."""
        known = self._known
        variables = dict(zip((each.name for each in known.maps), self.maps, strict=True))
        found: list[Condition] = [
            FieldMap(
                each.name,
                len(each.channels) * {"values": 1, "anomaly": 2, "gradient": 2 + len(known.axes)}[self.show_maps],
                self.map_dropout,
                shown=self.show_maps,
                given=len(each.channels),
                periodic=known.periodic,
                variable=variables[each.name],
                units=tuple(channel.units for channel in each.channels),
                dims=known.dims,
                own=each.dims,
                sizes=known.shape,
                directions=tuple(axis.direction for axis in known.axes),
                steps=tuple(axis.step for axis in known.axes),
            )
            for each in known.maps
        ]
        found += beside_fields(known, self.coarse, self.points, self.map_dropout)
        if known.parameters:
            names, units = (tuple(getattr(each, what) for each in known.parameters) for what in ("name", "units"))
            found.append(Parameters(PARAMETERS, names, self.log_parameters, units, self.parameter_dropout))
        return found

    def augmentation(self) -> FieldMoves | None:
        """How training samples are moved; None where they are not."""
        return field_moves(self.augment, self._known, self.scalars)

    def geometry(self) -> Geometry:
        """Quantities, units and the grid; in cells where nothing is known of the lengths of axes or of their units.

        Degrees of latitude and of longitude are one unit. An axis of uneven steps has no spacing (NaN).
        """
        known = self._known
        lengths = [None if axis.length is None else axis.length / axis.size for axis in known.axes]
        kinds = {"degree" if axis.is_angle else axis.units for axis in known.axes}
        uneven = any(axis.coordinate and length is None for axis, length in zip(known.axes, lengths, strict=True))
        same = len(kinds) == 1 and (uneven or None not in lengths)
        spacing = tuple(math.nan if each is None else each for each in lengths) if same else (1.0,) * len(lengths)
        names, units = (tuple(getattr(each, what) for each in known.channels) for what in ("name", "units"))
        return Geometry(names, units, spacing, kinds.pop() if same else "", known.periodic, self.overdensity)

    def metrics(self) -> Sequence[Metric]:
        """Mean map and deviation of each channel beside those of what was held out, in physical units."""
        return own_metrics([channel.name for channel in self._known.channels])

    def preview(self, samples: Examples) -> Picture:
        """Maps and field of each sample in a row, one colour scale for each channel."""
        return field_sheet(samples, [each.name for each in self._known.maps])

    def described(self) -> FieldDescription:
        """Names, coordinates and units of axes, channels and conditions."""
        return self._known

    @property
    def endings(self) -> tuple[str, ...]:
        """Of the files that ``files`` makes."""
        return (".nc",)

    def files(self, samples: Examples, provenance: Mapping[str, Any]) -> Mapping[str, bytes]:
        """Samples as netCDF, by ending: coordinates, units, conditions beside them, provenance as attributes."""
        return {".nc": netcdf_bytes(labelled(samples, self._known, provenance))}

    def check_files(self, samples: Examples) -> None:
        """Refuse samples of which a variable is larger than the netCDF that can be written here holds."""
        check_sizes(samples, self._known)

    def native(self, samples: Examples, provenance: Mapping[str, Any] | None = None) -> Any:
        """Samples as an xarray.Dataset.

        Args:
            samples: of one shape, in physical units.
            provenance: where they come from; becomes attributes.

        Raises:
            UserError: xarray is not installed, or samples have several shapes.
        """
        return as_dataset(labelled(samples, self._known, provenance or {}))

    @property
    def _kinds(self) -> tuple[str, ...]:
        """The transform of each channel of the target."""
        return self.transform * len(self._known.channels) if len(self.transform) == 1 else self.transform

    @cached_property
    def _found(self) -> FoundFields:
        if self.path is None:
            raise UserError("path: missing; say where the fields are, --data.path FILE.nc")
        return find_fields(
            FieldWishes(
                path=Path(self.path).expanduser(),
                target=self.target,
                maps=self.maps,
                coarse=self.coarse,
                points=self.points,
                parameters=self.parameters,
                parameter_names=self.parameter_names,
                sample_dims=self.sample_dims,
                group=self.group,
                blocks=self.blocks,
                dims=self.dims,
                names=self.names,
                units=self.units,
                periodic=self.periodic,
                box=self.box,
                masked=self.missing == "mask",
            )
        )

    @cached_property
    def _known(self) -> FieldDescription:
        """What the file said when the model was trained, so that sampling does without it."""
        return self._found.description if self.description is None else FieldDescription.read(self.description)

    @cached_property
    def _sides(self) -> tuple[Any, Any]:
        return self._found.split(self.held_out or _HELD_OUT, self.held_out_groups)


MODALITY = Fields

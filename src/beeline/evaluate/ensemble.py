"""Draws beside the truths of their inputs, of one channel of fields: what their numbers and curves are computed of.

Shapes: N inputs, m draws of each, grid axes, S shells of |k|, P cells of a field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from beeline.metrics import calibration, spectra
from beeline.metrics.fields import Pooled

Array = np.ndarray[Any, Any]
_MOST_CELLS, _NUMBERS_AT_ONCE = 100_000, 2**22


@dataclass(frozen=True)
class Ensemble:
    """Draws beside the truths of their inputs, of one channel.

    Args:
        members: (N, m, grid axes) in physical units.
        truths: (N, grid axes), of the same inputs where the two are paired; NaN where nothing was observed.
        groups: (N,) which group each input belongs to.
        shells: of the grid, None where it has no spectrum.
        size: largest less smallest value of the training fields.
        gaps: whether some cell of these fields, real or in the place of draws, was not observed.
        contrast: whether spectra are those of x / <x> - 1.
        positive: whether all training fields are above 0, so that their totals can be compared as shares.
        at_once: how many numbers of draws are worked on at a time.
    """

    members: Array
    truths: Array
    groups: Array
    shells: spectra.Shells | None
    size: float
    gaps: bool = False
    positive: bool = False
    contrast: bool = False
    at_once: int = _NUMBERS_AT_ONCE

    @property
    def draws(self) -> int:
        """m."""
        return int(self.members.shape[1])

    @property
    def observed(self) -> Array | None:
        """(N, grid axes) where the truths were observed; None for everywhere."""
        return ~np.isnan(self.truths) if self.gaps else None

    def contrasted(self, fields: Array) -> Array:
        """Fields as their spectra are taken: as they are, or as overdensity.

        Args:
            fields: (N, grid axes, 1) in physical units.

        Raises:
            ValueError: the mean of a map is not above 0.
        """
        return spectra.overdensity(fields) if self.contrast else fields

    def parts(self) -> Iterator[Ensemble]:
        """A few inputs at a time, in double precision."""
        step = max(1, self.at_once // max(1, self.members[0].size))
        for start in range(0, len(self.members), step):
            rows = slice(start, start + step)
            members, truths = (each[rows].astype(np.float64) for each in (self.members, self.truths))
            yield replace(self, members=members, truths=truths, groups=self.groups[rows])

    def by_input(self, function: Callable[[Ensemble], Array]) -> Array:
        """What a function gives for each input, input by input.

        Args:
            function: of an ensemble of some of the inputs; its result has one row an input.
        """
        return np.concatenate([function(part) for part in self.parts()])

    @property
    def binary(self) -> bool:
        """Whether the truths are 0 or 1 wherever they were observed."""
        return bool(np.isin(self.truths if self.observed is None else self.truths[self.observed], (0.0, 1.0)).all())

    @cached_property
    def ranks(self) -> Array:
        """(N, grid axes) how many draws lie below each truth."""
        return calibration.ranks(self.members, self.truths)

    @cached_property
    def spectra(self) -> tuple[Array, Array, Array]:
        """(N, S) mean P of the draws of each input, P of its truth, and mean cross spectrum of the two."""
        own, real, cross = np.moveaxis(self.by_input(_three_spectra), 1, 0)
        return own, real, cross

    @cached_property
    def cells(self) -> Pooled:
        """Values of cells of draws and of truths at the same places: all of them, or a part of each draw at random.

        A place counts where both were observed.
        """
        count, draws = self.members.shape[:2]
        own, real = self.members.reshape(count, draws, -1), self.truths.reshape(count, 1, -1)
        most = max(1, _MOST_CELLS // (count * draws))
        real = np.broadcast_to(real, own.shape)
        if most < own.shape[2]:
            place = np.random.default_rng(0).integers(0, own.shape[2], (count, draws, most))
            own, real = (np.take_along_axis(each, place, axis=2) for each in (own, real))
        pair = own.reshape(count, -1), real.reshape(count, -1)
        return Pooled(*pair, ~np.isnan(pair[0]) & ~np.isnan(pair[1]) if self.gaps else None)


def _three_spectra(part: Ensemble) -> Array:
    assert part.shells is not None
    truths = part.contrasted(part.truths[..., None])
    repeated = np.repeat(truths, part.draws, axis=0)
    flat = part.contrasted(part.members.reshape(repeated.shape))
    own, cross = part.shells.power(flat), part.shells.cross_power(flat, repeated)
    shape = (len(part.truths), part.draws, -1)
    real = part.shells.power(truths)[..., 0]
    return np.stack([own.reshape(shape).mean(axis=1), real, cross.reshape(shape).mean(axis=1)], axis=1)

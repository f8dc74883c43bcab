"""Draws beside the truths of their inputs, of one channel of fields, and each number of them with its interval.

Numbers come of sums and means over the cells of an input, made a few inputs at a time: no block of draws is held twice
in memory, and no value depends on how many inputs a block has. Intervals redraw whole groups of inputs.

Shapes: N inputs, m draws of each, grid axes, S shells of |k|, P cells of a field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from beeline.metrics import calibration, catalogue, reduction, reliability, scores, similarity, spectra
from beeline.metrics.fields import Pooled, relative_l2
from beeline.metrics.formula import Formula
from beeline.metrics.intervals import Estimate, group_bootstrap

Array = np.ndarray[Any, Any]
WANTED_COVERAGE = 0.9
_MOST_CELLS, _NUMBERS_AT_ONCE = 100_000, 2**22
RELATIVE_L2_OF_MEAN = Formula(
    "relative L2 of the mean", "relative-l2-mean-1", "mean over inputs of |mean of draws - y| / |y|", "lower"
)
MEAN_CORRELATION = Formula(
    "mean r(k)", "cross-correlation-mean-1", "r(k) of single draws and truths, mean over complete shells", "higher"
)
MEAN_DEPARTURE = Formula(
    "mean departure", "mean-departure-1", "mean over inputs of (mean of a draw - true mean)", target=0.0
)
MEAN_SCATTER = Formula(
    "scatter of the mean", "mean-scatter-1", "standard deviation over inputs and draws of (mean of a draw - true mean)"
)


class UnfitError(Exception):
    """A number that these fields do not have."""


@dataclass(frozen=True)
class Ensemble:
    """Draws beside the truths of their inputs, of one channel.

    Args:
        members: (N, m, grid axes) in physical units.
        truths: (N, grid axes), of the same inputs where the two are paired.
        groups: (N,) which group each input belongs to.
        shells: of the grid, None where it has no spectrum.
        size: largest less smallest value of the training fields.
        at_once: how many numbers of draws are worked on at a time.
        positive: whether all training fields are above 0, so that their totals can be compared as shares.
    """

    members: Array
    truths: Array
    groups: Array
    shells: spectra.Shells | None
    size: float
    at_once: int = _NUMBERS_AT_ONCE
    positive: bool = False

    @property
    def draws(self) -> int:
        """m."""
        return int(self.members.shape[1])

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
        """Values of cells of draws and of truths at the same places: all of them, or a part of each draw at random."""
        count, draws = self.members.shape[:2]
        own, real = self.members.reshape(count, draws, -1), self.truths.reshape(count, 1, -1)
        most = max(1, _MOST_CELLS // (count * draws))
        real = np.broadcast_to(real, own.shape)
        if most < own.shape[2]:
            place = np.random.default_rng(0).integers(0, own.shape[2], (count, draws, most))
            own, real = (np.take_along_axis(each, place, axis=2) for each in (own, real))
        return Pooled(own.reshape(count, -1), real.reshape(count, -1))


def _three_spectra(part: Ensemble) -> Array:
    assert part.shells is not None
    repeated = np.repeat(part.truths[..., None], part.draws, axis=0)
    flat = part.members.reshape(repeated.shape)
    own, cross = part.shells.power(flat), part.shells.cross_power(flat, repeated)
    shape = (len(part.truths), part.draws, -1)
    real = part.shells.power(part.truths[..., None])[..., 0]
    return np.stack([own.reshape(shape).mean(axis=1), real, cross.reshape(shape).mean(axis=1)], axis=1)


def _of_inputs(values: Callable[[Ensemble], Sequence[Array]], statistic: Callable[..., float]) -> Any:
    """A number that is a statistic of values of inputs, whose groups are redrawn for its interval."""

    def function(ensemble: Ensemble, seed: int | None) -> Estimate:
        return group_bootstrap(values(ensemble), statistic, ensemble.groups, seed)

    return function


def _of_cells(statistic: Callable[[Pooled, Array], float]) -> Any:
    """A number of the values of cells, of inputs that count as often as they are drawn."""

    def function(ensemble: Ensemble, seed: int | None) -> Estimate:
        pooled, count = ensemble.cells, len(ensemble.truths)
        return group_bootstrap(
            [np.arange(count)],
            lambda rows: statistic(pooled, np.bincount(rows, minlength=count)),
            ensemble.groups,
            seed,
        )

    return function


def _several(each: Ensemble) -> None:
    if each.draws < 2:
        raise UnfitError


def _crps(each: Ensemble) -> list[Array]:
    _several(each)
    return [each.by_input(lambda part: reduction.masked_mean(scores.fair_crps(part.members, part.truths)))]


def _absolute(each: Ensemble) -> list[Array]:
    if each.draws > 1:
        raise UnfitError
    return [each.by_input(lambda part: reduction.masked_mean(np.abs(part.members[:, 0] - part.truths)))]


def _squares(each: Ensemble) -> list[Array]:
    def squares(part: Ensemble) -> Array:
        return reduction.masked_mean(calibration.squared_error_of_mean(part.members, part.truths))

    return [each.by_input(squares)]


def _relative(each: Ensemble) -> list[Array]:
    def relative(part: Ensemble) -> Array:
        return relative_l2(part.members.mean(axis=1)[..., None], part.truths[..., None])[:, 0]

    return [each.by_input(relative)]


def _spread_and_skill(each: Ensemble) -> list[Array]:
    _several(each)
    expected = each.by_input(lambda part: reduction.masked_mean(calibration.expected_squared_error(part.members)))
    return [expected, *_squares(each)]


def _covered(each: Ensemble) -> list[Array]:
    _several(each)
    order, _ = calibration.nearest_level(each.draws, WANTED_COVERAGE)
    return [reduction.masked_mean(calibration.covered(each.ranks, each.draws, order))]


def _binary(each: Ensemble) -> list[Array]:
    """(N, 3, B) counts, sums of stated probabilities and of ones of each input, bin by bin."""
    if not np.isin(each.truths, (0.0, 1.0)).all():
        raise UnfitError
    _several(each)

    def sums(part: Ensemble) -> Array:
        stated = (part.members > 0.5).mean(axis=1)
        return np.stack([reliability.bin_sums(*pair) for pair in zip(stated, part.truths, strict=True)])

    return [each.by_input(sums)]


def _calibration_error(sums: Array) -> float:
    counts, stated, seen = sums.sum(axis=0)
    return float(np.abs(seen - stated).sum() / counts.sum())


def _peak_ratio(each: Ensemble) -> list[Array]:
    def ratio(part: Ensemble) -> Array:
        mean = part.members.mean(axis=1)[..., None]
        return similarity.peak_signal_to_noise(mean, part.truths[..., None], part.size)[:, 0]

    return [each.by_input(ratio)]


def _similarity(each: Ensemble) -> list[Array]:
    if each.truths.ndim != 3 or min(each.truths.shape[1:]) < 11:
        raise UnfitError

    def similar(part: Ensemble) -> Array:
        mean = part.members.mean(axis=1)[..., None]
        return similarity.structural_similarity(mean, part.truths[..., None], part.size)[:, 0]

    return [each.by_input(similar)]


def _departures(each: Ensemble) -> Array:
    """(N, m) mean of each draw less the true mean."""

    def departures(part: Ensemble) -> Array:
        own = part.members.reshape(*part.members.shape[:2], -1).mean(axis=2)
        return np.asarray(own - part.truths.reshape(len(part.truths), -1).mean(axis=1, keepdims=True))

    return each.by_input(departures)


def _scatter(departures: Array) -> float:
    return float(departures.std(ddof=1)) if departures.size > 1 else float("nan")


def _correlation(ensemble: Ensemble, seed: int | None) -> Estimate:
    complete = _shells(ensemble).complete_S
    return group_bootstrap(
        ensemble.spectra,
        lambda own, real, cross: float(
            spectra.correlation(cross.mean(axis=0), own.mean(axis=0), real.mean(axis=0))[complete].mean()
        ),
        ensemble.groups,
        seed,
    )


def _power(ensemble: Ensemble, seed: int | None) -> Estimate:
    complete = _shells(ensemble).complete_S
    return group_bootstrap(
        ensemble.spectra[:2],
        lambda own, real: spectra.largest_departure(spectra.power_ratio(own, real), complete),
        ensemble.groups,
        seed,
    )


def _shells(ensemble: Ensemble) -> spectra.Shells:
    if ensemble.shells is None or not ensemble.shells.complete_S.any():
        raise UnfitError
    return ensemble.shells


FUNCTIONS: Mapping[Formula, Callable[[Ensemble, int | None], Estimate]] = {
    catalogue.FAIR_CRPS: _of_inputs(_crps, np.mean),
    catalogue.ABSOLUTE_ERROR: _of_inputs(_absolute, np.mean),
    catalogue.RMSE_OF_MEAN: _of_inputs(_squares, reduction.root_mean),
    RELATIVE_L2_OF_MEAN: _of_inputs(_relative, np.mean),
    catalogue.SPREAD_SKILL: _of_inputs(_spread_and_skill, calibration.spread_skill),
    catalogue.RANK_COVERAGE: _of_inputs(_covered, np.mean),
    catalogue.CALIBRATION_ERROR: _of_inputs(_binary, _calibration_error),
    MEAN_CORRELATION: _correlation,
    MEAN_DEPARTURE: _of_inputs(lambda each: [_departures(each)], np.mean),
    MEAN_SCATTER: _of_inputs(lambda each: [_departures(each)], _scatter),
    catalogue.PSNR: _of_inputs(_peak_ratio, np.mean),
    catalogue.SSIM: _of_inputs(_similarity, np.mean),
    catalogue.POWER_DEPARTURE: _power,
    catalogue.PIXEL_KS: _of_cells(Pooled.kolmogorov_smirnov),
    catalogue.PIXEL_W1: _of_cells(Pooled.wasserstein),
}

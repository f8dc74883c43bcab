"""Each number of draws beside the truths of their inputs, of one channel of fields, with its interval.

Numbers come of sums and means over the cells of an input, made a few inputs at a time: no block of draws is held twice
in memory, and no value depends on how many inputs a block has. Intervals redraw whole groups of inputs. Cells that were
not observed count nowhere: each number is of the observed cells, and numbers of whole maps are refused with a reason.

Shapes: N inputs, m draws of each, grid axes, S shells of |k|, P cells of a field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from beeline.evaluate.ensemble import Ensemble
from beeline.metrics import calibration, catalogue, reduction, reliability, scores, similarity, spectra
from beeline.metrics.fields import Pooled, relative_l2
from beeline.metrics.formula import Formula
from beeline.metrics.intervals import Estimate, group_bootstrap

Array = np.ndarray[Any, Any]
WANTED_COVERAGE = 0.9
GAPS = "some cells were not observed, and it is a number of whole maps"
RELATIVE_L2_OF_MEAN = Formula(
    "relative L2 of the mean",
    "relative-l2-mean-1",
    "mean over inputs of |mean of draws - y| / |y|",
    "lower",
    target=0.0,
)
MEAN_CORRELATION = Formula(
    "mean r(k)",
    "cross-correlation-mean-1",
    "r(k) of single draws and truths, mean over complete shells",
    "higher",
    target=1.0,
)
MEAN_DEPARTURE = Formula(
    "mean departure", "mean-departure-1", "mean over inputs of (mean of a draw - true mean)", target=0.0
)
MEAN_SCATTER = Formula(
    "scatter of the mean", "mean-scatter-1", "standard deviation over inputs and draws of (mean of a draw - true mean)"
)


class UnfitError(Exception):
    """A number that these fields do not have."""


def _of_inputs(values: Callable[[Ensemble], Sequence[Array]], statistic: Callable[..., float]) -> Any:
    """A number that is a statistic of values of inputs, whose groups are redrawn for its interval."""

    def function(ensemble: Ensemble, seed: int | None) -> Estimate:
        return group_bootstrap(values(ensemble), statistic, ensemble.groups, seed)

    return function


def _of_cells(statistic: Callable[[Pooled, Array], float]) -> Any:
    """A number of the values of cells, of inputs that count as often as they are drawn."""

    def function(ensemble: Ensemble, seed: int | None) -> Estimate:
        pooled, count = ensemble.cells, len(ensemble.truths)
        rows = np.flatnonzero(pooled.cells_N)
        if not len(rows):
            raise ValueError("no cell was observed both in a truth and in what stands in the place of its draws")
        return group_bootstrap(
            [rows],
            lambda drawn: statistic(pooled, np.bincount(drawn, minlength=count)),
            ensemble.groups[rows],
            seed,
        )

    return function


def _several(each: Ensemble) -> None:
    if each.draws < 2:
        raise UnfitError


def _crps(each: Ensemble) -> list[Array]:
    def crps(part: Ensemble) -> Array:
        return reduction.masked_mean(scores.fair_crps(part.members, part.truths), part.observed)

    _several(each)
    return [each.by_input(crps)]


def _absolute(each: Ensemble) -> list[Array]:
    def apart(part: Ensemble) -> Array:
        return reduction.masked_mean(np.abs(part.members[:, 0] - part.truths), part.observed)

    if each.draws > 1:
        raise UnfitError
    return [each.by_input(apart)]


def _squares(each: Ensemble) -> list[Array]:
    def squares(part: Ensemble) -> Array:
        return reduction.masked_mean(calibration.squared_error_of_mean(part.members, part.truths), part.observed)

    return [each.by_input(squares)]


def _relative(each: Ensemble) -> list[Array]:
    def relative(part: Ensemble) -> Array:
        return relative_l2(part.members.mean(axis=1)[..., None], part.truths[..., None], _by_channel(part))[:, 0]

    return [each.by_input(relative)]


def _spread_and_skill(each: Ensemble) -> list[Array]:
    def expected(part: Ensemble) -> Array:
        return reduction.masked_mean(calibration.expected_squared_error(part.members), part.observed)

    _several(each)
    return [each.by_input(expected), *_squares(each)]


def _covered(each: Ensemble) -> list[Array]:
    _several(each)
    order, _ = calibration.nearest_level(each.draws, WANTED_COVERAGE)
    return [reduction.masked_mean(calibration.covered(each.ranks, each.draws, order), each.observed)]


def _binary(each: Ensemble) -> list[Array]:
    """(N, 3, B) counts, sums of stated probabilities and of ones of each input, bin by bin."""
    if not each.binary:
        raise UnfitError
    _several(each)

    def sums(part: Ensemble) -> Array:
        stated = (part.members > 0.5).mean(axis=1)
        kept = np.ones(stated.shape, dtype=bool) if part.observed is None else part.observed
        rows = zip(stated, part.truths, kept, strict=True)
        return np.stack([reliability.bin_sums(one[where], other[where]) for one, other, where in rows])

    return [each.by_input(sums)]


def _calibration_error(sums: Array) -> float:
    counts, stated, seen = sums.sum(axis=0)
    return float(np.abs(seen - stated).sum() / counts.sum())


def _peak_ratio(each: Ensemble) -> list[Array]:
    def ratio(part: Ensemble) -> Array:
        mean = part.members.mean(axis=1)[..., None]
        return similarity.peak_signal_to_noise(mean, part.truths[..., None], part.size, _by_channel(part))[:, 0]

    return [each.by_input(ratio)]


def _similarity(each: Ensemble) -> list[Array]:
    if each.truths.ndim != 3 or min(each.truths.shape[1:]) < 11:
        raise UnfitError
    _check_whole(each)

    def similar(part: Ensemble) -> Array:
        mean = part.members.mean(axis=1)[..., None]
        return similarity.structural_similarity(mean, part.truths[..., None], part.size)[:, 0]

    return [each.by_input(similar)]


def _departures(each: Ensemble) -> Array:
    """(N, m) mean of each draw less the true mean."""

    def departures(part: Ensemble) -> Array:
        observed = None if part.observed is None else part.observed[:, None]
        own, real = part.members, part.truths[:, None]
        axes = tuple(range(2, own.ndim))
        return reduction.masked_mean(own, observed, axes) - reduction.masked_mean(real, observed, axes)

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


def _resolved_power(ensemble: Ensemble, seed: int | None) -> Estimate:
    shells = _shells(ensemble)
    counted = spectra.resolved(ensemble.spectra[1].mean(axis=0), shells.modes_S, shells.complete_S)
    return group_bootstrap(
        ensemble.spectra[:2],
        lambda own, real: spectra.largest_departure(spectra.power_ratio(own, real), counted),
        ensemble.groups,
        seed,
    )


def _shells(ensemble: Ensemble) -> spectra.Shells:
    if ensemble.shells is None or not ensemble.shells.complete_S.any():
        raise UnfitError
    _check_whole(ensemble)
    return ensemble.shells


def _check_whole(ensemble: Ensemble) -> None:
    if ensemble.gaps:
        raise ValueError(GAPS)


def _by_channel(part: Ensemble) -> Array | None:
    """(N, grid axes, 1) where the truths were observed; None for everywhere."""
    return None if part.observed is None else part.observed[..., None]


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
    catalogue.RESOLVED_DEPARTURE: _resolved_power,
    catalogue.PIXEL_KS: _of_cells(Pooled.kolmogorov_smirnov),
    catalogue.PIXEL_W1: _of_cells(Pooled.wasserstein),
}

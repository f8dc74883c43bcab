"""Every number of fields on grids: m draws for each held-out input beside its truth, channel by channel, in its units.

Two kinds of numbers, which are never mixed. *Per input*: how well the draws for an input answer that input (CRPS, error
of their mean, calibration). *Conditional distribution*: whether single draws look like true fields (spectra, values of
cells, totals). Averaged draws may win the first and lose the second.

Draws go round the inputs: draw r of input j is sample r k + j, of k inputs. Intervals redraw whole groups (simulations,
months) of inputs; floors are the same numbers of baselines: the mean of the training fields, and ``training fields``, m
of them at random for each input (a climate that knows nothing of the input).

Shapes: N inputs, m draws of each, grid axes, C channels, S shells of |k|.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from beeline.core.data import Example, Geometry
from beeline.core.random import Key
from beeline.evaluate.outcome import Outcome, Place
from beeline.evaluate.sets import spread
from beeline.metrics import calibration, catalogue, fields, reduction, reliability, scores, similarity, sliced, spectra
from beeline.metrics.formula import Formula
from beeline.metrics.intervals import Estimate, group_bootstrap

Array = np.ndarray[Any, Any]
PHYSICAL = "physical"
_WANTED_COVERAGE, _MOST_CELLS = 0.9, 8_000
RELATIVE_L2_OF_MEAN = Formula(
    "relative L2 of the mean", "relative-l2-mean-1", "mean over inputs of |mean of draws - y| / |y|", "lower"
)
MEAN_CORRELATION = Formula(
    "mean r(k)", "cross-correlation-mean-1", "r(k) of single draws and truths, mean over complete shells", "higher"
)
MEAN_DEPARTURE = Formula(
    "mean departure", "mean-departure-1", "mean over inputs of (mean of a draw - true mean)", target=0.0
)
PER_INPUT = (
    *(catalogue.FAIR_CRPS, catalogue.ABSOLUTE_ERROR, catalogue.RMSE_OF_MEAN, RELATIVE_L2_OF_MEAN),
    *(catalogue.SPREAD_SKILL, catalogue.RANK_COVERAGE, catalogue.CALIBRATION_ERROR, MEAN_CORRELATION, MEAN_DEPARTURE),
    *(catalogue.PSNR, catalogue.SSIM),
)
OF_SINGLE_DRAWS = (catalogue.POWER_DEPARTURE, catalogue.PIXEL_KS, catalogue.PIXEL_W1)
_LESS_UNITS = {catalogue.PSNR.formula: "dB"}
_IN_UNITS = {each.formula for each in (catalogue.FAIR_CRPS, catalogue.ABSOLUTE_ERROR, catalogue.RMSE_OF_MEAN)} | {
    MEAN_DEPARTURE.formula,
    catalogue.PIXEL_W1.formula,
}


@dataclass(frozen=True)
class Ensemble:
    """Draws beside the truths of their inputs, of one channel.

    Args:
        members: (N, m, grid axes) in physical units.
        truths: (N, grid axes), of the same inputs where the two are paired.
        groups: (N,) which group each input belongs to.
        shells: of the grid, None where it has no spectrum.
        size: largest less smallest value of the training fields.
    """

    members: Array
    truths: Array
    groups: Array
    shells: spectra.Shells | None
    size: float

    @property
    def draws(self) -> int:
        """m."""
        return int(self.members.shape[1])

    @cached_property
    def ranks(self) -> Array:
        """(N, grid axes) how many draws lie below each truth."""
        return calibration.ranks(self.members, self.truths)

    @cached_property
    def spectra(self) -> tuple[Array, Array, Array]:
        """(N, S) mean P of the draws of each input, P of its truth, and mean cross spectrum of the two."""
        assert self.shells is not None
        flat = self.members.reshape(-1, *self.members.shape[2:], 1)
        repeated = np.repeat(self.truths[..., None], self.draws, axis=0)
        own, cross = self.shells.power(flat), self.shells.cross_power(flat, repeated)
        shape = (len(self.truths), self.draws, -1)
        real = self.shells.power(self.truths[..., None])[..., 0]
        return own.reshape(shape).mean(axis=1), real, cross.reshape(shape).mean(axis=1)


class FieldMeasures:
    """What is measured of fields.

    Args:
        training: real fields, of one shape.
        held_out: real fields, of that shape, whose inputs are asked for.
        geometry: of their grid.
    """

    def __init__(self, training: Sequence[Example], held_out: Sequence[Example], geometry: Geometry) -> None:
        self.held_out = held_out
        self.geometry = geometry
        self.training = training
        self._sizes = _sizes(training)
        shape = held_out[0].array.shape[:-1]
        box = [extent * step for extent, step in zip(shape, geometry.spacing, strict=True)]
        turns = geometry.periodic or (False,) * len(shape)
        can = min(shape) >= 2 and len(shape) <= 3
        self.shells = spectra.Shells(shape, box, window=[not each for each in turns]) if can else None

    def places(self) -> list[tuple[Formula, str, str]]:
        """Formula, space and channel of every number, in the order in which they are shown."""
        return [(each, PHYSICAL, name) for name in self.geometry.channels for each in (*PER_INPUT, *OF_SINGLE_DRAWS)]

    def units(self, formula: str, channel: str) -> str:
        """Units of a number; empty where it has none."""
        own = self.geometry.units[self.geometry.channels.index(channel)]
        return own if formula in _IN_UNITS else _LESS_UNITS.get(formula, "")

    def __call__(self, samples: Sequence[Example], seed: int | None, paired: bool = True) -> dict[Place, Outcome]:
        """Every number of some samples.

        Args:
            samples: that go round the inputs, as the evaluation draws them.
            seed: of the intervals; None leaves them out.
            paired: whether they answer the inputs; of real fields in the place of samples, which do not, only what is
                about single draws is measured.
        """
        found: dict[Place, Outcome] = {}
        for place, name in enumerate(self.geometry.channels):
            ensemble = self.ensemble(samples, place)
            for formula, function in _FUNCTIONS.items():
                if paired or formula in OF_SINGLE_DRAWS:
                    try:
                        outcome = Outcome(function(ensemble, seed), target=_target(formula, ensemble.draws))
                    except _UnfitError:
                        continue
                    except ValueError as error:
                        outcome = Outcome(Estimate(math.nan), str(error))
                    found[formula.formula, PHYSICAL, name] = outcome
        return found

    def ensemble(self, samples: Sequence[Example], channel: int) -> Ensemble:
        """Samples as draws of their inputs.

        Args:
            samples: that go round the inputs.
            channel: place of the channel.
        """
        asked = spread(len(self.held_out), len(samples))
        count, draws = len(asked), len(samples) // len(asked)
        own = np.stack([each.array[..., channel] for each in samples[: count * draws]]).astype(np.float64)
        members = np.moveaxis(own.reshape(draws, count, *own.shape[1:]), 0, 1)
        truths = np.stack([self.held_out[index].array[..., channel] for index in asked]).astype(np.float64)
        return Ensemble(members, truths, self._groups(asked), self.shells, self._sizes[channel])

    def climate(self, samples: Sequence[Example], seed: int) -> list[Example]:
        """Training fields at random, one in the place of each sample.

        Args:
            samples: whose conditions are kept.
            seed: of the draw.
        """
        draws = Key.range(seed, 0, len(samples)).fold("climate").uniform(1).numpy()[:, 0]
        chosen = (draws * len(self.training)).astype(np.int64)
        return [Example(self.training[i].array, each.condition) for i, each in zip(chosen, samples, strict=True)]

    def _groups(self, asked: Array) -> Array:
        groups = [self.held_out[index].group for index in asked]
        if any(group is None for group in groups):
            return np.arange(len(groups))
        return np.unique([repr(group) for group in groups], return_inverse=True)[1]


class _UnfitError(Exception):
    """A number that these fields do not have."""


def _target(formula: Formula, draws: int) -> float | None:
    """What is right for so many draws, where that depends on their number."""
    return calibration.nearest_level(draws, _WANTED_COVERAGE)[1] if formula is catalogue.RANK_COVERAGE else None


def _of_inputs(values: Callable[[Ensemble], Sequence[Array]], statistic: Callable[..., float]) -> Any:
    """A number that is a statistic of values of inputs, whose groups are redrawn for its interval."""

    def function(ensemble: Ensemble, seed: int | None) -> Estimate:
        return group_bootstrap(values(ensemble), statistic, ensemble.groups, seed)

    return function


def _crps(each: Ensemble) -> list[Array]:
    _several(each)
    return [reduction.masked_mean(scores.fair_crps(each.members, each.truths))]


def _several(each: Ensemble) -> None:
    if each.draws < 2:
        raise _UnfitError


def _absolute(each: Ensemble) -> list[Array]:
    if each.draws > 1:
        raise _UnfitError
    return [reduction.masked_mean(np.abs(each.members[:, 0] - each.truths))]


def _squares(each: Ensemble) -> list[Array]:
    return [reduction.masked_mean(calibration.squared_error_of_mean(each.members, each.truths))]


def _relative(each: Ensemble) -> list[Array]:
    return [fields.relative_l2(each.members.mean(axis=1)[..., None], each.truths[..., None])[:, 0]]


def _spread_and_skill(each: Ensemble) -> list[Array]:
    _several(each)
    return [reduction.masked_mean(calibration.expected_squared_error(each.members)), *_squares(each)]


def _covered(each: Ensemble) -> list[Array]:
    _several(each)
    order, _ = calibration.nearest_level(each.draws, _WANTED_COVERAGE)
    return [reduction.masked_mean(calibration.covered(each.ranks, each.draws, order))]


def _binary(each: Ensemble) -> list[Array]:
    if not np.isin(each.truths, (0.0, 1.0)).all():
        raise _UnfitError
    _several(each)
    return [(each.members > 0.5).mean(axis=1), each.truths]


def _calibration_error(probability: Array, truths: Array) -> float:
    return reliability.reliability(probability, truths).expected_error


def _peak_ratio(each: Ensemble) -> list[Array]:
    mean = each.members.mean(axis=1)[..., None]
    return [similarity.peak_signal_to_noise(mean, each.truths[..., None], each.size)[:, 0]]


def _similarity(each: Ensemble) -> list[Array]:
    if each.truths.ndim != 3 or min(each.truths.shape[1:]) < 11:
        raise _UnfitError
    mean = each.members.mean(axis=1)[..., None]
    return [similarity.structural_similarity(mean, each.truths[..., None], each.size)[:, 0]]


def _mean_departure(each: Ensemble) -> list[Array]:
    axes = tuple(range(1, each.truths.ndim))
    return [each.members.mean(axis=tuple(range(1, each.members.ndim))) - each.truths.mean(axis=axes)]


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
        raise _UnfitError
    return ensemble.shells


def _cells(each: Ensemble) -> list[Array]:
    """(N, P) values of cells, evenly spread, of draws and of truths."""
    own = each.members.reshape(len(each.members), -1)
    real = each.truths.reshape(len(each.truths), -1)
    most = min(max(1, _MOST_CELLS // len(real)), real.shape[1])
    return [rows[:, spread(rows.shape[1], most)] for rows in (own, real)]


_FUNCTIONS: Mapping[Formula, Callable[[Ensemble, int | None], Estimate]] = {
    catalogue.FAIR_CRPS: _of_inputs(_crps, np.mean),
    catalogue.ABSOLUTE_ERROR: _of_inputs(_absolute, np.mean),
    catalogue.RMSE_OF_MEAN: _of_inputs(_squares, reduction.root_mean),
    RELATIVE_L2_OF_MEAN: _of_inputs(_relative, np.mean),
    catalogue.SPREAD_SKILL: _of_inputs(_spread_and_skill, calibration.spread_skill),
    catalogue.RANK_COVERAGE: _of_inputs(_covered, np.mean),
    catalogue.CALIBRATION_ERROR: _of_inputs(_binary, _calibration_error),
    MEAN_CORRELATION: _correlation,
    MEAN_DEPARTURE: _of_inputs(_mean_departure, np.mean),
    catalogue.PSNR: _of_inputs(_peak_ratio, np.mean),
    catalogue.SSIM: _of_inputs(_similarity, np.mean),
    catalogue.POWER_DEPARTURE: _power,
    catalogue.PIXEL_KS: _of_inputs(_cells, fields.kolmogorov_smirnov),
    catalogue.PIXEL_W1: _of_inputs(_cells, lambda own, real: float(sliced.wasserstein(own.ravel(), real.ravel(), 1))),
}


def _sizes(training: Sequence[Example]) -> list[float]:
    """Largest less smallest value of each channel of the training fields."""
    cells = np.concatenate([each.array.reshape(-1, each.array.shape[-1]) for each in training])
    return [float(each) for each in np.ptp(cells, axis=0)]

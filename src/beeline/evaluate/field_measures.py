"""Every number of fields on grids: m draws for each held-out input beside its truth, channel by channel, in its units.

Two kinds of numbers, which are never mixed. *Per input*: how well the draws for an input answer that input (CRPS, error
of their mean, calibration). *Conditional distribution*: whether single draws look like true fields (spectra, values of
cells, totals). Averaged draws may win the first and lose the second. The energy score alone is of all channels
together, each in units of its standard deviation over the training fields: it sees how channels depend on each other.

Draws go round the inputs: draw r of input j is sample r k + j, of k inputs. Intervals redraw whole groups (simulations,
months) of inputs; floors are the same numbers of baselines: the mean of the training fields, and ``training fields``, m
of them at random for each input (a climate that knows nothing of the input). In baselines a cell that was not observed
is that of another training field.

Cells that were not observed count nowhere, and inputs of which no cell of a channel was observed are none of that
channel's: ``counts`` and ``notes`` say how many are left. Real fields with gaps have no spectrum.

Shapes: N inputs, m draws of each, grid axes, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from beeline.core.data import Example, Geometry
from beeline.core.random import Key
from beeline.evaluate.ensemble import Ensemble
from beeline.evaluate.field_draws import (
    FUNCTIONS,
    MEAN_CORRELATION,
    MEAN_DEPARTURE,
    MEAN_SCATTER,
    RELATIVE_L2_OF_MEAN,
    WANTED_COVERAGE,
    UnfitError,
)
from beeline.evaluate.field_totals import RELATIVE_SCATTER, RELATIVE_TOTAL, TOTALS
from beeline.evaluate.outcome import Outcome, Place, measured
from beeline.evaluate.sets import group_codes, not_finite, several_shapes, spread
from beeline.metrics import calibration, catalogue, scores, spectra
from beeline.metrics.formula import Formula
from beeline.metrics.intervals import Estimate, group_bootstrap

Array = np.ndarray[Any, Any]
PHYSICAL, ALL_CHANNELS = "physical", ""
_MOST_LOOKED_AT = 256
PER_INPUT = (
    *(catalogue.FAIR_CRPS, catalogue.ABSOLUTE_ERROR, catalogue.RMSE_OF_MEAN, RELATIVE_L2_OF_MEAN),
    *(catalogue.SPREAD_SKILL, catalogue.RANK_COVERAGE, catalogue.CALIBRATION_ERROR, MEAN_CORRELATION, MEAN_DEPARTURE),
    *(MEAN_SCATTER, RELATIVE_TOTAL, RELATIVE_SCATTER, catalogue.PSNR, catalogue.SSIM),
)
OF_SINGLE_DRAWS = (catalogue.POWER_DEPARTURE, catalogue.RESOLVED_DEPARTURE, catalogue.PIXEL_KS, catalogue.PIXEL_W1)
_LESS_UNITS = {catalogue.PSNR.formula: "dB"}
_IN_UNITS = {each.formula for each in (catalogue.FAIR_CRPS, catalogue.ABSOLUTE_ERROR, catalogue.RMSE_OF_MEAN)} | {
    MEAN_DEPARTURE.formula,
    MEAN_SCATTER.formula,
    catalogue.PIXEL_W1.formula,
}


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
        self.groups = group_codes(held_out)
        self._known, self._truths = ([each.known_numbers() for each in split] for split in (training, held_out))
        self._sizes, self._means, self._deviations = _moments(self._known)
        self._positive = _positive(self._known)
        self.shells, self.no_spectrum = _shells(held_out[0].array.shape[:-1], geometry)
        self._gaps = _gaps_of(self._known) | _gaps_of(self._truths)
        self._seen_NC = np.stack([~_all_nan(each) for each in self._truths])

    def places(self) -> list[tuple[Formula, str, str]]:
        """Formula, space and channel of every number, in the order in which they are shown."""
        own = [(each, PHYSICAL, name) for name in self.geometry.channels for each in (*PER_INPUT, *OF_SINGLE_DRAWS)]
        return [*own, (catalogue.FAIR_ENERGY_SCORE, PHYSICAL, ALL_CHANNELS)]

    def units(self, formula: str, channel: str) -> str:
        """Units of a number; empty where it has none."""
        if channel == ALL_CHANNELS:
            return ""
        own = self.geometry.units[self.geometry.channels.index(channel)]
        return own if formula in _IN_UNITS else _LESS_UNITS.get(formula, "")

    def counts(self, samples: int, channel: str = ALL_CHANNELS) -> dict[str, int]:
        """How many of so many samples are used: n, inputs, draws for each, and groups of inputs.

        Args:
            samples: how many there are.
            channel: name of the channel, of which some inputs may have no observed cell.
        """
        place = None if channel == ALL_CHANNELS else self.geometry.channels.index(channel)
        asked = spread(len(self.held_out), samples)
        draws, kept = samples // max(1, len(asked)), asked[self._has(asked, place)]
        groups = len(np.unique(self.groups[kept]))
        return {"n": len(kept) * draws, "inputs": len(kept), "draws": draws, "groups": groups}

    @property
    def notes(self) -> dict[str, str]:
        """What is not measured, and why."""
        found = {} if self.no_spectrum is None else {"spectra": self.no_spectrum}
        for place, name in enumerate(self.geometry.channels):
            missing = np.mean([np.isnan(each[..., place]).mean() for each in self._truths])
            blind = int((~self._seen_NC[:, place]).sum())
            if missing:
                of_inputs = f", among them all cells of {blind:,} of {len(self.held_out):,} inputs" if blind else ""
                found[f"cells of {name}"] = f"{missing:.1%} of those held out were not observed{of_inputs}"
        return found

    @np.errstate(all="ignore")
    def __call__(self, samples: Sequence[Example], seed: int | None, paired: bool = True) -> dict[Place, Outcome]:
        """Every number of some samples; of samples that cannot be measured, why.

        Args:
            samples: that go round the inputs, as the evaluation draws them.
            seed: of the intervals; None leaves them out.
            paired: whether they answer the inputs; of real fields in the place of samples, which do not, only what is
                about single draws is measured.
        """
        reason = self.unfit(samples, paired)
        if reason is not None:
            failed = Outcome(Estimate(math.nan), reason)
            return {(formula.formula, space, channel): failed for formula, space, channel in self.places()}
        found: dict[Place, Outcome] = {}
        for place, name in enumerate(self.geometry.channels):
            if not self._seen_NC[:, place].any():
                continue
            ensemble = self.ensemble(samples, place)
            for formula, function in {**FUNCTIONS, **TOTALS}.items():
                if paired or formula in OF_SINGLE_DRAWS:
                    try:
                        outcome = measured(function(ensemble, seed), _target(formula, ensemble.draws))
                    except UnfitError:
                        continue
                    except ValueError as error:
                        outcome = Outcome(Estimate(math.nan), str(error))
                    found[formula.formula, PHYSICAL, name] = outcome
        if paired and self.counts(len(samples))["draws"] > 1:
            energy = measured(self._energy_score(samples, seed))
            found[catalogue.FAIR_ENERGY_SCORE.formula, PHYSICAL, ALL_CHANNELS] = energy
        return found

    def unfit(self, samples: Sequence[Example], paired: bool = True) -> str | None:
        """Why samples cannot be measured; None where they can.

        Args:
            samples: that go round the inputs.
            paired: whether they are draws, which are finite everywhere; real fields may have gaps.
        """
        return (not_finite(samples) if paired else None) or several_shapes(samples, self.held_out[:1])

    def ensemble(self, samples: Sequence[Example], channel: int) -> Ensemble:
        """Samples as draws of their inputs, of which some cell of the channel was observed.

        Args:
            samples: that go round the inputs.
            channel: place of the channel.
        """
        asked = spread(len(self.held_out), len(samples))
        count, draws, kept = len(asked), len(samples) // len(asked), self._has(asked, channel)
        own = np.stack([each.known_numbers()[..., channel] for each in samples[: count * draws]])
        members = np.moveaxis(own.reshape(draws, count, *own.shape[1:]), 0, 1)
        truths = np.stack([self._truths[index][..., channel] for index in asked]).astype(np.float64)
        if not kept.all():
            members, truths = members[kept], truths[kept]
        gaps, groups = bool(self._gaps[channel]), self.groups[asked[kept]]
        positive = bool(self._positive[channel])
        contrast = self.geometry.channels[channel] in self.geometry.overdensity
        return Ensemble(members, truths, groups, self.shells, float(self._sizes[channel]), gaps, positive, contrast)

    def climate(self, samples: Sequence[Example], seed: int) -> list[Example]:
        """Training fields at random, one in the place of each sample.

        Args:
            samples: whose conditions are kept.
            seed: of the draw.
        """
        draws = Key.range(seed, 0, len(samples)).fold("climate").uniform(1).numpy()[:, 0]
        chosen = (draws * len(self.training)).astype(np.int64)
        return [Example(self._filled(int(i)), each.condition) for i, each in zip(chosen, samples, strict=True)]

    def without_gaps(self) -> Sequence[Example]:
        """The training fields, with what others saw in the place of what was not observed: for baselines."""
        if not self._gaps.any():
            return self.training
        return [Example(self._filled(place), each.condition) for place, each in enumerate(self.training)]

    def _filled(self, place: int) -> Array:
        """A training field whose gaps hold what the following ones saw there; the channel's mean where none did."""
        if not self._gaps.any():
            return self._known[place]
        found = np.where(self._ever, self._known[place], self._means)
        for step in range(1, min(_MOST_LOOKED_AT, len(self._known))):
            gaps = np.isnan(found)
            if not gaps.any():
                break
            found[gaps] = self._known[(place + step) % len(self._known)][gaps]
        return np.where(np.isnan(found), self._means, found)

    @cached_property
    def _ever(self) -> Array:
        """(grid axes, C) what was observed in some training field."""
        return np.logical_or.reduce([~np.isnan(each) for each in self._known])

    def _has(self, asked: Array, channel: int | None) -> Array:
        """Which of some held-out fields have an observed cell, of a channel or of any."""
        seen = self._seen_NC[asked]
        return np.asarray(seen.any(axis=1) if channel is None else seen[:, channel])

    def _energy_score(self, samples: Sequence[Example], seed: int | None) -> Estimate:
        """Mean over inputs of the energy score of all channels, per root of the number of values."""
        asked = spread(len(self.held_out), len(samples))
        count, found, kept = len(asked), np.full(len(asked), np.nan), self._has(asked, None)
        for place in np.flatnonzero(kept).tolist():
            rows = samples[place : len(samples) // count * count : count]
            members = np.stack([each.array for each in rows])[None] / self._deviations
            truth = self._truths[asked[place]][None] / self._deviations
            observed = ~np.isnan(truth) if self._gaps.any() else None
            numbers = truth.size if observed is None else int(observed.sum())
            found[place] = scores.fair_energy_score(members, truth, observed)[0] / math.sqrt(numbers)
        return group_bootstrap([found[kept]], np.mean, self.groups[asked[kept]], seed)


def _target(formula: Formula, draws: int) -> float | None:
    """What is right for so many draws, where that depends on their number."""
    return calibration.nearest_level(draws, WANTED_COVERAGE)[1] if formula is catalogue.RANK_COVERAGE else None


def _shells(shape: Sequence[int], geometry: Geometry) -> tuple[spectra.Shells | None, str | None]:
    """The shells of |k| of a grid, or why it has none."""
    if len(shape) > 3:
        return None, f"fields have {len(shape)} axes, spectra at most 3"
    if not shape or min(shape) < 2:
        return None, "an axis has a single cell"
    if not np.isfinite(geometry.spacing).all():
        return None, "the steps of an axis are uneven: there are no waves of one length; interpolate to an even grid"
    if not geometry.length_unit and len(set(geometry.spacing)) > 1:
        apart = " and ".join(f"{each:g}" for each in geometry.spacing)
        return None, f"axes have spacings of {apart} and no unit that they share: there is no one |k|"
    box = [extent * step for extent, step in zip(shape, geometry.spacing, strict=True)]
    turns = geometry.periodic or (False,) * len(shape)
    return spectra.Shells(shape, box, window=[not each for each in turns]), None


def _positive(known: Sequence[Array]) -> Array:
    """(C,) whether every number of a channel that was observed is above 0."""
    return np.all([((each > 0) | np.isnan(each)).reshape(-1, each.shape[-1]).all(axis=0) for each in known], axis=0)


def _moments(known: Sequence[Array]) -> tuple[Array, Array, Array]:
    """(C,) largest less smallest value, mean and standard deviation (1 where it is 0) of each channel of fields."""
    found = []
    for column in np.concatenate([each.reshape(-1, each.shape[-1]) for each in known]).T:
        seen = column[~np.isnan(column)] if np.isnan(column).any() else column
        seen = seen if len(seen) else np.zeros(1)
        found.append((np.ptp(seen), seen.mean(dtype=np.float64), seen.std(dtype=np.float64)))
    sizes, means, deviations = np.array(found, dtype=np.float64).T
    return sizes, means, np.where(deviations > 0, deviations, 1.0)


def _gaps_of(fields: Sequence[Array]) -> Array:
    """(C,) whether some number of a channel was not observed."""
    return np.logical_or.reduce([np.isnan(each).any(axis=tuple(range(each.ndim - 1))) for each in fields])


def _all_nan(field: Array) -> Array:
    """(C,) whether no number of a channel was observed."""
    return np.asarray(np.isnan(field).all(axis=tuple(range(field.ndim - 1))))

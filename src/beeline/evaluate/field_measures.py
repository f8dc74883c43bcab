"""Every number of fields on grids: m draws for each held-out input beside its truth, channel by channel, in its units.

Two kinds of numbers, which are never mixed. *Per input*: how well the draws for an input answer that input (CRPS, error
of their mean, calibration). *Conditional distribution*: whether single draws look like true fields (spectra, values of
cells, totals). Averaged draws may win the first and lose the second. The energy score alone is of all channels
together, each in units of its standard deviation over the training fields: it sees how channels depend on each other.

Draws go round the inputs: draw r of input j is sample r k + j, of k inputs. Intervals redraw whole groups (simulations,
months) of inputs; floors are the same numbers of baselines: the mean of the training fields, and ``training fields``, m
of them at random for each input (a climate that knows nothing of the input).

Shapes: N inputs, m draws of each, grid axes, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from beeline.core.data import Example, Geometry
from beeline.core.random import Key
from beeline.evaluate.field_draws import (
    FUNCTIONS,
    MEAN_CORRELATION,
    MEAN_DEPARTURE,
    MEAN_SCATTER,
    RELATIVE_L2_OF_MEAN,
    WANTED_COVERAGE,
    Ensemble,
    UnfitError,
)
from beeline.evaluate.field_totals import RELATIVE_SCATTER, RELATIVE_TOTAL, TOTALS
from beeline.evaluate.outcome import Outcome, Place
from beeline.evaluate.sets import group_codes, spread, unfit
from beeline.metrics import calibration, catalogue, scores, spectra
from beeline.metrics.formula import Formula
from beeline.metrics.intervals import Estimate, group_bootstrap

Array = np.ndarray[Any, Any]
PHYSICAL, ALL_CHANNELS = "physical", ""
PER_INPUT = (
    *(catalogue.FAIR_CRPS, catalogue.ABSOLUTE_ERROR, catalogue.RMSE_OF_MEAN, RELATIVE_L2_OF_MEAN),
    *(catalogue.SPREAD_SKILL, catalogue.RANK_COVERAGE, catalogue.CALIBRATION_ERROR, MEAN_CORRELATION, MEAN_DEPARTURE),
    *(MEAN_SCATTER, RELATIVE_TOTAL, RELATIVE_SCATTER, catalogue.PSNR, catalogue.SSIM),
)
OF_SINGLE_DRAWS = (catalogue.POWER_DEPARTURE, catalogue.PIXEL_KS, catalogue.PIXEL_W1)
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
        self._sizes, self._deviations = _sizes(training)
        self._positive = _positive(training)
        self.shells, self.no_spectrum = _shells(held_out[0].array.shape[:-1], geometry)

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

    def counts(self, samples: int) -> dict[str, int]:
        """How many of so many samples are used: n, inputs, draws for each, and groups of inputs.

        Args:
            samples: how many there are.
        """
        asked = spread(len(self.held_out), samples)
        draws = samples // max(1, len(asked))
        groups = len(np.unique(self.groups[asked]))
        return {"n": len(asked) * draws, "inputs": len(asked), "draws": draws, "groups": groups}

    def __call__(self, samples: Sequence[Example], seed: int | None, paired: bool = True) -> dict[Place, Outcome]:
        """Every number of some samples; of samples that cannot be measured, why.

        Args:
            samples: that go round the inputs, as the evaluation draws them.
            seed: of the intervals; None leaves them out.
            paired: whether they answer the inputs; of real fields in the place of samples, which do not, only what is
                about single draws is measured.
        """
        reason = unfit(samples, self.held_out)
        if reason is not None:
            failed = Outcome(Estimate(math.nan), reason)
            return {(formula.formula, space, channel): failed for formula, space, channel in self.places()}
        found: dict[Place, Outcome] = {}
        for place, name in enumerate(self.geometry.channels):
            ensemble = self.ensemble(samples, place)
            for formula, function in {**FUNCTIONS, **TOTALS}.items():
                if paired or formula in OF_SINGLE_DRAWS:
                    try:
                        outcome = Outcome(function(ensemble, seed), target=_target(formula, ensemble.draws))
                    except UnfitError:
                        continue
                    except ValueError as error:
                        outcome = Outcome(Estimate(math.nan), str(error))
                    found[formula.formula, PHYSICAL, name] = outcome
        if paired and self.counts(len(samples))["draws"] > 1:
            energy = Outcome(self._energy_score(samples, seed))
            found[catalogue.FAIR_ENERGY_SCORE.formula, PHYSICAL, ALL_CHANNELS] = energy
        return found

    def ensemble(self, samples: Sequence[Example], channel: int) -> Ensemble:
        """Samples as draws of their inputs.

        Args:
            samples: that go round the inputs.
            channel: place of the channel.
        """
        asked = spread(len(self.held_out), len(samples))
        count, draws = len(asked), len(samples) // len(asked)
        own = np.stack([each.array[..., channel] for each in samples[: count * draws]])
        members = np.moveaxis(own.reshape(draws, count, *own.shape[1:]), 0, 1)
        truths = np.stack([self.held_out[index].array[..., channel] for index in asked]).astype(np.float64)
        positive = bool(self._positive[channel])
        return Ensemble(members, truths, self.groups[asked], self.shells, self._sizes[channel], positive=positive)

    def climate(self, samples: Sequence[Example], seed: int) -> list[Example]:
        """Training fields at random, one in the place of each sample.

        Args:
            samples: whose conditions are kept.
            seed: of the draw.
        """
        draws = Key.range(seed, 0, len(samples)).fold("climate").uniform(1).numpy()[:, 0]
        chosen = (draws * len(self.training)).astype(np.int64)
        return [Example(self.training[i].array, each.condition) for i, each in zip(chosen, samples, strict=True)]

    def _energy_score(self, samples: Sequence[Example], seed: int | None) -> Estimate:
        """Mean over inputs of the energy score of all channels, per root of the number of values."""
        asked = spread(len(self.held_out), len(samples))
        count, found = len(asked), np.empty(len(asked))
        for place, index in enumerate(asked):
            rows = samples[place : len(samples) // count * count : count]
            members = np.stack([each.array for each in rows])[None] / self._deviations
            truth = self.held_out[index].array[None] / self._deviations
            found[place] = scores.fair_energy_score(members, truth)[0] / math.sqrt(truth.size)
        return group_bootstrap([found], np.mean, self.groups[asked], seed)


def _target(formula: Formula, draws: int) -> float | None:
    """What is right for so many draws, where that depends on their number."""
    return calibration.nearest_level(draws, WANTED_COVERAGE)[1] if formula is catalogue.RANK_COVERAGE else None


def _shells(shape: Sequence[int], geometry: Geometry) -> tuple[spectra.Shells | None, str | None]:
    """The shells of |k| of a grid, or why it has none."""
    if len(shape) > 3:
        return None, f"fields have {len(shape)} axes, spectra at most 3"
    if not shape or min(shape) < 2:
        return None, "an axis has a single cell"
    if not geometry.length_unit and len(set(geometry.spacing)) > 1:
        apart = " and ".join(f"{each:g}" for each in geometry.spacing)
        return None, f"axes have spacings of {apart} and no unit that they share: there is no one |k|"
    box = [extent * step for extent, step in zip(shape, geometry.spacing, strict=True)]
    turns = geometry.periodic or (False,) * len(shape)
    return spectra.Shells(shape, box, window=[not each for each in turns]), None


def _positive(training: Sequence[Example]) -> Array:
    """(C,) whether every number of a channel that was observed is above 0."""
    found = []
    for each in training:
        seen = each.observed_numbers()
        found.append(((each.array > 0) if seen is None else (each.array > 0) | ~seen).reshape(-1, each.array.shape[-1]))
    return np.all([cells.all(axis=0) for cells in found], axis=0)


def _sizes(training: Sequence[Example]) -> tuple[list[float], Array]:
    """Of each channel of the training fields: largest less smallest value, and standard deviation (1 where it is 0)."""
    cells = np.concatenate([each.array.reshape(-1, each.array.shape[-1]) for each in training])
    deviations = cells.std(axis=0, dtype=np.float64)
    return [float(each) for each in np.ptp(cells, axis=0)], np.where(deviations > 0, deviations, 1.0)

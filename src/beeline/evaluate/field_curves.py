"""Curves of fields: what the numbers of ``field_measures`` are the summaries of, channel by channel.

    {"u": {"units": "m/s", "length_unit": "km", "draws": 16, "inputs": 32,
           "k": [S], "complete": [S], "power_ratio": [S], "power_ratio_low": [S], "power_ratio_high": [S],
           "correlation": [S], "correlation_of_mean": [S],           of single draws, and of their mean, with the truth
           "rank_counts": [m + 1], "levels": [m], "below": [m],     rank histogram; nominal against found exceedance
           "spread": [B], "skill": [B],                              root mean squares in bins of equal spread
           "edges": [E + 1], "pdf": [E], "pdf_truth": [E],           values of cells
           "probability": [10], "frequency": [10]}}                  of binary fields

Of one draw for each input only the spectra and the values of cells are there. Cells that were not observed count
nowhere; fields that have some have no spectra.

Shapes: N inputs, m draws of each, S shells of |k|, B bins of spread, E bins of values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from beeline.core.data import Example
from beeline.evaluate.ensemble import Ensemble
from beeline.evaluate.field_measures import FieldMeasures
from beeline.metrics import calibration, reliability, spectra
from beeline.metrics.intervals import redrawn_groups, tail

Array = np.ndarray[Any, Any]
_BINS, _SPREAD_BINS = 40, 8


def field_curves(measures: FieldMeasures, samples: Sequence[Example], seed: int) -> dict[str, Any]:
    """The curves of every channel, by its name.

    Args:
        measures: of the fields.
        samples: that go round the held-out inputs.
        seed: of the bands, which redraw groups of inputs.
    """
    geometry = measures.geometry
    found: dict[str, Any] = {}
    for place, (name, units) in enumerate(zip(geometry.channels, geometry.units, strict=True)):
        each = measures.ensemble(samples, place)
        about = {"units": units, "length_unit": geometry.length_unit, "draws": each.draws, "inputs": len(each.truths)}
        found[name] = {**about, **_spectral(each, seed), **_values(each), **_calibrated(each)}
    return found


def _spectral(each: Ensemble, seed: int) -> dict[str, Any]:
    if each.shells is None or each.gaps:
        return {}
    try:
        own, real, cross = each.spectra
    except ValueError:  # the number for it says why
        return {}
    ratio = spectra.power_ratio(own, real)
    low = high = np.full(ratio.shape, np.nan)
    if len(np.unique(each.groups)) > 1:
        redrawn = [spectra.power_ratio(own[rows], real[rows]) for rows in redrawn_groups(each.groups, seed)]
        level = tail(len(np.unique(each.groups)))
        low, high = np.quantile(redrawn, (level, 1 - level), axis=0)
    mean = each.contrasted(each.by_input(lambda part: part.members.mean(axis=1))[..., None])
    truths = each.contrasted(each.truths[..., None])
    of_mean = spectra.correlation(
        each.shells.cross_power(mean, truths).mean(axis=0),
        each.shells.power(mean).mean(axis=0),
        each.shells.power(truths).mean(axis=0),
    )[:, 0]
    return {
        "k": each.shells.k_S.tolist(),
        "complete": each.shells.complete_S.tolist(),
        "power_ratio": ratio.tolist(),
        "power_ratio_low": low.tolist(),
        "power_ratio_high": high.tolist(),
        "correlation": spectra.correlation(cross.mean(axis=0), own.mean(axis=0), real.mean(axis=0)).tolist(),
        "correlation_of_mean": of_mean.tolist(),
    }


def _values(each: Ensemble) -> dict[str, Any]:
    members, truths = each.members, each.truths
    if each.observed is not None:
        members, truths = np.moveaxis(members, 1, -1)[each.observed], truths[each.observed]
    both = np.concatenate([members.ravel(), truths.ravel()])
    low, high = np.quantile(both, (0.001, 0.999))
    edges = np.linspace(low, high, _BINS + 1) if high > low else np.linspace(low - 0.5, low + 0.5, _BINS + 1)
    width = edges[1] - edges[0]
    shares = [np.histogram(part, edges)[0] / part.size / width for part in (members, truths)]
    return {"edges": edges.tolist(), "pdf": shares[0].tolist(), "pdf_truth": shares[1].tolist()}


def _calibrated(each: Ensemble) -> dict[str, Any]:
    if each.draws < 2:
        return {}
    levels, below = calibration.calibration_curve(each.ranks, each.draws, each.observed)
    seen = slice(None) if each.observed is None else each.observed
    expected = each.by_input(lambda part: calibration.expected_squared_error(part.members))[seen].ravel()
    found = each.by_input(lambda part: calibration.squared_error_of_mean(part.members, part.truths))[seen].ravel()
    bins = np.array_split(np.argsort(expected, kind="stable"), _SPREAD_BINS)
    curves: dict[str, Any] = {
        "rank_counts": calibration.rank_histogram(each.ranks, each.draws, each.observed).tolist(),
        "levels": levels.tolist(),
        "below": below.tolist(),
        "spread": [float(np.sqrt(expected[part].mean())) for part in bins if len(part)],
        "skill": [float(np.sqrt(found[part].mean())) for part in bins if len(part)],
    }
    if each.binary:
        stated = each.by_input(lambda part: (part.members > 0.5).mean(axis=1))
        diagram = reliability.reliability(stated, each.truths, mask=each.observed)
        curves |= {"probability": diagram.probability.tolist(), "frequency": diagram.frequency.tolist()}
    return curves

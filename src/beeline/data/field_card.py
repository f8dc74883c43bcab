"""The card of a file of fields: where it comes from, what it holds, how it is split, and what its numbers are like.

    {"file", "sha256", "samples": {split: n}, "groups": {...}, "axes": {name: text},
     "channels" | "maps" | "coarse": {name: {"units", "least", "mean", "largest", "deviation", "skewness", "zeros",
                                             "missing", "transform"}},
     "points": {name: {...}}, "parameters": {name: {...}}, "notes": [...]}

Numbers are of training samples, at most 512 of them and 2^24 numbers, evenly spread. Skewness is the mean of
((x - mean) / deviation)^3: 0 of a symmetric distribution, 2 of an exponential one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from beeline.core.data import evenly
from beeline.data.field_description import FieldAxis, FieldChannel, FieldDescription
from beeline.data.field_sets import PARAMETERS, FieldSet, FoundFields

Array = np.ndarray[Any, Any]
_SAMPLES, _NUMBERS, _SHOWN = 512, 2**24, 8
_LONG_TAIL, _MANY_ZEROS = 2.0, 0.2


def field_card(found: FoundFields, training: FieldSet, held_out: FieldSet, transforms: Sequence[str]) -> dict[str, Any]:
    """What there is to know of a file of fields.

    Args:
        found: its fields.
        training: those that are trained on.
        held_out: the others.
        transforms: of each channel of the target.
    """
    known = found.description
    size = max(1, int(np.prod(known.shape)) * len(known.channels))
    read = [training[index] for index in evenly(training, max(8, min(_SAMPLES, _NUMBERS // size)))]
    arrays = [each.known_numbers() for each in read]
    channels, notes = {}, []
    for place, (channel, transform) in enumerate(zip(known.channels, transforms, strict=True)):
        about = _about(channel, (each[..., place] for each in arrays))
        channels[channel.name] = {**about, "transform": transform}
        notes += _advice(channel.name, about, transform)
    card: dict[str, Any] = {
        "file": found.path.name,
        "sha256" if found.is_hashed_whole else "sha256 of samples and attributes": found.identity(),
        "samples": {"training": len(training), "held out": len(held_out), "read for this card": len(read)},
        "groups": _groups(known, training, held_out),
        "axes": {axis.name: _axis(axis) for axis in known.axes},
        "channels": channels,
    }
    for name, mappings in (("maps", known.maps), ("coarse", known.coarse)):
        card[name] = {
            channel.name: _about(channel, (each.condition[mapping.name][..., place] for each in read))
            | ({"grid": " x ".join(str(axis.size) for axis in mapping.axes)} if mapping.axes else {})
            for mapping in mappings
            for place, channel in enumerate(mapping.channels)
        }
    card["points"] = {}
    for mapping in known.points:
        rows = [each.condition[mapping.name] for each in read]
        counts = [len(each) for each in rows]
        for place, channel in enumerate(mapping.channels, len(known.axes)):
            many = {"points a sample": f"{min(counts)} to {max(counts)}"}
            card["points"][channel.name] = {**_about(channel, (each[:, place] for each in rows)), **many}
    card["parameters"] = _parameters(known, training)
    return {name: value for name, value in card.items() if value not in ({}, [])} | {"notes": notes}


def _about(channel: FieldChannel, pieces: Iterable[Array]) -> dict[str, Any]:
    """What the numbers of a channel are like."""
    values = np.concatenate([np.asarray(piece, dtype=np.float64).ravel() for piece in pieces])
    seen = values[~np.isnan(values)]
    units = {"units": channel.units} if channel.units else {}
    if not len(seen):
        return {**units, "missing": 1.0}
    mean, deviation = float(seen.mean()), float(seen.std())
    skewness = float((((seen - mean) / deviation) ** 3).mean()) if deviation > 1e-12 * abs(mean) else 0.0
    return units | {
        "least": float(seen.min()),
        "mean": mean,
        "largest": float(seen.max()),
        "deviation": deviation,
        "skewness": skewness,
        "zeros": float((seen == 0).mean()),
        "missing": 1.0 - len(seen) / len(values),
    }


def _advice(name: str, about: dict[str, Any], transform: str) -> list[str]:
    """What another transform would do better, a line each."""
    if transform != "zscore" or about.get("least", -1.0) < 0 or about["skewness"] < _LONG_TAIL:
        return []
    told = f"{name}: is never below 0 and has a long tail (skewness {about['skewness']:.2g}, least {about['least']:g}, "
    told += f"mean {about['mean']:g}, largest {about['largest']:g}), which zscore keeps"
    if about["zeros"] > _MANY_ZEROS:
        return [f"{told}; {about['zeros']:.0%} of it is 0: --data.transform occupancy, or asinh, may do better"]
    return [f"{told}; --data.transform log10p1 or asinh may do better"]


def _axis(axis: FieldAxis) -> str:
    """An axis in words."""
    told = f"{axis.size:,} cells"
    if axis.coordinate:
        told += f" from {axis.coordinate[0]:g} to {axis.coordinate[-1]:g} {axis.units}".rstrip()
        if len(axis.coordinate) > 1:
            step = (axis.coordinate[-1] - axis.coordinate[0]) / (axis.size - 1)
            told += f", {'descending' if step < 0 else 'a step'} by {abs(step):.6g}"
            told += "" if axis.unevenness < 1e-3 else f" in the mean (steps differ by up to {axis.unevenness:.1%})"
    told += ", periodic" if axis.periodic else ""
    return told + (f", length {axis.length:g} {axis.units}".rstrip() if axis.length is not None else "")


def _groups(known: FieldDescription, training: FieldSet, held_out: FieldSet) -> dict[str, Any]:
    """How many groups each split has, and which are held out."""
    if not known.group:
        return {"told by": "nothing: each sample is its own"}
    sides = [list(dict.fromkeys(each.whole_groups())) for each in (training, held_out)]
    more = f" and {len(sides[1]) - _SHOWN:,} more" if len(sides[1]) > _SHOWN else ""
    return {
        "told by": ", ".join(known.group),
        "training": len(sides[0]),
        "held out": len(sides[1]),
        "held out are": "; ".join(sides[1][:_SHOWN]) + more,
        **({"blocks told by": ", ".join(known.blocks)} if known.blocks else {}),
    }


def _parameters(known: FieldDescription, training: FieldSet) -> dict[str, Any]:
    """Range and distinct values of each parameter of all training samples."""
    if not known.parameters:
        return {}
    rows = np.array([training.condition(index)[PARAMETERS] for index in range(len(training))], dtype=np.float64)
    found = {}
    for place, channel in enumerate(known.parameters):
        column = rows[:, place]
        seen = column[~np.isnan(column)]
        units = {"units": channel.units} if channel.units else {}
        span = {"least": float(seen.min()), "largest": float(seen.max())} if len(seen) else {}
        found[channel.name] = {**units, **span, "distinct": len(np.unique(seen)), "missing": len(column) - len(seen)}
    return found

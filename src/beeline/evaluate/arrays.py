"""Samples of any origin against real examples, both as arrays: another model, a climatology, a paper's baseline."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from beeline.core.data import Example, Geometry
from beeline.core.errors import UserError, unknown, whole_number
from beeline.evaluate.features import build_spaces
from beeline.evaluate.records import Evaluation
from beeline.evaluate.sets import fingerprint, read_sets
from beeline.evaluate.space_measures import MEASURES
from beeline.evaluate.yardstick import Yardstick
from beeline.metrics.catalogue import NEAREST
from beeline.model.format import library_version

Array = np.ndarray[Any, Any]
_SPACES = ("pixels", "pca-32")
_LARGEST = 1e150
_NO_GROUP = ("None", "nan", "NaT", "<NA>")


def evaluate_arrays(
    real: Array,
    generated: Array,
    condition: Mapping[str, Sequence[Any]] | None = None,
    group: Sequence[Any] | None = None,
    units: Sequence[str] = (),
    protocol: Mapping[str, Any] | None = None,
    *,
    training: Array | None = None,
    geometry: Geometry | None = None,
    spaces: Sequence[str] = ("pca-32",),
    seed: int = 0,
) -> Evaluation:
    """One tidy table of samples against real examples: a record for each number, in physical units.

    Args:
        real: (K, grid..., channels) held-out examples, or (K, numbers).
        generated: (N, grid..., channels) samples. Where conditions are given sample i answers real example i mod K, and
            N is a multiple of K: all inputs once, then all again.
        condition: values of each real example by name; None where samples answer nothing in particular.
        group: what each real example belongs to: a simulation, a month, a donor; intervals redraw whole groups. One of
            None or NaN is a group of its own.
        units: of each channel.
        protocol: how the samples were made, kept beside what is known here.
        training: (T, grid..., channels) examples that the model was trained on, for floors and for the distance to the
            nearest of them; there are none of these without.
        geometry: names, units, spacing and periodic axes of fields; of cells of length 1 when None.
        spaces: where whole samples are compared: pixels, pca-32.
        seed: of intervals and baselines.

    Raises:
        UserError: shapes do not fit, a number is not finite, or there is no such space.
    """
    real, generated = _checked("real", real, None), _checked("generated", generated, real)
    seed, known = whole_number("seed", seed, 0), len(real)
    for space in spaces:
        if space not in _SPACES:
            raise unknown("space", space, _SPACES)
    trained = real if training is None else _checked("training", training, real)
    if condition is not None and (len(generated) % known or not len(generated)):
        raise UserError(f"generated: {len(generated)} samples are no multiple of the {known} real examples they answer")
    for name, values in {**(condition or {}), **({} if group is None else {"group": group})}.items():
        if not hasattr(values, "__len__") or len(values) != known:
            count = f"{len(values)} values" if hasattr(values, "__len__") else repr(values)
            raise UserError(f"{name}: {count} for {known} real examples; needs one for each")
    fields = _geometry(real, units, geometry)
    names = [None] * known if group is None else [_group(each) for each in group]
    asked = [{name: values[index] for name, values in (condition or {}).items()} for index in range(known)]
    held_out = [Example(*each) for each in zip(real, asked, names, strict=True)]
    sets = read_sets([Example(each) for each in trained], held_out)
    with tempfile.TemporaryDirectory() as home:
        found, left_out = build_spaces(spaces, sets, None, Path(home))
    which = [formula for formula in MEASURES if training is not None or formula is not NEAREST]
    yardstick = Yardstick(sets, found, which=which, geometry=fields)
    samples = [Example(each, asked[index % known]) for index, each in enumerate(generated)]
    records = yardstick.records(samples, seed, condition is not None, training is not None)
    told = {
        "made_by": "evaluate_arrays",
        "library": library_version(),
        "n": len(samples),
        "seed": seed,
        "data": {"fingerprint": fingerprint(sets.held_out)},
        "sets": {**sets.counts, **yardstick.of_ceilings(len(samples))},
        "spaces": {space.name: space.record for space in found},
        "left_out": left_out | yardstick.measures.left_out,
    }
    return Evaluation({**told, "samples": dict(protocol or {})}, records)


def _checked(name: str, array: Array, like: Array | None) -> Array:
    array = np.asarray(array)
    if array.dtype.kind not in "fiub" or array.ndim < 2 or not array.size:
        raise UserError(f"{name}: needs real numbers, (examples, grid..., channels), not {array.dtype} {array.shape}")
    if like is not None and array.shape[1:] != like.shape[1:]:
        raise UserError(f"{name}: examples of shape {array.shape[1:]}, real ones have {like.shape[1:]}")
    if np.isinf(array).any() or (np.isnan(array).any() and name != "real"):
        raise UserError(f"{name}: holds NaN or infinity")
    if (largest := float(np.fmax.reduce(np.abs(array), axis=None))) > _LARGEST:
        raise UserError(f"{name}: holds {largest:g}, whose square is no number; write it in larger units")
    return array.astype(np.float32) if array.dtype.kind != "f" else array


def _group(name: Any) -> str | None:
    text = str(name)
    return None if text in _NO_GROUP else text


def _geometry(real: Array, units: Sequence[str], geometry: Geometry | None) -> Geometry | None:
    channels = real.shape[-1]
    if units and len(units) != channels:
        raise UserError(f"units {', '.join(units)}: one for each of {channels} channels")
    if geometry is not None or real.ndim < 3:
        return geometry
    names = tuple(f"channel {place}" for place in range(channels))
    return Geometry(names, tuple(units) or ("",) * channels, (1.0,) * (real.ndim - 2))

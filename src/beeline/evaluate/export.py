"""Samples for evaluators outside: an npz of 8-bit images, as ADM's evaluator and its kin read it.

``arr_0`` holds (N, height, width, channels) uint8, ``arr_1`` the (N,) classes where the model has such. Classes come in
equal shares: item i asks for class i mod their number, so with N no multiple of it the first ones have one more.
Pieces are kept as they are drawn; the same call goes on where a stopped one was.

Shapes: N samples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from beeline.core.errors import UserError, whole_number
from beeline.core.files import read_json, remove_folder, write_bytes, write_json
from beeline.evaluate.sets import class_condition
from beeline.generate.engine import Engine, Request
from beeline.generate.write import array_bytes, write_npz
from beeline.samplers.config import SampleConfig

Array = np.ndarray[Any, Any]
_PIECE = 500


def export(
    engine: Engine,
    home: Path,
    n: int,
    seed: int = 0,
    settings: SampleConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw samples in pieces and write them as one npz, with provenance beside it.

    Args:
        engine: the model.
        home: folder for the file, which is named after how many samples and a hash of how they are drawn.
        n: how many.
        seed: of the samples.
        settings: how; the run's own when None.
        progress: called with (samples done, samples in all).

    Raises:
        UserError: samples are no 8-bit images of one shape.
    """
    n, settings = whole_number("export", n, 1), settings or engine.defaults
    shape = _image_shape(engine)
    requests = _requests(engine, n)
    told = {**engine.origin, "n": n, "seed": seed, **asdict(settings)}
    told.pop("model")
    name = f"export-{n}-{hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]}"
    target, pieces = home / f"{name}.npz", home / f"{name}.pieces"
    if target.is_file():
        return target
    provenance: dict[str, Any] = {}
    for start in range(0, n, _PIECE):
        piece, record = pieces / f"{start:08}.npz", pieces / f"{start:08}.json"
        stop = min(start + _PIECE, n)
        if not record.is_file():
            drawn = engine.generate(requests[start:stop], seed, settings, first=start)
            write_bytes(piece, array_bytes(drawn.examples))
            write_json(record, drawn.provenance)
        provenance = read_json(record)
        if progress is not None:
            progress(stop, n)
    arrays: dict[str, tuple[tuple[int, ...], np.dtype[Any], Iterator[Array]]] = {
        "arr_0": ((n, *shape), np.dtype(np.uint8), _read(pieces)),
    }
    condition = class_condition(engine.codec.conditions)
    if condition is not None and condition.choices is not None:
        labels = np.arange(n) % len(condition.choices)
        arrays["arr_1"] = ((n,), labels.dtype, iter([labels]))
    write_npz(target, arrays)
    write_json(target.with_suffix(".json"), {**provenance, "first": 0, "n": n})
    remove_folder(pieces)
    return target


def _requests(engine: Engine, n: int) -> list[Request]:
    condition = class_condition(engine.codec.conditions)
    if condition is None or condition.choices is None:
        return [Request({}) for _ in range(n)]
    return [Request({condition.name: condition.choices[item % len(condition.choices)]}) for item in range(n)]


def _image_shape(engine: Engine) -> tuple[int, ...]:
    """(height, width, channels) of all samples, from one that is drawn in one step.

    Raises:
        UserError: they differ, or are no 8-bit images.
    """
    if engine.codec.tokenizer.axes != 2 or len(engine.codec.forms) != 1:
        raise UserError("--export: needs 8-bit images of one size; this model's samples are none, or differ in size")
    settings = engine.settings(steps=1)
    array = engine.generate(_requests(engine, 1), 0, settings).examples[0].array
    if array.dtype != np.uint8:
        raise UserError(f"--export: needs 8-bit images; this model's samples are of type {array.dtype}")
    return array.shape


def _read(pieces: Path) -> Iterator[Array]:
    for piece in sorted(pieces.glob("*.npz")):
        with np.load(piece) as arrays:
            yield arrays["samples"]

"""Generated cells as people keep cells: AnnData with the names of the genes, what was asked, and where they come from.

X is what the model made: log(1 + count / library * target), or values of the scale that it was trained on. Counts,
where they are asked for, are the layer ``counts``; how they are drawn is in ``cell_libraries``. Of real cells they are

    count = round((exp(value) - 1) * library / target)
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from beeline.core.errors import RunError, UserError
from beeline.core.extras import needed
from beeline.data.cell_files import Scale

Array = np.ndarray[Any, Any]
ABOUT = "beeline"
_LARGEST = np.iinfo(np.int32).max
_DIGITS = 6


def as_anndata(
    arrays: Array,
    genes: Sequence[str],
    obs: Mapping[str, Sequence[Any]],
    uns: Mapping[str, Any],
    scale: Scale,
    counts: Array | None = None,
) -> Any:
    """Cells as an AnnData; numbers and counts are sparse where most are 0.

    Args:
        arrays: (n, G) values, log-normalised where the scale is counts or lognorm.
        genes: (G,) names.
        obs: what was asked for, n values a name: numbers, texts, None for missing, or several names, which are joined
            by ``+``. Texts become categories.
        uns: provenance, kept under ``uns["beeline"]``; what is neither text nor a number becomes JSON.
        scale: of the numbers that the model was trained on.
        counts: (n, G) whole numbers for the layer ``counts``; None for no such layer.

    Raises:
        RunError: a value is not finite.
        UserError: the parts do not fit together, or anndata is not installed.
    """
    anndata = needed("anndata", "cells as AnnData", "cells")
    arrays = np.asarray(arrays, dtype=np.float32)
    _check(arrays, genes, obs, counts)
    data = anndata.AnnData(_stored(arrays))
    data.var_names = list(genes)
    data.obs_names = [f"generated-{number:0{_DIGITS}}" for number in range(len(arrays))]
    for name, values in obs.items():
        _add(data.obs, name, values)
    data.uns[ABOUT] = {name: _plain(value) for name, value in {**uns, "scale": scale}.items()}
    if scale != "scaled":
        data.uns["log1p"] = {}  # by this scanpy knows that logarithms were taken
    if counts is not None:
        data.layers["counts"] = _stored(np.asarray(counts))
    return data


def h5ad_bytes(data: Any) -> bytes:
    """The contents of an .h5ad file, compressed by gzip.

    Args:
        data: an AnnData.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.h5ad"
        data.write_h5ad(path, compression="gzip")
        return path.read_bytes()


def to_counts(lognorm: Array, library: Array, target: float) -> Array:
    """Whole counts of log-normalised values, round((exp(value) - 1) library / target): (n, G) int32.

    Nothing is drawn: values are rounded to the nearest count, those below 0 to 0. The counts of a cell that was
    normalised come back as they were while they are below a hundred thousand, the precision of float32 being what
    limits them. Of generated values, low expression is rounded away and the sums only come near the library.

    Args:
        lognorm: (n, G) values.
        library: (n,) counts of each cell over all genes, those that are not modelled among them.
        target: library that counts were brought to.

    Raises:
        RunError: a value is not finite, or stands for more counts than int32 holds.
    """
    sizes = np.asarray(library, dtype=np.float64).reshape(-1, 1)
    with np.errstate(over="ignore"):
        found = np.rint(np.expm1(np.asarray(lognorm, dtype=np.float64)) * (sizes / target))
    if not (found <= _LARGEST).all():  # which NaN is not either
        raise RunError(
            f"counts: a value of {np.max(lognorm):g} stands for no count; the model has not learned the scale"
        )
    return np.maximum(found, 0).astype(np.int32)


def _check(arrays: Array, genes: Sequence[str], obs: Mapping[str, Sequence[Any]], counts: Array | None) -> None:
    """Refuse parts that do not fit together.

    Raises:
        RunError: a value is not finite.
        UserError: naming the part.
    """
    if arrays.ndim != 2 or arrays.shape[1] != len(genes):
        raise UserError(f"cells of shape {arrays.shape} for {len(genes)} genes; need (cells, genes)")
    if len(set(genes)) < len(genes):
        raise UserError("genes: one is named twice; leave it out")
    if counts is not None and np.shape(counts) != arrays.shape:
        raise UserError(f"counts of shape {np.shape(counts)} for cells of shape {arrays.shape}; need the same")
    for name, values in obs.items():
        if len(values) != len(arrays):
            raise UserError(f"obs {name}: {len(values)} values for {len(arrays)} cells; need one a cell")
        if "/" in name:
            raise UserError(f"obs {name}: a name in an .h5ad holds no '/'; rename the column")
    wrong = ~np.isfinite(arrays)
    if wrong.any():
        cell, gene = np.argwhere(wrong)[0]
        raise RunError(f"gene {genes[gene]} of generated cell {cell} is {arrays[cell, gene]}; no cells are written")


def _stored(numbers: Array) -> Any:
    """Numbers as CSR where most of them are 0, else as they are."""
    from scipy.sparse import csr_matrix

    return csr_matrix(numbers) if 2 * np.count_nonzero(numbers) < numbers.size else numbers


def _add(table: Any, name: str, values: Sequence[Any]) -> None:
    """A column of numbers, or of categories where a value is a text."""
    plain = [_one(value) for value in values]
    if any(isinstance(value, str) for value in plain) or all(value is None for value in plain):
        table[name] = [None if value is None else str(value) for value in plain]
        table[name] = table[name].astype("category")
    else:
        table[name] = np.array([np.nan if value is None else value for value in plain])


def _one(value: Any) -> Any:
    """A value of a cell: a number, a text, or None."""
    if isinstance(value, (tuple, list)):
        return "+".join(map(str, value))
    if isinstance(value, (bool, np.bool_)):
        return str(value)
    return value.item() if isinstance(value, np.generic) else value


def _plain(value: Any) -> Any:
    """A value as an .h5ad can hold it: a number or text."""
    if isinstance(value, (str, int, float, np.number)) and not isinstance(value, bool):
        return str(value) if isinstance(value, int) and abs(value) > np.iinfo(np.int64).max else value
    return json.dumps(value)

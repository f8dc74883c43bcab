"""Features of genes: how their expression goes with that of all others, and rows of numbers from a user's file.

With Z (N, G) the standardised expression of N cells, divided by sqrt(N),

    R = Z^T Z            correlation matrix of the genes        Z = U S V^T
    R_target V_size      a target's profile along the first principal directions, V S^2 of its row

so that R itself is never made, nor any matrix larger than Z.
"""

from __future__ import annotations

import csv
import math
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import linalg
from scipy.sparse.linalg import svds

from beeline.core.errors import InputWarning, UserError, whole_number

Array = np.ndarray[Any, Any]

_TABLES = (".csv", ".tsv", ".txt")
_MOST_TOLD = 5


def coexpression_features(values: Array, genes: Sequence[str], targets: Sequence[str], size: int) -> Array:
    """Each target's row of the gene-gene correlation matrix along its first principal directions, (P, size) float64.

    A target that is not among the genes, or does not vary, is a row of NaN and is warned of by name.

    Args:
        values: (N, G) expression of training cells, control cells for best; dense, or sparse with ``toarray``.
        genes: names of the G genes.
        targets: P names, such as the genes that are knocked out.
        size: numbers of a row, at most N - 1 and G.

    Raises:
        UserError: the array does not fit the names, holds NaN or infinity, is too small, or a gene is named twice.
    """
    table = np.asarray(values.toarray() if hasattr(values, "toarray") else values)
    if table.ndim != 2 or table.shape[1] != len(genes) or table.dtype.kind not in "fiub":
        raise UserError(f"features of genes: need numbers (cells, {len(genes)} genes), not {table.dtype} {table.shape}")
    if len(places := {gene: place for place, gene in enumerate(genes)}) < len(genes):
        twice = next(gene for place, gene in enumerate(genes) if places[gene] != place)
        raise UserError(f"features of genes: gene '{twice}' is there twice; make names unique")
    whole_number("features of genes: size", size, 1, max(1, min(len(table) - 1, len(genes))))
    scaled = _scaled(table)
    directions, squares = _principal(scaled, size)
    found = np.full((len(targets), size), math.nan)
    rows = np.array([places.get(target, -1) for target in targets], dtype=np.int64)
    known = (rows >= 0) & (scaled[:, rows] != 0).any(axis=0)
    found[known] = directions[rows[known]] * squares
    if not known.all():
        lacking = [target for target, knows in zip(targets, known.tolist(), strict=True) if not knows]
        more = f" and {len(lacking) - _MOST_TOLD} more" if len(lacking) > _MOST_TOLD else ""
        warnings.warn(
            f"no co-expression features of {', '.join(lacking[:_MOST_TOLD])}{more}: not among the {len(genes)} genes "
            "of the cells, or the same in all of them",
            InputWarning,
            stacklevel=2,
        )
    return found


def _scaled(table: Array) -> Array:
    """Z: columns of zero mean and unit length; zeros where a gene does not vary."""
    scaled = table.astype(np.float64)
    if not np.isfinite(scaled).all():
        raise UserError("features of genes: the expression holds NaN or infinity")
    size = np.abs(scaled).max(axis=0, initial=0.0)
    scaled -= scaled.mean(axis=0)
    length = np.linalg.norm(scaled, axis=0)
    varies = length > 1e-9 * size * math.sqrt(len(scaled))
    scaled *= np.where(varies, 1.0 / np.where(varies, length, 1.0), 0.0)
    return scaled


def _principal(scaled: Array, size: int) -> tuple[Array, Array]:
    """First right singular vectors (G, size), largest entry above 0, and the squares of their singular values."""
    shorter = min(scaled.shape)
    if size > shorter // 4:
        _, singular, vectors = linalg.svd(scaled, full_matrices=False)
    else:  # from a fixed start, so that the same cells give the same numbers
        start = np.random.default_rng(0).normal(size=shorter)
        _, singular, vectors = svds(scaled, k=size, v0=start)
    order = np.argsort(-singular)[:size]
    vectors = vectors[order]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None], axis=1)
    return (vectors * np.sign(largest)).T, singular[order] ** 2


def read_embeddings(path: Path | str) -> tuple[tuple[str, ...], Array]:
    """Names and their rows of numbers (P, F) float64 in a file.

    Args:
        path: .csv, .tsv or .txt with a name and then numbers on each line, below a header or not; or .npz with arrays
            ``names`` (P,) and ``values`` (P, F).

    Raises:
        UserError: it is not readable, or a line is not of that form.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in (*_TABLES, ".npz"):
        raise UserError(f"{path}: embeddings are read from {', '.join(_TABLES)} and .npz")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    names, rows = _from_npz(path) if ending == ".npz" else _from_table(path)
    seen: dict[str, str] = {}
    for (where, each), row in zip(names, rows, strict=True):
        if not each:
            raise UserError(f"{path}, {where}: names nothing")
        if each in seen:
            raise UserError(f"{path}, {where}: '{each}' is on {seen[each]} too; give each name once")
        if not np.isfinite(row).all():
            raise UserError(f"{path}, {where}: '{each}' holds NaN or infinity; leave a name without numbers out")
        seen[each] = where
    if not seen:
        raise UserError(f"{path}: holds no names")
    return tuple(seen), np.array(rows, dtype=np.float64)


Named = list[tuple[str, str]]


def _from_table(path: Path) -> tuple[Named, list[Array]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable ({error})") from None
    names, rows = Named(), list[Array]()
    first = True
    for number, (name, *cells) in _records(path, lines):
        header, first = first and _is_header(name, cells), False
        if header:
            continue
        where = f"line {number}"
        if not cells:
            raise UserError(f"{path}, {where}: '{name}' has no numbers; need a name, then numbers, with commas between")
        if rows and len(cells) != len(rows[0]):
            raise UserError(f"{path}, {where}: {len(cells)} numbers, and {names[0][0]} has {len(rows[0])}")
        wrong = next((cell for cell in cells if not _is_number(cell)), None)
        if wrong is not None:
            raise UserError(f"{path}, {where}: '{wrong}' is not a number")
        names.append((where, name))
        rows.append(np.array(cells, dtype=np.float64))
    return names, rows


def _records(path: Path, lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines, delimiter=max(",;\t", key=(lines or [""])[0].count), skipinitialspace=True)
    try:
        for record in reader:
            if any(cell.strip() for cell in record):
                yield reader.line_num, [cell.strip() for cell in record]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not CSV ({error})") from None


def _is_header(name: str, cells: Sequence[str]) -> bool:
    """Whether a first line names columns: no numbers at all, nothing before them, or their count from 0 or 1."""
    counted = [[str(start + place) for place in range(len(cells))] for start in (0, 1)]
    return not name or not any(map(_is_number, cells)) or (len(cells) > 2 and list(cells) in counted)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _from_npz(path: Path) -> tuple[Named, list[Array]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            lacking = {"names", "values"} - set(archive.files)
            if lacking:
                raise UserError(f"{path}: holds {', '.join(archive.files) or 'nothing'}; need arrays names and values")
            names, values = archive["names"], archive["values"]
    except UserError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        hint = "; save names as text, np.array(names, dtype=str)" if "Object arrays" in str(error) else ""
        raise UserError(f"{path}: not a readable .npz file ({error}){hint}") from None
    if names.ndim != 1 or names.dtype.kind not in "US" or values.dtype.kind not in "fiub":
        raise UserError(f"{path}: names must be one list of text, and values numbers")
    if values.ndim != 2 or len(values) != len(names) or not values.shape[1]:
        raise UserError(f"{path}: values have shape {values.shape}, not ({len(names)} names, numbers)")
    return [(f"row {row}", str(each)) for row, each in enumerate(names.astype(str).tolist())], list(values)


def joined_features(wanted: Sequence[str], names: Sequence[str], rows: Array) -> tuple[tuple[str, ...], Array]:
    """The wanted names, then all others that have features, and the rows of all; NaN where a wanted one has none.

    Args:
        wanted: names that must be there, such as those of training.
        names: P names that have features.
        rows: (P, F) their features.

    Raises:
        UserError: none of the wanted names has features.
    """
    places = {name: place for place, name in enumerate(names)}
    if not places.keys() & set(wanted):
        raise UserError(
            f"none of {len(wanted)} perturbations, such as '{next(iter(wanted), '')}', is among {len(places)} names "
            f"with features, such as '{next(iter(names), '')}'; give features under the same names"
        )
    every = tuple(dict.fromkeys((*wanted, *names)))
    empty = np.full(rows.shape[1], math.nan)
    return every, np.stack([rows[places[name]] if name in places else empty for name in every])

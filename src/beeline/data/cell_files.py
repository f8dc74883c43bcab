"""Files of single cells: AnnData ``.h5ad``, whose numbers are read by cells, with the genes that they are of.

Three scales, declared by their owner and never guessed:

    counts    whole numbers >= 0, as counted
    lognorm   log(1 + count / library * target), so 0 <= value <= 30 and not all of them whole
    scaled    anything finite, such as (value - mean) / deviation

The library of a cell is the sum of its counts over all genes of the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from beeline.core.errors import UserError, unknown
from beeline.data.cell_matrices import CellMatrix, Csr, SomeRows, open_matrix, opened
from beeline.data.cell_stores import check_kind, matrices_in, read_table
from beeline.data.group_names import shown

Array = np.ndarray[Any, Any]
Scale = Literal["counts", "lognorm", "scaled"]
_MOST_CHECKED, _GLANCED = 2_000, 100
_LARGEST_LOGARITHM = 30.0
_NUMBERS_AT_ONCE = 2**24
_NAMED = 3


@dataclass(frozen=True, eq=False)
class CellFile:
    """Cells of one file, with one of its matrices.

    Args:
        path: of the file.
        genes: names of the columns, each once.
        layer: which matrix; None for X, ``raw`` for raw.X.
        layers: names of the other matrices.
        names: (cells,) of the cells.
        columns: names of what is known of each cell.
    """

    path: Path
    genes: tuple[str, ...] = field(repr=False)
    layer: str | None
    layers: tuple[str, ...]
    names: Array = field(repr=False)
    columns: tuple[str, ...]
    _matrix: CellMatrix = field(repr=False)
    _about: Any = field(repr=False)

    @property
    def cells(self) -> int:
        """How many there are."""
        return self._matrix.shape[0]

    def column(self, name: str) -> Array:
        """What is known of each cell under a name: (cells,) float64 with NaN, or texts with None, where it is missing.

        Args:
            name: of a column of ``obs``. Categories and booleans are texts, a category 2.0 is the text 2.

        Raises:
            UserError: there is none of that name.
        """
        if name not in self.columns:
            raise UserError(f"{self.path}: {unknown('column of obs', name, self.columns)}")
        column = self._about[name]
        if column.dtype.kind in "iuf":
            return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
        missing = column.isna().to_numpy()
        texts = [None if absent else _text(value) for value, absent in zip(column, missing, strict=True)]
        return np.array([*texts, None], dtype=object)[:-1]

    def only(self, places: Array) -> CellFile:
        """Some of the cells, as if the file had no others.

        Args:
            places: (n,) of them, ascending.
        """
        if len(places) == self.cells:
            return self
        about, matrix = self._about.iloc[places], SomeRows(self._matrix, places)
        return replace(self, names=self.names[places], _matrix=matrix, _about=about)

    def rows(self, index: Array) -> Csr:
        """Numbers of some cells, and no others read: scipy CSR (n, genes) float32.

        Args:
            index: (n,) places of the cells.

        Raises:
            UserError: the file is damaged there.
        """
        return self._matrix.rows(index).astype(np.float32)

    def parts(self, index: Array | None = None) -> Iterator[tuple[Array, Csr]]:
        """Places of cells and their numbers as stored, some 16 million numbers at a time.

        Args:
            index: (n,) places of cells; None for all.
        """
        index = np.arange(self.cells) if index is None else np.asarray(index)
        step = max(1, _NUMBERS_AT_ONCE // len(self.genes))
        for start in range(0, len(index), step):
            part = index[start : start + step]
            yield part, self._matrix.rows(part)


def open_cells(path: Path, layer: str | None = None) -> CellFile:
    """Open an ``.h5ad``; its matrix stays in the file where it has over 50 million stored numbers.

    Args:
        path: of the file.
        layer: which of its matrices; None for X, ``raw`` for raw.X.

    Raises:
        UserError: it is not there, is of another kind, damaged or empty, has no such layer, or names a gene twice.
    """
    path = Path(path)
    check_kind(path)
    with opened(path) as handle:
        if "obs" not in handle or "var" not in handle:
            raise UserError(
                f"{path}: is HDF5 without obs and var, so no .h5ad; one of Cell Ranger becomes one by "
                "scanpy.read_10x_h5(PATH).write_h5ad(NEW_PATH)"
            )
        matrices = matrices_in(handle)
        if (layer or "X") not in matrices:
            if layer is not None:
                raise UserError(f"{path}: {unknown('layer', layer, matrices)}")
            raise UserError(f"{path}: X is missing; name a layer, of {', '.join(matrices) or 'which there is none'}")
        inside = matrices[layer or "X"]
        about = read_table(path, handle, "obs")
        genes = read_table(path, handle, "raw/var" if inside == "raw/X" else "var").index
        matrix = open_matrix(path, handle, inside)
    others = tuple(name for name in matrices if name != (layer or "X"))
    names, known = np.array([*map(str, about.index), None])[:-1], tuple(map(str, about.columns))
    file = CellFile(path, tuple(map(str, genes)), layer, others, names, known, matrix, about)
    _check_whole(file)
    return file


def check_scale(file: CellFile, scale: Scale, rows: int = _MOST_CHECKED) -> None:
    """Refuse numbers that contradict the scale they are said to be on.

    Args:
        file: the cells.
        scale: as declared.
        rows: cells looked at, at most and evenly spread.

    Raises:
        UserError: they contradict it; naming the first offence and what would be right.
    """
    if scale not in get_args(Scale):
        raise unknown("scale", scale, get_args(Scale))
    stored, fractions, largest = 0, 0, 0.0
    for cells, part in file.parts(spread(file.cells, rows)):
        values = part.data
        _refuse(file, cells, part, ~np.isfinite(values), "need finite numbers; leave such cells out, or mend them")
        if scale == "scaled":
            continue
        fraction = values != np.floor(values)
        if scale == "counts" and ((values < 0) | fraction).any():
            _refuse(file, cells, part, values < 0, f"counts are never negative; {_remedy(file, values)}")
            _refuse(file, cells, part, fraction, f"counts are whole numbers; {_remedy(file, values)}")
        if scale == "lognorm":
            _refuse(file, cells, part, values < 0, "log(1 + x) is never negative; declare the scale scaled")
            over = "values over 30 cannot be logarithms; declare the scale counts, or take scanpy.pp.log1p first"
            _refuse(file, cells, part, values > _LARGEST_LOGARITHM, over)
        stored += int(np.count_nonzero(values))
        fractions += int(np.count_nonzero(fraction))
        largest = max(largest, float(values.max(initial=0)))
    if scale != "scaled" and not stored:
        raise UserError(f"{_where(file)}: the cells looked at hold zeros alone; name another layer, or another file")
    if scale == "lognorm" and not fractions:
        raise UserError(
            f"{_where(file)}: all numbers looked at are whole, up to {largest:g}: these are counts, not logarithms; "
            "declare the scale counts"
        )


def library_sizes(file: CellFile) -> Array:
    """Library of each cell, the sum of its numbers over all genes of the file: (cells,) float64.

    Args:
        file: the cells, read some at a time.

    Raises:
        UserError: a number is missing or infinite.
    """
    sizes = []
    for cells, part in file.parts():
        _refuse(file, cells, part, ~np.isfinite(part.data), "need finite numbers; leave such cells out, or mend them")
        sizes.append(np.asarray(part.sum(axis=1, dtype=np.float64)).reshape(-1))
    return np.concatenate(sizes)


def _check_whole(file: CellFile) -> None:
    """Refuse a file without cells or genes, one whose parts do not fit together, and one that names a gene twice.

    Raises:
        UserError: any of these.
    """
    cells, genes = file._matrix.shape
    if not cells or not genes:
        raise UserError(f"{_where(file)}: holds no {'genes' if cells else 'cells'}")
    if (cells, genes) != (len(file.names), len(file.genes)):
        raise UserError(
            f"{_where(file)}: {cells} x {genes} numbers for {len(file.names)} cells and {len(file.genes)} genes; "
            "it is damaged: write it anew"
        )
    if len(set(file.genes)) < genes:
        twice = [name for name, count in Counter(file.genes).items() if count > 1]
        more = f" and {len(twice) - _NAMED} more" if len(twice) > _NAMED else ""
        raise UserError(
            f"{file.path}: names genes twice, {', '.join(twice[:_NAMED])}{more}; leave one of each out, or number "
            "them: adata.var_names_make_unique()"
        )


def _refuse(file: CellFile, cells: Array, part: Csr, wrong: Array, why: str) -> None:
    """Name the first of the stored numbers that are wrong.

    Raises:
        UserError: where there is one.
    """
    if not wrong.any():
        return
    place = int(np.argmax(wrong))
    cell = cells[int(np.searchsorted(part.indptr, place, side="right")) - 1]
    gene = file.genes[part.indices[place]]
    raise UserError(f"{_where(file)}: gene {gene} of cell {file.names[cell]} is {part.data[place]:g}; {why}")


def _remedy(file: CellFile, values: Array) -> str:
    """What to do about numbers that are no counts: a layer that holds some, or the scale that they look like."""
    for name in file.layers:
        try:
            other = open_cells(file.path, None if name == "X" else name)
            fits = all(_are_counts(part.data) for _, part in other.parts(spread(other.cells, _GLANCED)))
        except UserError:
            continue
        if fits:
            return f"the layer {name} holds counts, name it"
    if (values < 0).any():
        return "declare the scale scaled, or name a layer that holds counts"
    if (values <= _LARGEST_LOGARITHM).all():
        return "declare the scale lognorm, or name a layer that holds counts"
    return "these look normalised without a logarithm: take scanpy.pp.log1p and declare the scale lognorm"


def _are_counts(values: Array) -> bool:
    """Whether numbers could be counts, and are not all 0."""
    return bool(values.any() and np.isfinite(values).all() and (values >= 0).all() and (values % 1 == 0).all())


def _where(file: CellFile) -> str:
    return f"{file.path}: {file.layer or 'X'}"


def spread(count: int, most: int) -> Array:
    """Places of things, spread evenly from the first to the last.

    Args:
        count: of the things.
        most: places, at most.
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _text(value: Any) -> str:
    """A category as people write it."""
    return shown(value) if isinstance(value, (float, np.floating)) else str(value)

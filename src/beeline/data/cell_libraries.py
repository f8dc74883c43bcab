"""How much is counted in a cell, and counts of cells that a model made.

Libraries are those of training cells: of sample i the quantile u_i, uniform and a function of (seed, i), of the
libraries of its context, or of all where there are few of it. Counts k of G genes from values v, library L, target T:

    smooth values     (k, rest) ~ Multinomial(L; s p, 1 - s)      p = (exp(v) - 1) / sum over genes (exp(v) - 1)
    others            k = floor(x) + Bernoulli(x - floor(x))      x = (exp(v) - 1) L / T

s is the share of a library that falls on the genes that are modelled. Smooth values are expected ones, as principal
components give them: what counting adds has to be drawn, and rounding them would wipe out all low expression. Values
that a control cell was carried to have its counting noise in them already, and drawing once more would have it twice:
they become counts at the library of that very cell, whole numbers as they are and the others to either side of them, so
that no mean changes. So do samples of a model that makes every gene on its own, at a library drawn. Samples from noise
that are whole counts of some library already stay what they are.

The library of a cell is the least L for which all its (exp(v) - 1) L / T are whole; of a control cell that has none, as
generated ones may, answers are taken for smooth.

Shapes: n samples, G genes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from beeline.core.errors import RunError
from beeline.core.random import Key
from beeline.data.cell_choice import CellDescription, LibrarySizes
from beeline.data.cell_files import CellFile, check_scale, open_cells
from beeline.data.cell_matrices import Csr, opened
from beeline.data.cell_output import ABOUT
from beeline.data.cell_sets import FoundCells
from beeline.data.cell_stores import check_kind
from beeline.data.counted_cells import library_of, nearly_whole

Array = np.ndarray[Any, Any]
COUNTS, LIBRARY, TARGET = "counts", "library", "target"
_QUANTILES, _LEAST_CELLS = 101, 10
_MOST_COUNTS = 2**31 - 1


def library_quantiles(found: FoundCells, training: Array) -> tuple[LibrarySizes, ...]:
    """Libraries of all training cells, and of each context that has ten of them; none of other scales than counts.

    Args:
        found: cells, with their libraries.
        training: (N,) which are trained on.
    """
    target = found.description.target
    if target is None:
        return ()
    values = found.values
    rates = type(values)((np.expm1(values.data), values.indices, values.indptr), shape=values.shape)
    share = np.minimum(np.asarray(rates.sum(axis=1, dtype=np.float64)).reshape(-1) / target, 1.0)
    members: dict[tuple[str, ...], list[int]] = {(): np.flatnonzero(training).tolist()}
    for index in members[()] if found.contexts else ():
        members.setdefault(found.context(index), []).append(index)
    return tuple(
        LibrarySizes(context, _quantiles(found.library[chosen]), float(share[chosen].mean()))
        for context, chosen in members.items()
        if not context or len(chosen) >= _LEAST_CELLS
    )


def _quantiles(sizes: Array) -> tuple[float, ...]:
    return tuple(np.quantile(sizes, np.linspace(0, 1, _QUANTILES)).round(2).tolist())


@dataclass(frozen=True)
class Counted:
    """Samples as counts.

    Args:
        counts: (n, G) int32.
        library: (n,) int64, counts over all genes, those that are not modelled among them.
    """

    counts: Array
    library: Array


def counted(
    values: Array,
    description: CellDescription,
    contexts: Sequence[tuple[str, ...]],
    controls: Sequence[Array | None],
    smooth: bool,
    seed: int,
    first: int = 0,
) -> Counted:
    """Counts of samples; those of sample i depend on its values and on (seed, i) alone.

    Args:
        values: (n, G) log-normalised.
        description: of the training data, whose scale is counts.
        contexts: of each sample.
        controls: (G,) the control cell that each sample started from; None where it started from noise.
        smooth: whether samples from noise are expected values, without the noise of counting.
        seed: of the draws.
        first: number of the first sample.

    Raises:
        RunError: a value is not finite, or stands for more counts than int32 holds.
        ValueError: the training data have no libraries.
    """
    if description.target is None or not description.libraries:
        raise ValueError("counts are drawn where libraries are known")
    draws = Key.range(seed, first, len(values)).fold(LIBRARY).uniform().numpy()[:, 0]
    known = {each.context: each for each in description.libraries}
    found, libraries = np.zeros(values.shape, dtype=np.int32), np.zeros(len(values), dtype=np.int64)
    for place, (value, context, control) in enumerate(zip(values, contexts, controls, strict=True)):
        sizes = known.get(tuple(context), known[()])
        own = library_of(value if control is None else control, description.target)
        drawn = np.interp(draws[place], np.linspace(0, 1, len(sizes.quantiles)), sizes.quantiles)
        libraries[place] = max(1, round(drawn)) if own is None else own
        random = np.random.default_rng([seed, first + place, *COUNTS.encode()])
        rate = _rates(value)
        if own is None and (smooth or control is not None):
            found[place] = _multinomial(rate, int(libraries[place]), sizes.share, random)
        else:
            found[place] = _to_either_side(rate * (libraries[place] / description.target), random)
    return Counted(found, libraries)


def _rates(value: Array) -> Array:
    """exp(v) - 1, at least 0."""
    with np.errstate(over="ignore"):
        found = np.maximum(np.expm1(np.asarray(value, dtype=np.float64)), 0.0)
    if not np.isfinite(found).all():
        raise RunError(f"counts: a value of {np.max(value):g} stands for no count; the model has not learned the scale")
    return found


def _multinomial(rate: Array, library: int, share: float, random: np.random.Generator) -> Array:
    total = rate.sum()
    if total == 0:
        return np.zeros(len(rate), dtype=np.int32)
    chances = np.append(rate * (share / total), max(0.0, 1.0 - share))
    return random.multinomial(library, chances / chances.sum())[:-1].astype(np.int32)


def _to_either_side(expected: Array, random: np.random.Generator) -> Array:
    expected = nearly_whole(expected)
    if expected.max(initial=0.0) > _MOST_COUNTS - 1:
        raise RunError(f"counts: {expected.max():g} of one gene; the model has not learned the scale")
    low = np.floor(expected)
    return (low + (random.random(len(low)) < expected - low)).astype(np.int32)


@dataclass(frozen=True)
class GeneratedCells:
    """Cells that a model of ours made, as counts.

    Args:
        genes: (G,) names.
        rows: (n, G) counts, or expected ones, sparse.
        library: (n,) of each.
    """

    genes: tuple[str, ...]
    rows: Csr
    library: Array


def generated_cells(path: Path) -> GeneratedCells | None:
    """The cells of an .h5ad that ``sample`` wrote with a model of counts; None of any other file.

    Its X holds logarithms. Counts are those of the layer, at the libraries in obs; without them, what X stands for.

    Args:
        path: of the file.

    Raises:
        UserError: it cannot be read.
    """
    check_kind(path)
    with opened(path) as handle:
        about = {name: _read(handle, f"uns/{ABOUT}/{name}") for name in ("scale", TARGET)}
        has_counts = f"layers/{COUNTS}" in handle
    if about["scale"] != COUNTS:
        return None
    file = open_cells(path, COUNTS if has_counts else None)
    if has_counts and LIBRARY in file.columns:
        check_scale(file, "counts")
        return GeneratedCells(file.genes, _all(file), np.asarray(file.column(LIBRARY), dtype=np.float64))
    if has_counts:
        file = open_cells(path)
    if about[TARGET] is None:
        return None
    check_scale(file, "lognorm")
    rates = _all(file).astype(np.float64)
    rates.data = np.expm1(rates.data)
    return GeneratedCells(file.genes, rates, np.full(file.cells, float(about[TARGET])))


def layer_of(path: Path, layer: str | None) -> str | None:
    """The layer that holds the numbers of a file: X of cells that a model of ours made, whatever the data call theirs.

    Args:
        path: of the file.
        layer: of the training data.

    Raises:
        UserError: it cannot be read.
    """
    check_kind(path)
    with opened(path) as handle:
        return None if f"uns/{ABOUT}/scale" in handle else layer


def _all(file: CellFile) -> Csr:
    return file.rows(np.arange(file.cells))


def _read(handle: Any, name: str) -> Any:
    """A text or number of a file; None where it is not there."""
    if name not in handle:
        return None
    value = handle[name][()]
    return value.decode() if isinstance(value, bytes) else value

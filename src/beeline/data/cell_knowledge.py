"""What is known of perturbations before they are seen: features of each, by which unseen ones are answered.

Of a perturbation named after a gene, that gene's row of the correlation matrix of all genes in training cells (control
cells where there are enough), along its first principal directions, see ``cell_features``; or its row of a user's file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from beeline.core.data import evenly
from beeline.core.errors import UserError, whole_number
from beeline.data.cell_choice import normalised
from beeline.data.cell_features import coexpression_features, joined_features, read_embeddings
from beeline.data.cell_files import open_cells
from beeline.data.cell_sets import FoundCells

Array = np.ndarray[Any, Any]
COEXPRESSION = "coexpression"
_MOST_NUMBERS = 20_000_000
_MOST_STORED = 500_000
_MOST_TOLD = 8


@dataclass(frozen=True)
class PerturbationFeatures:
    """Features of perturbations, those of training first.

    Args:
        names: P of them.
        rows: (P, F) their features, NaN where they have none.
        trained: how many of the names training has.
        asked: names of the data, in training or held out.
    """

    names: tuple[str, ...]
    rows: Array
    trained: int
    asked: tuple[str, ...]

    @property
    def lacking(self) -> tuple[str, ...]:
        """Names of the data that have no features."""
        return tuple(name for name in self.asked if name not in self.told_of)

    @property
    def told_of(self) -> frozenset[str]:
        """Names that have features."""
        return frozenset(name for name, row in zip(self.names, self.rows, strict=True) if not np.isnan(row).all())

    def told(self, how: str) -> list[str]:
        """What was found, in words.

        Args:
            how: ``coexpression`` or a file.
        """
        source = "co-expression of training cells" if how == COEXPRESSION else Path(how).name
        lines = [f"{len(self.told_of):,} names have {self.rows.shape[1]} features each, from {source}"]
        if self.lacking:
            more = f" and {len(self.lacking) - _MOST_TOLD} more" if len(self.lacking) > _MOST_TOLD else ""
            why = "not measured, or the same in all cells" if how == COEXPRESSION else "not in that file"
            lines.append(f"no features of {', '.join(self.lacking[:_MOST_TOLD])}{more}: {why}")
        return lines


def perturbation_features(
    found: FoundCells, held_out: Array, how: str, size: int, layer: str | None = None
) -> PerturbationFeatures:
    """Features of all perturbations of the data, and of others that may be asked for.

    Args:
        found: the cells.
        held_out: (N,) which are kept from training, and not looked at.
        how: ``coexpression``, or a file of embeddings.
        size: features of co-expression, at most the cells less one and the genes.
        layer: of the file of the cells, for genes that are measured and not modelled.

    Raises:
        UserError: no perturbation of training has features.
    """
    trained = _names(found, ~held_out)
    asked = tuple(dict.fromkeys((*trained, *_names(found, held_out))))
    if not trained:
        raise UserError("features: no training cell is under a perturbation; leave features out")
    if how == COEXPRESSION:
        known, rows = _coexpression(found, held_out, asked, size, layer)
        if not set(known) & set(trained):
            raise UserError(
                f"features coexpression: no perturbation of training, such as {trained[0]}, has the name of a "
                f"measured gene, such as {found.description.genes[0]}; name a file of them, --data.features FILE.csv"
            )
    else:
        known, rows = read_embeddings(how)
    if rows.size > _MOST_STORED:  # they are stored with the model
        chosen = [place for place, name in enumerate(known) if name in set(asked)]
        known, rows = tuple(known[place] for place in chosen), rows[chosen]
    names, rows = joined_features(trained, known, rows)
    return PerturbationFeatures(names, rows, len(trained), asked)


def lasting(how: str | None) -> str | None:
    """The option that means the same wherever it is read: a file by its whole path.

    Args:
        how: ``coexpression``, a file, or None.
    """
    return how if how is None or how == COEXPRESSION else str(Path(how).expanduser().absolute())


def check_answerable(found: FoundCells, held_out: Array, known: PerturbationFeatures | None) -> None:
    """Refuse held-out cells under a perturbation of which a model can know nothing.

    Args:
        found: the cells.
        held_out: (N,) which are kept from training.
        known: features; None without.

    Raises:
        UserError: naming them.
    """
    told = set(_names(found, ~held_out))
    if known is not None:
        told |= known.told_of
    strange = [name for name in _names(found, held_out) if name not in told]
    if strange:
        more = f" and {len(strange) - _MOST_TOLD} more" if len(strange) > _MOST_TOLD else ""
        mend = f"give features of them, --data.features {COEXPRESSION if known is None else 'FILE.csv'}"
        raise UserError(
            f"{', '.join(strange[:_MOST_TOLD])}{more}: held out in all cells and without features, so that nothing is "
            f"known of what they do; {mend}, or leave those cells out"
        )


def _names(found: FoundCells, chosen: Array) -> tuple[str, ...]:
    """Perturbations of some cells, in alphabetical order."""
    return tuple(sorted({name for place in np.flatnonzero(chosen) for name in found.perturbations[place]}))


def _coexpression(
    found: FoundCells, held_out: Array, asked: Sequence[str], size: int, layer: str | None
) -> tuple[tuple[str, ...], Array]:
    """Names of genes and their rows."""
    whole_number("feature_size", size, 1)
    cells = np.flatnonzero(~held_out)
    control = np.array([place for place in cells.tolist() if not found.perturbations[place]], dtype=np.int64)
    cells = control if len(control) > max(2 * size, len(cells) // 50) else cells
    genes = found.description.genes
    cells = cells[list(evenly(cells, max(2, _MOST_NUMBERS // len(genes))))]
    values, genes = _with_further(found, cells, [name for name in asked if name not in set(genes)], layer)
    varies = values.max(axis=0) > values.min(axis=0)
    known = tuple(name for name, each in zip(genes, varies.tolist(), strict=True) if each)
    size = min(size, len(cells) - 1, len(genes))
    return known, coexpression_features(values, genes, known, size)


def _with_further(
    found: FoundCells, cells: Array, names: Sequence[str], layer: str | None
) -> tuple[Array, tuple[str, ...]]:
    """Values of cells, those of genes that are measured and not modelled beside them: (n, G + extra)."""
    values, genes = found.rows(cells), found.description.genes
    left_out = {name for each in found.description.left_out for name in each.genes}
    further = [name for name in names if name in left_out]
    if not further:
        return values, genes
    file = open_cells(found.path, layer)
    places = np.array([file.genes.index(name) for name in further])
    rows = file.rows(cells if found.places is None else found.places[cells])
    about = found.description
    more = normalised(rows, found.library[cells], about.target, about.scale, places)
    return np.concatenate([values, more], axis=1), (*genes, *further)

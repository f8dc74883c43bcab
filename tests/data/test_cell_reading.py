"""Cells that a trained model is given."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest

from beeline.core.errors import UserError
from beeline.data.cell_choice import CellDescription
from beeline.data.cell_output import as_anndata
from beeline.data.cell_reading import CellWishes, cells_brought, given_cells
from tests.data.cells import COUNTS, LOGS, NAMES, adata, written

KNOWN = CellDescription(NAMES, "counts", 20.0, 100)
WISHES = CellWishes(Path(), None, "counts", None, "control", (), (), (), None, 0.2, 3, None)


def test_given_cells_without_counts_are_refused_and_named(tmp_path: Path) -> None:
    counts = COUNTS.copy()
    counts[[4, 9]] = 0
    path = written(tmp_path, adata(counts))
    for read in (lambda: given_cells(path, KNOWN), lambda: cells_brought(path, KNOWN, WISHES)):
        with pytest.raises(UserError, match=r"2 of 60 cells have no counts at all.* first of them cell-4; leave them"):
            read()
    np.testing.assert_allclose(given_cells(written(tmp_path, adata(COUNTS)), KNOWN), LOGS, rtol=1e-5)
    other = COUNTS.copy()
    other[2, 5:] = 0
    other[2, :5] = 3
    few = CellDescription(NAMES[5:], "counts", 20.0, 100)
    with pytest.raises(UserError, match="1 of 60 cells have no counts at all of the genes of the training data"):
        given_cells(written(tmp_path, adata(other)), few)
    logs = LOGS.copy()
    logs[4] = 0
    found = given_cells(written(tmp_path, adata(logs)), CellDescription(NAMES, "lognorm", None, 100))
    assert not found[4].any(), "as training takes them"


def test_generated_cells_of_no_library_are_refused_as_well(tmp_path: Path) -> None:
    library = [float(each) for each in np.maximum(COUNTS.sum(axis=1), 1)]
    library[7] = 0.0
    about = {"target": 20.0}
    made: anndata.AnnData = as_anndata(LOGS, NAMES, {"library": library}, about, "counts", COUNTS.astype(np.int32))
    with pytest.raises(UserError, match=r"1 of 60 cells have no counts at all.* first of them"):
        given_cells(written(tmp_path, made), KNOWN)

"""Generated cells as AnnData: names, what was asked and provenance come back from an .h5ad; counts come back whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from scipy.sparse import csr_matrix, issparse

from beeline.core.errors import RunError, UserError
from beeline.data.cell_choice import normalised
from beeline.data.cell_files import check_scale, open_cells
from beeline.data.cell_output import as_anndata, h5ad_bytes, to_counts
from tests.data.cells import CELLS, COUNTS, GENES, LOGS, NAMES

OBS: dict[str, Any] = {
    "cell_type": ["T", None, "B"] * 20,
    "perturbation": [("IFNGR1", "JAK2"), (), ("STAT1",)] * 20,
    "dose": [0.5, None, 2] * 20,
    "seed": list(range(CELLS)),
    "unknown": [None] * CELLS,
    "treated": [True, False, True] * 20,
}
UNS = {"run": "runs/cells", "steps": 20, "guidance": np.float32(1.5), "when": None, "asked": {"a/b": [1, "x"]}}


def test_names_conditions_and_provenance_come_back_from_a_file(tmp_path: Path) -> None:
    data = as_anndata(LOGS, NAMES, OBS, UNS, "counts", COUNTS.astype(np.int32))
    path = tmp_path / "generated.h5ad"
    path.write_bytes(h5ad_bytes(data))
    back = anndata.read_h5ad(path)
    assert tuple(back.var_names) == NAMES
    assert list(back.obs_names[[0, 12, 59]]) == ["generated-000000", "generated-000012", "generated-000059"]
    assert back.obs_names.is_unique
    assert back.uns["beeline"]["run"] == "runs/cells"
    assert (back.uns["beeline"]["steps"], back.uns["beeline"]["guidance"]) == (20, 1.5)
    assert json.loads(back.uns["beeline"]["asked"]) == {"a/b": [1, "x"]}
    assert json.loads(back.uns["beeline"]["when"]) is None
    assert back.uns["beeline"]["scale"] == "counts"
    assert "log1p" in back.uns
    for layer, scale, expected in ((None, "lognorm", LOGS), ("counts", "counts", COUNTS)):
        file = open_cells(path, layer)
        np.testing.assert_array_equal(file.rows(np.arange(CELLS)).toarray(), expected)
        check_scale(file, scale)  # type: ignore[arg-type]
    assert file.genes == NAMES
    assert file.column("cell_type").tolist() == OBS["cell_type"]
    assert file.column("perturbation")[:3].tolist() == ["IFNGR1+JAK2", "", "STAT1"]
    np.testing.assert_array_equal(file.column("dose")[:3], [0.5, np.nan, 2])
    np.testing.assert_array_equal(file.column("seed"), np.arange(CELLS))
    assert file.column("unknown").tolist() == [None] * CELLS
    assert file.column("treated")[:2].tolist() == ["True", "False"]


def test_numbers_are_sparse_where_most_are_zero() -> None:
    few = np.where(LOGS > 1, LOGS, 0)
    assert (few == 0).mean() > 0.5
    assert as_anndata(few, NAMES, {}, {}, "lognorm").X.format == "csr"
    assert as_anndata(few, NAMES, {}, {}, "lognorm").X.dtype == np.float32
    assert not issparse(as_anndata(LOGS + 1, NAMES, {}, {}, "lognorm").X)
    scaled = as_anndata(LOGS - 1, NAMES, {}, {}, "scaled")
    assert "log1p" not in scaled.uns
    assert not scaled.layers


def test_scanpy_goes_on_from_there() -> None:
    import scanpy

    data = as_anndata(LOGS, NAMES, {"kind": ["a", "b"] * 30}, {}, "counts")
    scanpy.tl.rank_genes_groups(data, "kind", method="t-test")
    assert set(data.uns["rank_genes_groups"]["names"]["a"]) == set(NAMES)


def test_parts_that_do_not_fit_are_refused() -> None:
    wrong = LOGS.copy()
    wrong[3, 4] = np.nan
    for arguments, error, told in (
        ((LOGS, NAMES[:-1], {}), UserError, r"cells of shape \(60, 25\) for 24 genes"),
        ((LOGS, (*NAMES[:-1], "G0"), {}), UserError, "named twice"),
        ((LOGS, NAMES, {"kind": ["a"]}), UserError, "obs kind: 1 values for 60 cells"),
        ((LOGS, NAMES, {"a/b": ["a"] * CELLS}), UserError, "holds no '/'"),
        ((wrong, NAMES, {}), RunError, "gene G4 of generated cell 3 is nan"),
    ):
        with pytest.raises(error, match=told):
            as_anndata(*arguments, {}, "counts")
    with pytest.raises(UserError, match="counts of shape"):
        as_anndata(LOGS, NAMES, {}, {}, "counts", COUNTS[:4])


@pytest.mark.parametrize("largest", [1, 30, 3_000, 100_000])
def test_counts_come_back_from_their_logarithms_as_they_were(largest: int) -> None:
    random = np.random.default_rng(largest)
    counts = random.integers(0, largest + 1, (CELLS, GENES)) * (random.random((CELLS, GENES)) < 0.4)
    others = random.integers(0, 10 * largest, CELLS)  # counts of genes that are not modelled
    library = (counts.sum(1) + others).astype(np.float64)
    target = float(np.median(library))
    values = normalised(csr_matrix(counts.astype(np.float32)), library, target, "counts", np.arange(GENES))
    back = to_counts(values, library, target)
    assert back.dtype == np.int32
    np.testing.assert_array_equal(back, counts)


def test_counts_are_rounded_never_negative_and_never_too_large() -> None:
    values = np.log1p(np.array([[0.49, 0.51, 1.5, 2.5], [0.2, 0.3, 1.2, 0]]))
    values[1, 3] = -3
    np.testing.assert_array_equal(to_counts(values, np.array([10, 20]), 10.0), [[0, 1, 2, 2], [0, 1, 2, 0]])
    for wrong in (30.0, 1000.0, np.nan):
        with pytest.raises(RunError, match="stands for no count"):
            to_counts(np.array([[wrong]]), np.array([10]), 10.0)

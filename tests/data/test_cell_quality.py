"""Quality of cells: what scanpy computes, by blocks and from files that stay on disk; who is left out and why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from beeline.core.errors import UserError
from beeline.data import cell_files, cell_matrices
from beeline.data.cell_files import open_cells
from beeline.data.cell_quality import CellLimits, fit_cells, quality_of
from tests.data.cells import CELLS, COUNTS, LOGS, NAMES, adata, written

MITOCHONDRIAL = ("MT-A", "mt-b", "MTOR")


def mitochondrial_file(folder: Path) -> Path:
    """Counts in which genes 0 and 1 are mitochondrial, gene 2 is not, and cell 7 has none at all."""
    counts = COUNTS.copy()
    counts[7] = 0
    data = adata(csr_matrix(counts))
    data.var_names = [*MITOCHONDRIAL, *NAMES[3:]]
    return written(folder, data)


@pytest.mark.parametrize("backed", [False, True])
def test_quality_is_what_scanpy_computes_whatever_the_blocks(
    backed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import anndata
    import scanpy

    path = mitochondrial_file(tmp_path)
    data = anndata.read_h5ad(path)
    data.var["mt"] = data.var_names.str.startswith(("MT-", "mt-"))
    expected, _ = scanpy.pp.calculate_qc_metrics(data, qc_vars=["mt"], percent_top=None, log1p=False)
    if backed:
        monkeypatch.setattr(cell_matrices, "_MOST_HELD", 10)
        monkeypatch.setattr(cell_files, "_NUMBERS_AT_ONCE", 7 * len(NAMES))
    found = quality_of(open_cells(path))
    np.testing.assert_array_equal(found.genes, expected["n_genes_by_counts"])
    np.testing.assert_array_equal(found.counts, expected["total_counts"])
    np.testing.assert_array_equal(found.mitochondrial, expected["total_counts_mt"])
    share = np.nan_to_num(expected["pct_counts_mt"].to_numpy()) / 100
    np.testing.assert_allclose(found.share, share, rtol=1e-6)
    assert 0 < found.share.max() < 1


def test_zeros_that_are_stored_are_not_seen(tmp_path: Path) -> None:
    stored = csr_matrix(COUNTS)
    stored.data[:40] = 0
    found = quality_of(open_cells(written(tmp_path, adata(stored))))
    np.testing.assert_array_equal(found.genes, (stored.toarray() != 0).sum(axis=1))


def test_cells_are_left_out_by_the_first_limit_that_they_fail(tmp_path: Path) -> None:
    file = open_cells(mitochondrial_file(tmp_path))
    found = quality_of(file)
    limits = CellLimits(min_genes=11, min_counts=15, max_mitochondrial=0.15)
    places, told = fit_cells(file, limits, "counts")
    fits = (found.counts >= 15) & (found.genes >= 11) & (found.share <= 0.15)
    np.testing.assert_array_equal(places, np.flatnonzero(fits))
    few, unseen = (found.counts < 15).sum(), ((found.counts >= 15) & (found.genes < 11)).sum()
    counts = {"fewer than 15 counts": few, "fewer than 11 genes seen": unseen}
    counts["over 0.15 of the counts mitochondrial"] = CELLS - len(places) - few - unseen
    assert {each.why: each.cells for each in told} == {why: count for why, count in counts.items() if count}
    assert len(told) == 3
    some = file.only(places)
    np.testing.assert_array_equal(some.rows(np.arange(some.cells)).toarray(), file.rows(places).toarray())
    assert some.names.tolist() == file.names[places].tolist()
    assert some.column("dose").tolist()[1:3] == file.column("dose")[places].tolist()[1:3]
    every, nothing = fit_cells(file, CellLimits(), "counts")
    assert (len(every), nothing) == (CELLS, ())


def test_limits_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    file = open_cells(written(tmp_path, adata()))
    logs = open_cells(written(tmp_path, adata(LOGS), "logs.h5ad"))
    for source, limits, scale, told in (
        (file, CellLimits(max_mitochondrial=0.1), "counts", "no gene of cells.h5ad has a name that starts with MT-"),
        (file, CellLimits(min_counts=10_000), "counts", r"no cell is left of 60 \(60 fewer than 10,000 counts\); the"),
        (logs, CellLimits(min_counts=10), "lognorm", "min_counts: is of counts, and the scale is lognorm"),
        (logs, CellLimits(max_mitochondrial=0.1), "lognorm", "max_mitochondrial: is of counts"),
        (logs, CellLimits(min_genes=3), "scaled", "scaled values do not say which genes were seen"),
    ):
        with pytest.raises(UserError, match=told):
            fit_cells(source, limits, scale)  # type: ignore[arg-type]
    places, _ = fit_cells(logs, CellLimits(min_genes=11), "lognorm")
    np.testing.assert_array_equal(places, np.flatnonzero((COUNTS > 0).sum(axis=1) >= 11))
    with pytest.raises(UserError, match="between 0 and 1"):
        CellLimits(max_mitochondrial=20)
    with pytest.raises(UserError, match="min_genes -1"):
        CellLimits(min_genes=-1)

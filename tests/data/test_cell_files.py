"""Files of single cells: what is read, by which names, in how much memory, and what is refused in which words."""

from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pytest
import torch
from scipy.sparse import csc_matrix, csr_matrix

from beeline.core.errors import UserError
from beeline.data.cell_choice import CellDescription, normalised, select_genes
from beeline.data.cell_files import check_scale, library_sizes, open_cells
from beeline.data.cell_matrices import BackedMatrix, HeldMatrix
from tests.data.cells import CELLS, COUNTS, GENES, LOGS, NAMES, adata, written

BACKED = "beeline.data.cell_matrices._MOST_HELD"
STORED = [(np.asarray, "f2"), *itertools.product((csr_matrix, csc_matrix, np.asarray), ("f4", "f8", "i8", "u2", "?"))]
INDEX = np.array([7, 3, 3, 59, 8, 9, 0])


@pytest.mark.parametrize("backed", [False, True])
@pytest.mark.parametrize(("kind", "dtype"), STORED)
def test_rows_are_those_of_the_file(
    kind: Any, dtype: str, backed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = COUNTS.astype(dtype)
    path = written(tmp_path, adata(kind(numbers)))
    if backed:
        monkeypatch.setattr(BACKED, 10)
        if kind is csc_matrix:
            with pytest.raises(UserError, match=r"stored by columns \(CSC\).*a\.X = a\.X\.tocsr\(\)"):
                open_cells(path)
            return
    file = open_cells(path)
    assert isinstance(file._matrix, BackedMatrix if backed else HeldMatrix)
    assert (file.genes, file.cells) == (NAMES, CELLS)
    for index in (INDEX, np.arange(CELLS), np.arange(0)):
        rows = file.rows(index)
        assert (rows.format, rows.dtype, rows.shape) == ("csr", np.float32, (len(index), GENES))
        np.testing.assert_array_equal(rows.toarray(), numbers.astype(np.float32)[index])
    again = pickle.loads(pickle.dumps(file))
    np.testing.assert_array_equal(again.rows(INDEX).toarray(), numbers.astype(np.float32)[INDEX])
    np.testing.assert_array_equal(library_sizes(file), numbers.astype(np.float64).sum(1))
    with pytest.raises(IndexError):
        file.rows(np.array([CELLS]))


def test_a_backed_file_reads_only_the_rows_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, adata())
    monkeypatch.setattr(BACKED, 10)
    file = open_cells(path)
    file.rows(np.array([0]))
    read: list[Any] = []
    original = h5py.Dataset.__getitem__

    def noted(self: Any, key: Any) -> Any:
        read.append(key)
        return original(self, key)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", noted)
    file.rows(np.array([9, 3, 4]))
    ends = np.concatenate([[0], np.cumsum((COUNTS != 0).sum(1))])
    spans = [slice(ends[3], ends[5]), slice(ends[9], ends[10])]
    assert read == spans * 2


def test_a_forked_process_opens_the_file_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, adata())
    monkeypatch.setattr(BACKED, 10)
    file = open_cells(path)
    assert isinstance(file._matrix, BackedMatrix)
    file.rows(INDEX)
    first = file._matrix._file
    file.rows(INDEX)
    assert file._matrix._file is first
    monkeypatch.setattr(os, "getpid", lambda: -1)
    np.testing.assert_array_equal(file.rows(INDEX).toarray(), COUNTS[INDEX])
    assert file._matrix._file is not first


@pytest.mark.parametrize("package", ["anndata", "h5py"])
def test_what_is_not_installed_is_named_with_its_extra(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, adata())
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"needs the package {package}; pip install 'beeline\[cells\]'"):
        open_cells(path)


def test_layers_are_named_and_raw_has_genes_of_its_own(tmp_path: Path) -> None:
    data = adata(LOGS[:, :20])
    data.layers["counts"] = csr_matrix(COUNTS[:, :20])
    data.raw = adata(csr_matrix(2 * COUNTS))
    path = written(tmp_path, data)
    assert open_cells(path).layers == ("raw", "counts")
    np.testing.assert_array_equal(open_cells(path).rows(INDEX).toarray(), LOGS[INDEX, :20])
    np.testing.assert_array_equal(open_cells(path, "counts").rows(INDEX).toarray(), COUNTS[INDEX, :20])
    raw = open_cells(path, "raw")
    assert raw.genes == NAMES
    np.testing.assert_array_equal(raw.rows(INDEX).toarray(), 2 * COUNTS[INDEX])
    with pytest.raises(UserError, match=r"unknown layer 'count'; did you mean 'counts'\?"):
        open_cells(path, "count")
    data = anndata.AnnData(shape=(CELLS, 20), layers={"counts": COUNTS[:, :20]})
    with pytest.raises(UserError, match="X is missing; name a layer, of counts"):
        open_cells(written(tmp_path, data))


def test_columns_are_texts_or_numbers_and_say_what_is_missing(tmp_path: Path) -> None:
    data = adata()
    data.obs["grade"] = (data.obs["plate"] / 1.0).astype("category")
    data.obs["known"] = data.obs["dose"].fillna(0).astype(int).astype("Int64")
    data.obs.loc["cell-5", "known"] = None
    file = open_cells(written(tmp_path, data))
    assert file.column("cell_type").tolist() == ["T", "B", None] * 20
    np.testing.assert_array_equal(file.column("dose"), data.obs["dose"].to_numpy())
    assert file.column("plate").dtype == np.float64
    assert file.column("treated").tolist() == ["True", "False"] * 30
    assert file.column("grade")[[0, 15, 59]].tolist() == ["0", "1", "5"]
    assert np.flatnonzero(np.isnan(file.column("known"))).tolist() == [5]
    with pytest.raises(UserError, match=r"unknown column of obs 'celltype'; did you mean 'cell_type'\?"):
        file.column("celltype")


def test_what_is_no_file_of_cells_is_refused_in_words(tmp_path: Path) -> None:
    whole = written(tmp_path, adata())
    cut, text, empty = (tmp_path / name for name in ("cut.h5ad", "text.h5ad", "empty.h5ad"))
    cut.write_bytes(whole.read_bytes()[:-2000])
    text.write_text("gene,cell\n")
    empty.touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "cells.zarr").mkdir()
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["matrix"] = COUNTS
    words = {
        tmp_path / "none.h5ad": "no such file",
        tmp_path / "folder": "is a folder",
        tmp_path / "cells.zarr": "is zarr.*read_zarr",
        cut: "the file cannot be read .*damaged",
        text: r"is no \.h5ad",
        empty: "is empty",
        tmp_path / "other.h5": "without obs and var.*read_10x_h5",
        written(tmp_path, adata(np.zeros((3, 0), np.float32)), "genes.h5ad"): "holds no genes",
        written(tmp_path, adata(np.zeros((0, 3), np.float32)), "cells_.h5ad"): "holds no cells",
    }
    for path, told in words.items():
        with pytest.raises(UserError, match=told) as caught:
            open_cells(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_genes_named_twice_are_named(tmp_path: Path) -> None:
    data = adata()
    data.var_names = ["TP53", "MYC", "TP53", "MYC", *NAMES[4:]]
    with pytest.raises(UserError, match=r"names genes twice, TP53, MYC;.*var_names_make_unique"):
        open_cells(written(tmp_path, data))


@pytest.mark.parametrize("backed", [False, True])
@pytest.mark.parametrize("part", ["indices", "indptr", "shape"])
def test_a_damaged_matrix_is_refused(part: str, backed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, adata())
    monkeypatch.setattr(BACKED, 10 if backed else 10**9)
    with h5py.File(path, "r+") as handle:
        if part == "shape":
            handle["X"].attrs["shape"] = (CELLS, GENES + 1)
        else:
            handle["X"][part][3] = 10**6
    with pytest.raises(UserError, match="damaged"):
        open_cells(path).rows(np.arange(CELLS))


def test_a_scale_is_held_against_the_numbers(tmp_path: Path) -> None:
    kinds: list[Any] = [np.asarray, csr_matrix]

    def refused(numbers: Any, scale: Any, told: str) -> None:
        kinds.reverse()
        file = open_cells(written(tmp_path, adata(kinds[0](numbers))))
        with pytest.raises(UserError, match=told) as caught:
            check_scale(file, scale)
        assert "\n" not in str(caught.value)

    scaled, linear, missing, infinite, counts = LOGS - 1, 20 * LOGS + 3, LOGS.copy(), LOGS.copy(), COUNTS.copy()
    missing[4, 5], infinite[6, 7], counts[8, 9] = np.nan, np.inf, 0.5
    for numbers, scale in ((COUNTS, "counts"), (LOGS, "lognorm"), (scaled, "scaled"), (COUNTS, "scaled")):
        check_scale(open_cells(written(tmp_path, adata(numbers))), scale)  # type: ignore[arg-type]
    refused(counts, "counts", "X: gene G9 of cell cell-8 is 0.5; counts are whole numbers; declare the scale lognorm")
    refused(scaled, "counts", "counts are never negative; declare the scale scaled")
    refused(linear, "counts", r"counts are whole numbers; .*take scanpy\.pp\.log1p and declare the scale lognorm")
    refused(scaled, "lognorm", r"log\(1 \+ x\) is never negative; declare the scale scaled")
    refused(20 * COUNTS, "lognorm", "values over 30 cannot be logarithms; declare the scale counts")
    refused(COUNTS, "lognorm", "are whole, up to 5: these are counts, not logarithms; declare the scale counts")
    refused(np.zeros_like(COUNTS), "counts", "zeros alone")
    for scale in ("counts", "lognorm", "scaled"):
        refused(missing, scale, "gene G5 of cell cell-4 is nan; need finite numbers")
        refused(infinite, scale, "gene G7 of cell cell-6 is inf; need finite numbers")
    refused(COUNTS, "log", "unknown scale 'log'; did you mean 'lognorm'")
    with pytest.raises(UserError, match="gene G5 of cell cell-4 is nan"):
        library_sizes(open_cells(written(tmp_path, adata(missing))))


def test_a_layer_that_holds_counts_is_proposed(tmp_path: Path) -> None:
    data = adata(LOGS)
    data.layers["spliced"] = LOGS / 2
    data.layers["umi"] = csr_matrix(COUNTS)
    with pytest.raises(UserError, match="counts are whole numbers; the layer umi holds counts, name it"):
        check_scale(open_cells(written(tmp_path, data)), "counts")


def test_only_some_cells_are_looked_at_and_they_span_the_file(tmp_path: Path) -> None:
    counts = COUNTS.copy()
    counts[-1, 3] = -1
    file = open_cells(written(tmp_path, adata(counts)))
    with pytest.raises(UserError, match="gene G3 of cell cell-59 is -1"):
        check_scale(file, "counts", rows=2)
    counts[-1, 3], counts[1, 3] = 1, -1
    check_scale(open_cells(written(tmp_path, adata(counts))), "counts", rows=2)


def planted(cells: int = 400, genes: int = 603, variable: int = 10) -> tuple[np.ndarray[Any, Any], list[str]]:
    """Counts of one mean each, of which some differ between two kinds of cells, two are in two cells, one in none."""
    random = np.random.default_rng(1)
    rate = random.uniform(2, 4, genes)[None].repeat(cells, 0)
    rate[: cells // 2, :variable] *= 1.9
    rate[cells // 2 :, :variable] *= 0.1
    counts = random.poisson(rate).astype(np.float32)
    counts[:, -3:] = 0
    counts[:2, -3:-1] = 9
    return counts, [f"G{number}" for number in range(variable)]


@pytest.mark.parametrize("scale", ["counts", "lognorm"])
def test_genes_are_selected_by_what_was_planted_and_the_others_recorded(
    scale: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, wanted = planted()
    sizes = counts.sum(1)
    target = float(np.median(sizes[::2]))
    numbers = counts if scale == "counts" else np.log1p(counts / sizes[:, None] * target)
    file = open_cells(written(tmp_path, adata(csr_matrix(numbers))))
    rows = np.arange(0, 400, 2)
    known = select_genes(file, rows, scale, min_cells=3, highly_variable=10)
    assert known.genes == tuple(wanted)
    assert known.counts_left_out == {"in fewer than 3 cells": 3, "not highly variable": 590}
    assert known.left_out[0].genes == ("G600", "G601", "G602")
    assert {*known.genes, *(name for each in known.left_out for name in each.genes)} == set(file.genes)
    assert (known.target, known.cells, known.empty, known.compared) == (
        target if scale == "counts" else None,
        200,
        0,
        200,
    )
    assert CellDescription.read(known.text()) == known
    with pytest.raises(UserError, match="is written by training"):
        CellDescription.read("[]")
    monkeypatch.setattr("beeline.data.cell_choice._MOST_COMPARED", int((counts[rows] > 0).sum() * 0.501))
    fewer = select_genes(file, rows, scale, highly_variable=10)
    assert (fewer.compared, fewer.genes, fewer.target) == (100, known.genes, known.target)


def test_the_choice_is_scanpys_own_and_sees_training_cells_alone(tmp_path: Path) -> None:
    import scanpy

    counts, _ = planted()
    file = open_cells(written(tmp_path, adata(csr_matrix(counts))))
    rows = np.arange(150, 350)
    own = select_genes(file, rows, "counts", min_cells=1, highly_variable=50)
    assert torch.get_num_threads() == 1, "numba's kernels leave the number of threads as it was"
    data = adata(csr_matrix(counts))[rows].copy()
    scanpy.pp.filter_genes(data, min_cells=1)
    scanpy.pp.normalize_total(data)
    scanpy.pp.log1p(data)
    scanpy.pp.highly_variable_genes(data, n_top_genes=50)
    torch.set_num_threads(1)
    assert own.genes == tuple(data.var_names[data.var["highly_variable"]])
    changed = counts.copy()
    changed[:150], changed[350:] = 0, 7
    again = open_cells(written(tmp_path, adata(csr_matrix(changed)), "changed.h5ad"))
    assert select_genes(again, rows, "counts", min_cells=1, highly_variable=50) == own


def test_all_genes_stay_where_none_is_to_go_and_what_cannot_be_chosen_is_refused(tmp_path: Path) -> None:
    counts = COUNTS.copy()
    counts[4] = 0
    file = open_cells(written(tmp_path, adata(counts)))
    everything = np.arange(CELLS)
    known = select_genes(file, everything, "counts", 0, highly_variable=100)
    assert (known.genes, known.left_out, known.compared, known.empty) == (NAMES, (), 0, 1)
    assert known.target == np.median(np.delete(counts, 4, 0).sum(1))
    assert select_genes(file, everything, "scaled", 0).target is None
    for changes, told in (
        ({"min_cells": 61}, "no gene is seen in 61 of 60 training cells; lower min_cells"),
        ({"scale": "scaled", "highly_variable": 5}, "highly_variable: scaled values"),
        ({"highly_variable": 0}, "highly_variable 0: must be at least 1"),
        ({"training_rows": everything[:1]}, "there is 1; need 2"),
    ):
        with pytest.raises(UserError, match=told):
            select_genes(file, **({"training_rows": everything, "scale": "counts"} | changes))  # type: ignore[arg-type]


def test_genes_of_another_file_are_found_by_name(tmp_path: Path) -> None:
    known = CellDescription(("G3", "G1", "G2"), "counts", 20.0, 60)
    np.testing.assert_array_equal(known.places(["G1", "X", "G2", "G3"], "other.h5ad"), [3, 0, 2])
    with pytest.raises(UserError, match=r"other\.h5ad: lacks 2 of the 3 genes that are modelled: G3, G2;"):
        known.places(["G1", "X"], "other.h5ad")


def test_values_are_logarithms_of_counts_and_other_scales_stay() -> None:
    counts = COUNTS.copy()
    counts[2] = 0
    genes = np.array([4, 1, 24])
    values = normalised(csr_matrix(counts), counts.sum(1), 17.0, "counts", genes)
    sizes = np.maximum(counts.sum(1, keepdims=True), 1)
    np.testing.assert_allclose(values, np.log1p(counts / sizes * 17.0)[:, genes], rtol=1e-6)
    assert values.dtype == np.float32
    assert not values[2].any()
    for scale in ("lognorm", "scaled"):
        same = normalised(csr_matrix(LOGS - 1), None, None, scale, genes)  # type: ignore[arg-type]
        np.testing.assert_array_equal(same, (LOGS - 1)[:, genes])


LARGE = """
import resource, sys
import numpy as np
from pathlib import Path
from beeline.data.cell_files import check_scale, library_sizes, open_cells
from beeline.data.cell_choice import normalised, select_genes
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
file = open_cells(Path(sys.argv[1]))
check_scale(file, "counts")
library = library_sizes(file)
rows = file.rows(np.random.default_rng(0).permutation(file.cells)[:512])
read = peak()
known = select_genes(file, np.arange(0, file.cells, 2), "counts", 3, 2000)
values = normalised(rows, library[:512], known.target, "counts", known.places(file.genes, "it"))
print(file.cells, len(file.genes), int(library.sum()), len(known.genes), values.shape[1], read, peak())
"""


@pytest.mark.slow
def test_a_hundred_thousand_cells_are_read_and_chosen_from_within_four_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "large.h5ad"
    cells, genes, each, step = 100_000, 20_000, 1_600, 5_000
    total = large_file(path, cells, genes, each, step)
    done = subprocess.run([sys.executable, "-c", LARGE, str(path)], check=True, capture_output=True, text=True)
    *found, read, most = map(float, done.stdout.split())
    assert found == [cells, genes, total, 2000, 2000]
    assert read < 0.8  # the matrix alone is 1.3 GB
    assert most < 4


def large_file(path: Path, cells: int, genes: int, each: int, step: int) -> int:
    """Write sparse counts of which each cell has as many, a few cells at a time; their sum."""
    adata(csr_matrix((1, genes), dtype=np.float32)).write_h5ad(path)
    random, total = np.random.default_rng(0), 0
    with h5py.File(path, "r+") as handle:
        attributes = dict(handle["X"].attrs) | {"shape": (cells, genes)}
        del handle["X"], handle["obs"]
        group = handle.create_group("X")
        group.attrs.update(attributes)
        group["indptr"] = np.arange(cells + 1, dtype=np.int64) * each
        data = group.create_dataset("data", (cells * each,), "f4", chunks=(2**20,))
        indices = group.create_dataset("indices", (cells * each,), "i4", chunks=(2**20,))
        for start in range(0, cells * each, step * each):
            part = slice(start, start + step * each)
            counts = random.geometric(0.5, step * each)
            strides = random.integers(1, 2 * genes // each // 2, (step, each))
            indices[part] = np.cumsum(strides, axis=1).reshape(-1) % genes
            data[part] = counts
            total += int(counts.sum())
        anndata.io.write_elem(handle, "obs", anndata.AnnData(shape=(cells, 1)).obs)
    return total

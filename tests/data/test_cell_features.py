"""Features of genes: against the correlation matrix itself, and files refused by line."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from beeline.core.errors import InputWarning, UserError
from beeline.data.cell_features import coexpression_features, joined_features, read_embeddings

GENES = [f"g{place}" for place in range(30)]


def expression(cells: int = 200, genes: int = 30, programmes: int = 3) -> np.ndarray:
    """Genes that follow one of some programmes each, on scales of their own, and noise."""
    random = np.random.default_rng(0)
    own = random.normal(size=(cells, programmes))[:, np.arange(genes) % programmes]
    return (own + 0.3 * random.normal(size=(cells, genes))) * random.uniform(0.1, 5, genes) + random.normal(size=genes)


@pytest.mark.parametrize(("size", "cells"), [(3, 200), (20, 200), (2, 20), (15, 20)])
def test_features_are_rows_of_the_correlation_matrix_along_its_principal_directions(size: int, cells: int) -> None:
    values = expression(cells)
    correlation = np.corrcoef(values.T)
    found = coexpression_features(values, GENES, ["g4", "g0", "g17"], size)
    every = coexpression_features(values, GENES, GENES, size)
    np.testing.assert_allclose(every[[4, 0, 17]], found, atol=1e-9)
    eigenvalues, directions = np.linalg.eigh(correlation)
    order = np.argsort(-eigenvalues)[:size]
    np.testing.assert_allclose(np.abs(found), np.abs(correlation[[4, 0, 17]] @ directions[:, order]), atol=1e-8)
    assert np.array_equal(found, coexpression_features(values, GENES, ["g4", "g0", "g17"], size))
    np.testing.assert_allclose(coexpression_features(sparse.csr_matrix(values), GENES, GENES, size), every, atol=1e-9)


def test_genes_of_one_programme_have_features_alike() -> None:
    found = coexpression_features(expression(), GENES, GENES, 3)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    alike = found @ found.T
    same = np.equal.outer(np.arange(30) % 3, np.arange(30) % 3)
    assert alike[same].min() > 0.95
    assert np.abs(alike[~same]).max() < 0.5


def test_scales_and_offsets_of_genes_say_nothing() -> None:
    values = expression()
    moved = values * np.linspace(0.01, 100, 30) + 7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, other = (coexpression_features(each, GENES, GENES, 3) for each in (values, moved.astype(np.float64)))
    np.testing.assert_allclose(one, other, atol=1e-8)


def test_targets_that_say_nothing_are_told_by_name() -> None:
    values = expression()
    values[:, 5] = 0.1
    with pytest.warns(InputWarning, match="no co-expression features of MISSING, g5: not among the 30 genes"):
        found = coexpression_features(values, GENES, ["g1", "MISSING", "g5"], 3)
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True]


def test_expression_that_does_not_fit_is_refused() -> None:
    values = expression()
    broken = values.copy()
    broken[3, 4] = np.nan
    for array, genes, size, message in (
        (values[:, :20], GENES, 3, "need numbers \\(cells, 30 genes\\)"),
        (values, [*GENES[:-1], "g0"], 3, "gene 'g0' is there twice"),
        (values, GENES, 31, "size 31: must be at most 30"),
        (values[:5], GENES, 5, "size 5: must be at most 4"),
        (values, GENES, 0, "must be at least 1"),
        (broken, GENES, 3, "NaN or infinity"),
    ):
        with pytest.raises(UserError, match=message):
            coexpression_features(array, genes, ["g0"], size)


@pytest.mark.parametrize(
    "text",
    ["A,1,2.5,-3\nB,0,1e3,4\n", "\ufeffgene,x,y,z\nA,1,2.5,-3\n\nB, 0, 1e3, 4\n", "gene;0;1;2\nA;1;2.5;-3\nB;0;1e3;4",
     ',0,1,2\r\nA,1,2.5,-3\r\n"B",0,1e3,4\r\n', "A\t1\t2.5\t-3\nB\t0\t1e3\t4\n"],
)  # fmt: skip
def test_tables_are_read_with_and_without_a_header(tmp_path: Path, text: str) -> None:
    (tmp_path / "some.csv").write_text(text, encoding="utf-8")
    names, rows = read_embeddings(tmp_path / "some.csv")
    assert names == ("A", "B")
    assert rows.tolist() == [[1, 2.5, -3], [0, 1000, 4]]


def test_arrays_are_read(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.savez(tmp_path / "some.npz", names=np.array(["A", "B"]), values=values)
    names, rows = read_embeddings(tmp_path / "some.npz")
    assert (names, rows.tolist()) == (("A", "B"), values.tolist())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A,1,2\nB,1,two\n", "line 2: 'two' is not a number"),
        ("A,1,2\n\nB,1\n", "line 3: 1 numbers, and line 1 has 2"),
        ("gene,x\nA,1\nB,2\nA,3\n", "line 4: 'A' is on line 2 too"),
        ("A,1\n,2\n", "line 2: names nothing"),
        ("A,1\nB,nan\n", "line 2: 'B' holds NaN or infinity"),
        ("A,1\nB\n", "line 2: 'B' has no numbers"),
        ("A,1,x\nB,1,2\n", "line 1: 'x' is not a number"),
        ("", "holds no names"),
        ("gene,x,y\n", "holds no names"),
    ],
)
def test_tables_that_are_wrong_are_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "some.csv").write_text(text)
    with pytest.raises(UserError, match=f"some.csv.*{message}"):
        read_embeddings(tmp_path / "some.csv")


def test_files_that_are_wrong_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"not an archive")
    (tmp_path / "bad.csv").write_bytes(b"A,\xff\xfe1")
    np.savez(tmp_path / "objects.npz", names=np.array(["A", 1], dtype=object), values=np.ones((2, 2)))
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    np.savez(tmp_path / "short.npz", names=np.array(["A"]), values=np.ones((2, 2)))
    np.savez(tmp_path / "twice.npz", names=np.array(["A", "A"]), values=np.ones((2, 2)))
    for name, message in (
        ("none.csv", "no such file"),
        ("some.xlsx", "are read from .csv, .tsv, .txt and .npz"),
        ("bad.npz", "not a readable .npz"),
        ("bad.csv", "not readable"),
        ("objects.npz", "save names as text"),
        ("other.npz", "holds x; need arrays names and values"),
        ("short.npz", "shape \\(2, 2\\), not \\(1 names"),
        ("twice.npz", "row 1: 'A' is on row 0 too"),
    ):
        with pytest.raises(UserError, match=message):
            read_embeddings(tmp_path / name)


def test_features_are_joined_by_name() -> None:
    names, rows = joined_features(["B", "X"], ["A", "B"], np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert names == ("B", "X", "A")
    np.testing.assert_array_equal(rows, [[3, 4], [np.nan, np.nan], [1, 2]])
    with pytest.raises(UserError, match="none of 1 perturbations, such as 'TP53', is among 1 names with features"):
        joined_features(["TP53"], ["ENSG1"], np.ones((1, 2)))

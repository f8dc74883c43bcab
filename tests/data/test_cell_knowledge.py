"""Features of perturbations: of their own genes, in training cells alone, measured if not modelled; or of a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import anndata
import numpy as np
import pytest
from scipy.sparse import csr_matrix

from beeline.core.errors import UserError
from beeline.data.cell_choice import CellDescription, GenesLeftOut
from beeline.data.cell_features import coexpression_features
from beeline.data.cell_knowledge import check_answerable, lasting, perturbation_features
from beeline.data.cell_sets import FoundCells

GENES = tuple(f"G{number}" for number in range(12))
CELLS = 300
RANDOM = np.random.default_rng(0)
COUNTS = RANDOM.poisson(2.0 * np.exp(RANDOM.normal(size=(CELLS, 3)) @ RANDOM.normal(size=(3, 12)) * 0.5))
COUNTS[:, 11] += 1
LIBRARY = COUNTS.sum(axis=1).astype(np.float64)
VALUES = np.log1p(COUNTS / LIBRARY[:, None] * 50.0).astype(np.float32)
UNDER = [
    ((), ("G1",), (), ("G2",), (), ("G2", "PROTEIN"), (), ("G9",), (), ("G10",))[each % 10] for each in range(CELLS)
]
HELD_OUT = np.array(["G9" in names or "G10" in names for names in UNDER])


def found(modelled: int = 12, path: Path = Path("cells.h5ad")) -> FoundCells:
    """Cells under knock-outs, of which G9 and G10 are held out; the first genes are modelled."""
    left_out = (GenesLeftOut("not highly variable", GENES[modelled:]),) if modelled < 12 else ()
    return FoundCells(
        path=path,
        description=CellDescription(GENES[:modelled], "counts", 50.0, CELLS, left_out=left_out),
        values=csr_matrix(VALUES[:, :modelled]),
        library=LIBRARY,
        perturbations=tuple(UNDER),
        contexts={},
        labels={},
    )


def test_each_perturbation_has_the_profile_of_its_own_gene_in_training_control_cells() -> None:
    known = perturbation_features(found(), HELD_OUT, "coexpression", 4)
    control = np.array([not names for names in UNDER]) & ~HELD_OUT
    expected = coexpression_features(VALUES[control], GENES, GENES, 4)
    assert (known.trained, known.names[:3]) == (3, ("G1", "G2", "PROTEIN"))
    assert set(known.names) == {*GENES, "PROTEIN"}, "every gene that is measured may be asked for"
    rows = dict(zip(known.names, known.rows, strict=True))
    for gene, row in zip(GENES, expected, strict=True):
        np.testing.assert_allclose(rows[gene], row)
    assert np.isnan(rows["PROTEIN"]).all()
    assert known.lacking == ("PROTEIN",)
    lines = known.told("coexpression")
    assert lines == [
        "12 names have 4 features each, from co-expression of training cells",
        "no features of PROTEIN: not measured, or the same in all cells",
    ]


def test_held_out_cells_are_never_looked_at() -> None:
    cells = found()
    other = VALUES.copy()
    other[HELD_OUT] = RANDOM.random((HELD_OUT.sum(), 12))
    moved = dataclasses.replace(cells, values=csr_matrix(other))
    one, two = (perturbation_features(each, HELD_OUT, "coexpression", 5) for each in (cells, moved))
    np.testing.assert_array_equal(one.rows, two.rows)
    without_control = {"perturbations": tuple(names or ("G1",) for names in UNDER)}
    few, few_moved = (dataclasses.replace(each, **without_control) for each in (cells, moved))  # type: ignore[arg-type]
    one_of_all, two_of_all, with_held_out = (
        perturbation_features(each, kept, "coexpression", 5).rows[0]
        for each, kept in ((few, HELD_OUT), (few_moved, HELD_OUT), (few_moved, np.zeros(CELLS, dtype=bool)))
    )
    np.testing.assert_array_equal(one_of_all, two_of_all)
    assert (one_of_all != one.rows[0]).any()
    assert (one_of_all != with_held_out).any()
    assert perturbation_features(cells, HELD_OUT, "coexpression", 500).rows.shape[1] == 12


@pytest.mark.parametrize("some", [False, True])
def test_genes_that_are_measured_and_not_modelled_have_features_too(some: bool, tmp_path: Path) -> None:
    rows = np.concatenate([np.zeros((7, 12)), COUNTS]) if some else COUNTS
    data = anndata.AnnData(csr_matrix(rows.astype(np.float32)))
    data.var_names = list(GENES)
    data.write_h5ad(tmp_path / "cells.h5ad")
    cells = dataclasses.replace(found(8, tmp_path / "cells.h5ad"), places=np.arange(CELLS) + 7 if some else None)
    known = perturbation_features(cells, HELD_OUT, "coexpression", 4)
    control = np.array([not names for names in UNDER])
    with_both = [*range(8), 10, 9]
    names = [GENES[place] for place in with_both]
    expected = dict(zip(names, coexpression_features(VALUES[control][:, with_both], names, names, 4), strict=True))
    for name in ("G1", "G9", "G10"):
        np.testing.assert_allclose(known.rows[known.names.index(name)], expected[name], atol=1e-5)
    assert known.lacking == ("PROTEIN",)


def test_features_of_a_file_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "known.csv"
    path.write_text("name,a,b\nG1,1,2\nG9,3,4\nG77,5,6\n")
    known = perturbation_features(found(), HELD_OUT, str(path), 32)
    assert known.names == ("G1", "G2", "PROTEIN", "G9", "G77")
    np.testing.assert_array_equal(known.rows[[0, 3, 4]], [[1, 2], [3, 4], [5, 6]])
    assert known.lacking == ("G2", "PROTEIN", "G10")
    assert known.told(str(path))[1] == "no features of G2, PROTEIN, G10: not in that file"
    with pytest.raises(UserError, match="G10: held out in all cells and without features"):
        check_answerable(found(), HELD_OUT, known)
    with pytest.raises(UserError, match=r"G10, G9: held out in all .* --data\.features coexpression"):
        check_answerable(found(), HELD_OUT, None)
    check_answerable(found(), HELD_OUT, perturbation_features(found(), HELD_OUT, "coexpression", 3))
    path.write_text("name,a,b\nX,1,2\n")
    with pytest.raises(UserError, match="none of 3 perturbations"):
        perturbation_features(found(), HELD_OUT, str(path), 32)
    assert lasting(str(path)) == str(path)
    assert lasting("coexpression") == "coexpression"
    assert Path(str(lasting("known.csv"))).is_absolute()


def test_perturbations_that_are_no_genes_are_told() -> None:
    drugs = dataclasses.replace(found(), perturbations=tuple(tuple(f"drug {name}" for name in each) for each in UNDER))
    with pytest.raises(UserError, match="such as drug G1, has the name of a measured gene, such as G0"):
        perturbation_features(drugs, HELD_OUT, "coexpression", 4)
    with pytest.raises(UserError, match="no training cell is under a perturbation"):
        perturbation_features(found(), np.array([bool(names) for names in UNDER]), "coexpression", 4)
    with pytest.raises(UserError, match="feature_size 0"):
        perturbation_features(found(), HELD_OUT, "coexpression", 0)

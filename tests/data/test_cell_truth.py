"""Synthetic cells obey the law that they state."""

from __future__ import annotations

import numpy as np
import pytest

from beeline.core.errors import UserError
from beeline.data.cell_truth import CellTruth

TRUTH = CellTruth()
FIRST, SECOND = TRUTH.perturbations[:2]


@pytest.mark.parametrize(("names", "cell_type"), [((), "T"), ((FIRST,), "B"), ((FIRST, SECOND), "NK")])
def test_means_are_those_that_are_computed(names: tuple[str, ...], cell_type: str) -> None:
    cells = TRUTH.cells(names, cell_type, 20_000, np.random.default_rng(1))
    error = cells.std(axis=0) / np.sqrt(len(cells))
    assert np.abs((cells.mean(axis=0) - TRUTH.mean(names, cell_type)) / error).max() < 4.5


def test_counts_have_the_variance_of_a_negative_binomial_given_the_library() -> None:
    law = CellTruth(library=(7.0, 0.0), dispersion=3.0)
    counts, library = law.counts((), "T", 20_000, np.random.default_rng(0))
    mean = np.exp(7.0) * law.rate((), "T")
    assert library == pytest.approx(np.exp(7.0))
    np.testing.assert_allclose(counts.mean(axis=0), mean, rtol=0.05)
    np.testing.assert_allclose(counts.var(axis=0), mean + mean**2 / 3.0, rtol=0.15)


def test_libraries_are_log_normal() -> None:
    library = TRUTH.counts((), "T", 20_000, np.random.default_rng(0))[1]
    assert np.log(library).mean() == pytest.approx(7.0, abs=0.01)
    assert np.log(library).std() == pytest.approx(0.3, abs=0.01)


def test_a_perturbation_changes_its_own_genes_alike_in_all_types_and_lowers_the_one_it_is_named_after() -> None:
    for number, name in enumerate(TRUTH.perturbations):
        delta = TRUTH.delta((name,), "T")
        changed = np.flatnonzero(np.abs(delta) > 1e-12)
        assert len(changed) == 4
        assert TRUTH.gene_names[changed[0]] == name
        assert delta[changed[0]] < -0.1, number
        np.testing.assert_allclose(TRUTH.delta((name,), "NK"), delta, atol=1e-12)
    own = CellTruth(specific=0.5)
    assert np.abs(own.delta((FIRST,), "T")).max() > 1.3 * np.abs(own.delta((FIRST,), "B")).max()


def test_doubles_add_up_unless_they_interact() -> None:
    for interaction in (0.0, 1.0):
        law = CellTruth(interaction=interaction)
        apart = law.delta((FIRST, SECOND), "B") - law.delta((FIRST,), "B") - law.delta((SECOND,), "B")
        assert (np.abs(apart).max() < 1e-12) == (interaction == 0)
        assert np.count_nonzero(np.abs(apart) > 1e-3) == (4 if interaction else 0)


def test_types_differ_in_their_markers_alone() -> None:
    ratio = TRUTH.rate((), "B") / TRUTH.rate((), "T")
    assert np.flatnonzero(ratio > 5).tolist() == [4, 5, 6, 7]
    assert np.flatnonzero(ratio < 1 / 5).tolist() == [0, 1, 2, 3]


def test_examples_are_as_a_modality_hands_them_over_and_come_again_by_seed() -> None:
    one, again, other = (TRUTH.examples((FIRST,), "B", 30, seed, controls=True) for seed in (1, 1, 2))
    assert one[0].array.dtype == np.float32
    assert {name: one[0].condition[name] for name in ("perturbation", "cell_type")} == {
        "perturbation": (FIRST,),
        "cell_type": "B",
    }
    assert one[0].group == f"{FIRST}, B"
    assert all((a.array == b.array).all() for a, b in zip(one, again, strict=True))
    assert not (one[0].array == other[0].array).all()
    controls = np.stack([each.condition["control"] for each in one])
    gene = TRUTH.gene_names.index(FIRST)
    assert controls[:, gene].mean() > 1.5 * np.stack([each.array for each in one])[:, gene].mean()
    assert "control" not in TRUTH.examples((), "B", 1, 0)[0].condition


def test_more_planted_genes_than_genes_are_refused() -> None:
    with pytest.raises(UserError, match="give at least 40"):
        CellTruth(genes=30)

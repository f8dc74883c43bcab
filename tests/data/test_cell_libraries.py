"""Counts of generated cells: libraries as in training, draws of (seed, i) alone, means that no draw changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from beeline.core.data import Example
from beeline.core.errors import RunError
from beeline.data.cell_asked import counts_of
from beeline.data.cell_choice import CellDescription, LibrarySizes, normalised
from beeline.data.cell_libraries import Counted, counted, generated_cells, library_quantiles
from beeline.data.cell_output import as_anndata, h5ad_bytes
from beeline.data.cell_sets import CONTROL, FoundCells
from beeline.data.counted_cells import library_of
from tests.data.cells import COUNTS, NAMES, adata, written

TARGET, GENES = 20.0, len(NAMES)
RANDOM = np.random.default_rng(0)
SIZES = tuple(np.linspace(500, 1500, 101))
KNOWN = CellDescription(
    NAMES, "counts", TARGET, 60, libraries=(LibrarySizes((), SIZES, 0.8), LibrarySizes(("T",), (3000.0,) * 101, 0.5))
)


def smooth(count: int) -> np.ndarray:
    """Expected values, the same for all."""
    rate = np.random.default_rng(1).gamma(1.0, 1.0, GENES)
    return np.tile(np.log1p(rate / rate.sum() * 0.6 * TARGET), (count, 1)).astype(np.float32)


def drawn(values: np.ndarray, seed: int = 0, first: int = 0, context: str = "B", is_smooth: bool = True) -> Counted:
    """Counts of samples from noise."""
    return counted(values, KNOWN, [(context,)] * len(values), [None] * len(values), is_smooth, seed, first)


def test_draws_depend_on_the_seed_and_the_number_of_the_sample_alone() -> None:
    for is_smooth in (True, False):
        every = drawn(smooth(6), is_smooth=is_smooth)
        rest = drawn(smooth(6)[4:], first=4, is_smooth=is_smooth)
        np.testing.assert_array_equal(every.counts[4:], rest.counts)
        np.testing.assert_array_equal(every.library[4:], rest.library)
        assert (every.counts != drawn(smooth(6), seed=1, is_smooth=is_smooth).counts).any()
        assert len({tuple(row) for row in every.counts.tolist()}) == 6


def test_libraries_are_those_of_the_context_or_else_of_all() -> None:
    found = drawn(smooth(4000))
    assert 500 <= found.library.min() < 520
    assert 1480 < found.library.max() <= 1500
    np.testing.assert_allclose(np.quantile(found.library, [0.25, 0.5, 0.75]), [750, 1000, 1250], atol=30)
    assert set(drawn(smooth(3), context="T").library) == {3000}
    share = found.counts.sum(axis=1) / found.library
    assert share.mean() == pytest.approx(0.8, abs=0.002), "the rest are counts of genes that are not modelled"
    assert share.std() == pytest.approx(np.mean(np.sqrt(0.16 / found.library)), rel=0.1), (
        "and no more than drawing adds"
    )


def test_smooth_values_get_the_noise_of_counting_and_keep_their_proportions() -> None:
    values = smooth(4000)
    found = drawn(values, context="T")
    chances = 0.5 * np.expm1(values[0]) / np.expm1(values[0]).sum()
    np.testing.assert_allclose(found.counts.mean(axis=0), 3000 * chances, atol=0.05 + 5 * np.sqrt(3000 / 4000 / 4))
    variance = 3000 * chances * (1 - chances)
    np.testing.assert_allclose(found.counts.var(axis=0), variance, rtol=0.12, atol=1e-9)
    assert not drawn(np.zeros((2, GENES))).counts.any()


def test_answers_of_a_control_cell_are_counts_at_its_own_library_with_unchanged_means() -> None:
    library = COUNTS.sum(axis=1) + 40.0
    control = normalised(csr_matrix(COUNTS), library, TARGET, "counts", np.arange(GENES))
    contexts = [("B",)] * len(control)
    same = counted(control, KNOWN, contexts, list(control), True, 0)
    own = [library_of(cell, TARGET) for cell in control]
    assert np.mean(np.array(own) == library) > 0.9, "the least library, which common factors make smaller"
    np.testing.assert_array_equal(same.library, own)
    exact = same.library == library
    np.testing.assert_array_equal(same.counts[exact], COUNTS[exact])
    moved = np.tile(np.log1p(np.expm1(control[:1]) + 0.3 * TARGET / library[0]), (4000, 1))
    found = counted(moved, KNOWN, contexts[:1] * 4000, [control[0]] * 4000, True, 0)
    np.testing.assert_allclose(found.counts.mean(axis=0), COUNTS[0] + 0.3, atol=0.04)
    assert set((found.counts - COUNTS[0].astype(int)).ravel().tolist()) == {0, 1}, "rounding would lose 0.3 everywhere"


def test_libraries_are_told_by_whole_counts_alone() -> None:
    for library, counts in ((5000, [1, 3, 170, 20_000]), (123, [2, 3, 5]), (70_000, [4, 9, 15, 1000, 65_000])):
        values = np.log1p(np.array([0, *counts]) / library * 1e4).astype(np.float32)
        assert library_of(values, 1e4) == library
    assert library_of(np.log1p(RANDOM.gamma(1.0, 1.0, 40)), 1e4) is None
    assert library_of(np.zeros(4), 1e4) is None


def test_what_stands_for_no_count_is_told() -> None:
    for wrong in (np.nan, 1000.0):
        values = smooth(2)
        values[1, 3] = wrong
        for is_smooth in (True, False):
            with pytest.raises(RunError, match="stands for no count"):
                drawn(values, is_smooth=is_smooth)
    with pytest.raises(RunError, match="has not learned the scale"):
        drawn(smooth(1) + 30, is_smooth=False)


def test_quantiles_are_of_training_cells_by_context() -> None:
    count = 60
    types = np.array(["T", "B", "NK"])[np.array([0] * 30 + [1] * 24 + [2] * 6)]
    library = np.where(types == "T", 100.0, 300.0) + np.arange(count)
    values = np.log1p(np.full((count, 5), 0.15 * 200.0))  # five genes of 0.15 of a library each
    training = np.arange(count) % 10 != 9
    found = FoundCells(
        path=Path("cells.h5ad"),
        description=CellDescription(tuple("abcde"), "counts", 200.0, count),
        values=csr_matrix(values),
        library=library,
        perturbations=((),) * count,
        contexts={"cell_type": types},
        labels={},
    )
    every, one, other = library_quantiles(found, training)
    assert (every.context, one.context, other.context) == ((), ("T",), ("B",)), "five cells of NK are too few"
    for sizes, chosen in ((every, training), (one, training & (types == "T")), (other, training & (types == "B"))):
        assert len(sizes.quantiles) == 101
        assert (sizes.quantiles[0], sizes.quantiles[-1]) == (library[chosen].min(), library[chosen].max())
        assert sizes.quantiles[50] == pytest.approx(np.median(library[chosen]), abs=0.01)
        assert sizes.share == pytest.approx(0.75, abs=1e-6)


def test_generated_cells_are_counts_again(tmp_path: Path) -> None:
    values, found = smooth(5), drawn(smooth(5))
    about, obs, path = {"target": TARGET}, {"library": found.library.tolist()}, tmp_path / "made.h5ad"
    path.write_bytes(h5ad_bytes(as_anndata(values, NAMES, obs, about, "counts", found.counts)))
    made = generated_cells(path)
    assert made is not None
    np.testing.assert_array_equal(made.rows.toarray(), found.counts)
    np.testing.assert_array_equal(made.library, found.library)
    path.write_bytes(h5ad_bytes(as_anndata(values, NAMES, {}, about, "counts")))
    bare = generated_cells(path)
    assert bare is not None
    again = normalised(bare.rows, bare.library, 3 * TARGET, "counts", np.arange(GENES))
    np.testing.assert_allclose(again, np.log1p(3 * np.expm1(values)), rtol=1e-5)
    assert generated_cells(written(tmp_path, adata())) is None


def test_samples_that_are_counts_already_keep_their_library_whatever_cells_they_saw() -> None:
    counts = RANDOM.poisson(3.0, GENES) + 1
    counts[0] = 1
    value, control = (np.log1p(counts * (TARGET / library)).astype(np.float32) for library in (500, 300))
    sample = [Example(value, {CONTROL: control})]
    drawn_anew = counts_of(sample, KNOWN, (), False, False, {})
    assert drawn_anew is not None
    assert (drawn_anew.counts[0] == counts).all()
    assert drawn_anew.library.tolist() == [500]
    lent = counts_of(sample, KNOWN, (), False, True, {})
    assert lent is not None
    assert lent.library.tolist() == [300]

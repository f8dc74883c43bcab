"""Answers of cells are counts: where they lie, what stays, and that means do."""

from __future__ import annotations

import numpy as np

from beeline.data.cell_components import CellComponents, at_counts
from beeline.data.counted_cells import library_of

TARGET, LIBRARY, GENES = 1000.0, 700, 60
RANDOM = np.random.default_rng(0)


def cells(count: int) -> np.ndarray:
    """Log-normalised cells of the library 700, one count of the first gene in each."""
    counts = RANDOM.multinomial(LIBRARY - 1, RANDOM.dirichlet(np.full(GENES, 0.4)), size=count)
    counts[:, 0] += 1
    return np.log1p(counts * (TARGET / LIBRARY)).astype(np.float32)


def test_values_go_to_counts_beside_them_and_keep_their_means() -> None:
    values = RANDOM.uniform(0, 3, GENES).astype(np.float32)
    values[:5] = 0
    many = cells(3000)
    found = np.stack([at_counts(values, cell, TARGET) for cell in many])
    unit = TARGET / LIBRARY
    counts = np.expm1(found.astype(np.float64)) / unit
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-4)
    assert (abs(counts - np.expm1(values) / unit) <= 1 + 1e-4).all()
    gaps = np.log1p((np.floor(np.expm1(values) / unit) + 1) * unit) - np.log1p(np.floor(np.expm1(values) / unit) * unit)
    assert (abs(found.mean(axis=0) - values) < 5 * gaps / np.sqrt(12 * 250)).all()
    assert (found[:, :5] == 0).all()
    assert (at_counts(values, many[0], TARGET) == found[0]).all()


def test_a_cell_beside_itself_is_itself_and_other_scales_stay() -> None:
    training = cells(200)
    fitted = CellComponents(4, 0.0, target=TARGET).fit(training)
    for cell in training[:20]:
        np.testing.assert_allclose(fitted.undo_beside(fitted.apply(cell), cell), cell, atol=1e-6)
    moved = fitted.apply(training[0]) + 0.3
    assert library_of(fitted.undo_beside(moved, training[0]), TARGET) == LIBRARY
    free = CellComponents(4, 0.0, False, False, fitted.scale, fitted.numbers, fitted.fitted)
    assert library_of(free.undo_beside(moved, training[0]), TARGET) is None
    strange = np.log1p(RANDOM.gamma(1.0, 1.0, GENES)).astype(np.float32)
    np.testing.assert_array_equal(fitted.undo_beside(moved, strange), free.undo_beside(moved, strange))


def test_each_cell_of_a_set_goes_with_its_own_other() -> None:
    training = cells(120)
    fitted = CellComponents(4, 0.0, rows=True, target=TARGET).fit(training.reshape(12, 10, GENES))
    others = np.concatenate([training[:2], np.zeros((1, GENES), np.float32)])
    made = fitted.undo_beside(fitted.apply(training[:4]) + 0.2, others)
    assert [library_of(cell, TARGET) for cell in made] == [LIBRARY, LIBRARY, None, LIBRARY]

"""Numbers of genes, each by itself: scale, control cells that they are about, and what a fresh sample is like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from beeline.core.errors import UserError
from beeline.core.parts import describe_part, rebuild_part
from beeline.core.sharing import Relative
from beeline.data.gene_scale import GeneScale

RANDOM = np.random.default_rng(0)
SIZES = np.array([1.0, 0.3, 3.0, 0.01, 0.0])
CELLS = (RANDOM.normal(size=(400, 5)) * SIZES + np.array([2.0, 5.0, -1.0, 0.5, 1.0])).astype(np.float32)
FITTED = GeneScale().fit(CELLS)


def test_every_gene_has_zero_mean_and_unit_deviation_but_those_that_hardly_vary() -> None:
    made = np.stack([FITTED.apply(cell) for cell in CELLS])
    np.testing.assert_allclose(made.mean(axis=0), 0.0, atol=1e-5)
    least = 0.1 * np.sqrt((CELLS.std(axis=0) ** 2).mean())
    np.testing.assert_allclose(made.std(axis=0), CELLS.std(axis=0) / np.maximum(CELLS.std(axis=0), least), rtol=1e-4)
    assert made.std(axis=0)[3] < 0.1, "what one cell in many has is not all there is to a loss"


def test_numbers_come_back_by_themselves_and_about_control_cells() -> None:
    controls = CELLS[:32] + 1.0
    for cell in CELLS[:5]:
        np.testing.assert_allclose(FITTED.undo(FITTED.apply(cell)), cell, atol=1e-5)
        told = FITTED.relative(FITTED.apply(cell), controls)
        np.testing.assert_allclose(FITTED.undo(FITTED.absolute(told, controls)), cell, atol=1e-5)
    cut = replace(FITTED, lowest=0.0)
    assert cut.undo(cut.apply(CELLS[0] - 10)).min() == 0
    assert isinstance(FITTED, Relative)
    assert rebuild_part(describe_part(cut), "") == cut


def test_noise_alone_has_the_mean_of_the_control_cells_whatever_their_order() -> None:
    """A theorem: what is learned is what differs from them."""
    controls = CELLS[:32] + np.array([0.0, 4.0, 0.0, 0.0, -2.0], np.float32)
    noise = RANDOM.normal(size=(4000, 5)).astype(np.float32)
    made = np.stack([FITTED.undo(FITTED.absolute(each, controls)) for each in noise])
    error = made.std(axis=0) / np.sqrt(len(made))
    assert (np.abs(made.mean(axis=0) - controls.mean(axis=0)) < 4 * error).all()
    turned = FITTED.absolute(noise[0], controls[::-1])
    np.testing.assert_allclose(turned, FITTED.absolute(noise[0], controls), atol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="no gene varies"):
        GeneScale().fit(np.ones((3, 4), np.float32))
    with pytest.raises(ValueError, match="need shape"):
        FITTED.apply(np.zeros(4, np.float32))

"""Columns of a file as conditions: names, texts and numbers with gaps, doses of sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beeline.core.conditions import condition_name
from beeline.core.errors import UserError
from beeline.data.cell_columns import condition_names, doses, numbers, texts
from beeline.data.cell_files import CellFile, open_cells
from tests.data.cells import CELLS, adata, written


def with_column(folder: Path, values: list[Any], name: str = "what") -> CellFile:
    """Cells of which the first ones have these entries."""
    data = adata()
    data.obs[name] = [*values, *values[-1:] * (CELLS - len(values))]
    return open_cells(written(folder, data))


def test_columns_become_names_that_a_network_can_have() -> None:
    for column, name in (("cell type", "cell_type"), ("Cell.Type", "Cell_Type"), ("10x/run", "_10x_run"), ("é", "é")):
        assert condition_name(column) == name
        assert name.isidentifier()
    assert condition_names(["cell type", "donor", "cell type"]) == {"cell_type": "cell type", "donor": "donor"}
    with pytest.raises(UserError, match=r"columns 'cell type' and 'cell\.type' are both 'cell_type'"):
        condition_names(["cell type", "cell.type"])
    for reserved in ("control", "perturbation"):
        with pytest.raises(UserError, match="called 'perturbation' and 'control' already"):
            condition_names([reserved])


def test_gaps_are_allowed_where_they_can_be_learned(tmp_path: Path) -> None:
    file = open_cells(written(tmp_path, adata()))
    assert texts(file, "cell_type", missing=True)[:3].tolist() == ["T", "B", None]
    assert texts(file, "dose", missing=True)[:3].tolist() == [None, "0.5", "1"]
    np.testing.assert_array_equal(numbers(file, "dose")[:3], [np.nan, 0.5, 1])
    for read in (texts, numbers):
        with pytest.raises(UserError, match="15 cells have no dose, such as cell-0"):
            read(file, "dose", missing=False)
    with pytest.raises(UserError, match=r"cell_type of cell cell-0 is 'T', no number"):
        numbers(file, "cell_type")
    with pytest.raises(UserError, match="did you mean 'plate'"):
        texts(file, "plat")
    written_as_text = with_column(tmp_path, ["1.5", None, "2"], "age")
    np.testing.assert_array_equal(numbers(written_as_text, "age")[:3], [1.5, np.nan, 2])
    with pytest.raises(UserError, match="age of cell cell-1 is infinite"):
        numbers(with_column(tmp_path, [1.0, np.inf], "age"), "age")


def test_doses_go_with_the_perturbations_that_they_are_of(tmp_path: Path) -> None:
    under = ["B+A", "B+A", "ctrl", "A", "A+ctrl", "A+ctrl"] + ["ctrl"] * (CELLS - 6)
    file = with_column(tmp_path, ["0.5+2", "3", None, "1e-2", "4+0", "5", "nothing"])
    found = doses(file, "what", under, "ctrl")
    assert found[:7] == ({"B": 0.5, "A": 2.0}, {"A": 3.0, "B": 3.0}, {}, {"A": 0.01}, {"A": 4.0}, {"A": 5.0}, {})
    plain = with_column(tmp_path, [0.5, 2.0, np.nan])
    assert doses(plain, "what", ["A", "A+B", *["ctrl"] * 58], "ctrl")[1] == {"A": 2.0, "B": 2.0}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, r"what of cell cell-0 \(A\+B\) is missing; a perturbed cell needs a dose"),
        ("0", "is 0: a dose is above 0"),
        ("-1", "is -1: a dose is above 0"),
        ("inf", "is inf: a dose is above 0"),
        ("10 uM", "is 10 uM: need a number, without its unit"),
        ("1+", "need a number"),
        ("1+2+3", "3 doses for 2 perturbations"),
    ],
)
def test_doses_that_are_none_are_told(value: str | None, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        doses(with_column(tmp_path, [value, "1"]), "what", ["A+B"] * CELLS, "ctrl")

"""Cells as a dataset: who is held out, and which control cell stands beside whom."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from beeline.core.errors import UserError
from beeline.data.cell_choice import CellDescription
from beeline.data.cell_sets import CellSet, FoundCells, from_control, held_out_cells, names_of


def found(count: int = 240, groups: np.ndarray | None = None) -> FoundCells:
    """Cells of three types, half of them control, a third of the rest under A, B or both."""
    random = np.random.default_rng(0)
    types = np.array(["T", "B", "NK"])[np.arange(count) % 3]
    under = [((), ("A",), (), ("B",), (), ("A", "B"))[index // 3 % 6] for index in range(count)]
    values = np.abs(random.normal(size=(count, 5))) + (types == "B")[:, None]
    return FoundCells(
        path=Path("cells.h5ad"),
        description=CellDescription(tuple("abcde"), "lognorm", None, count),
        values=csr_matrix(values.astype(np.float32)),
        library=np.full(count, np.nan),
        perturbations=tuple(under),
        contexts={"cell_type": types},
        labels={"donor": np.array(["one", "two"])[np.arange(count) % 2]},
        groups=groups,
    )


def test_populations_are_held_out_whole_and_nothing_else() -> None:
    cells = found()
    kept = held_out_cells(cells, "cell_type=B,perturbation=A;cell_type=T,perturbation=A+B", 0.2, 0)
    names = np.array([cells.population(index) for index in range(len(cells))])
    assert sorted(set(names[kept])) == ["B, A", "T, A+B"]
    assert not set(names[kept]) & set(names[~kept])
    for words, told in [
        ("cell_typ=B", "need COLUMN=VALUE of perturbation, donor, cell_type"),
        ("cell_type=X", "no cell has cell_type X; there are B, NK, T"),
        ("donor=one;donor=two", "every cell is held out"),
    ]:
        with pytest.raises(UserError, match=told):
            held_out_cells(cells, words, 0.2, 0)


def test_populations_are_named_in_quotes_where_they_hold_separators() -> None:
    cells = found()
    names = {"T": "T cell, CD4+", "B": 'B; "naive" = 2', "NK": "NK"}
    types = np.array([names[each] for each in cells.contexts["cell_type"]])
    under = tuple(("C(=O),1",) if each == ("A",) else each for each in cells.perturbations)
    other = dataclasses.replace(cells, contexts={"cell_type": types}, perturbations=under)
    for words, plain in [
        ('cell_type="T cell, CD4+",perturbation=B', "cell_type=T,perturbation=B"),
        (' cell_type = "B; ""naive"" = 2" ; perturbation="C(=O),1"', "cell_type=B;perturbation=A"),
        (
            'perturbation=B,cell_type="NK";donor="one",cell_type="T cell, CD4+"',
            "perturbation=B,cell_type=NK;donor=one,cell_type=T",
        ),
    ]:
        kept = held_out_cells(other, words, 0.2, 0)
        np.testing.assert_array_equal(kept, held_out_cells(cells, plain, 0.2, 0))
        assert kept.any()
    for words, told in [
        ('cell_type="T cell, CD4+,perturbation=B', "held_out_populations .* a double quote is not closed; .*NAME="),
        ('cell_type="T cell, CD4+,perturbation="B"', "a double quote is not closed"),
        ('cell_type="T cell, CD8+"', "no cell has cell_type T cell, CD8[+]; there are"),
    ]:
        with pytest.raises(UserError, match=told):
            held_out_cells(other, words, 0.2, 0)


def test_a_share_is_held_out_by_group() -> None:
    donors = np.array([f"donor {index}" for index in np.arange(240) // 24])
    kept = held_out_cells(found(groups=donors), None, 0.2, 0)
    assert not set(donors[kept]) & set(donors[~kept])
    assert kept.mean() == pytest.approx(0.2, abs=0.05)
    assert held_out_cells(found(), None, 0.25, 0).sum() == 60


def test_starts_are_control_cells_of_the_same_context_and_none_is_an_answer_held_out() -> None:
    cells = found()
    kept = held_out_cells(cells, "cell_type=B,perturbation=A", 0.2, 0)
    training, held_out = from_control(cells, kept, 3, 0)
    assert len(held_out) == kept.sum()
    for side in (training, held_out):
        for index in range(len(side)):
            cell, start = int(side.cells[index]), int(side.starts[index])  # type: ignore[index]
            assert cells.context(cell) == cells.context(start)
            assert cells.perturbations[start] == ()
            assert kept[cell] == (side is held_out)
    alone = [int(each) for each in training.cells if cells.perturbations[each] == ()]
    assert len(alone) == len(set(alone)), "each control cell stands for itself once"
    counts = np.bincount(training.cells, minlength=len(cells))
    assert {counts[index] for index in range(len(cells)) if cells.perturbations[index] and not kept[index]} == {3}
    one = training[0]
    np.testing.assert_array_equal(one.condition["control"], cells.row(int(training.starts[0])))  # type: ignore[index]
    again = from_control(cells, kept, 3, 0)
    assert [side.identity() for side in again] == [training.identity(), held_out.identity()]
    assert from_control(cells, kept, 3, 1)[0].identity() != training.identity()


def test_a_context_without_control_cells_is_named() -> None:
    cells = found()
    kept = np.array([cells.context(index) == ("B",) and not cells.perturbations[index] for index in range(len(cells))])
    with pytest.raises(UserError, match="every control cell of B is held out, and A starts from them"):
        from_control(cells, kept, 1, 0)
    under = tuple(
        names or (("A",) if cells.context(index) == ("B",) else ()) for index, names in enumerate(cells.perturbations)
    )
    with pytest.raises(UserError, match="no control cell of B to start A"):
        from_control(dataclasses.replace(cells, perturbations=under), np.arange(240) < 60, 1, 0)
    with pytest.raises(UserError, match="no perturbed cell is held out"):
        from_control(cells, np.zeros(len(cells), dtype=bool), 1, 0)
    perturbed = np.array([bool(names) for names in cells.perturbations])
    with pytest.raises(UserError, match="every perturbed cell is held out"):
        from_control(cells, perturbed, 1, 0)


def test_a_whole_context_is_answered_from_its_own_control_cells() -> None:
    cells = found()
    kept = held_out_cells(cells, "cell_type=NK", 0.2, 0)
    training, held_out = from_control(cells, kept, 1, 0)
    assert not kept[training.cells].any()
    assert {cells.context(int(start)) for start in held_out.starts} == {("NK",)}  # type: ignore[union-attr]


def test_populations_are_named_as_the_file_names_them() -> None:
    cells = found()
    kept = [
        held_out_cells(cells, text, 0.2, 0, key="gene", control="NT")
        for text in ("cell_type=B,gene=B+A", "cell_type=B, gene = A+B", "cell_type=B,perturbation=A+B")
    ]
    assert (kept[0] == kept[1]).all()
    assert (kept[0] == kept[2]).all()
    control = held_out_cells(cells, "gene=NT", 0.2, 0, key="gene", control="NT")
    assert control.tolist() == [not names for names in cells.perturbations]


def test_other_numbers_are_another_identity() -> None:
    cells, every = found(), np.arange(240)
    other = dataclasses.replace(cells, values=cells.values * 2)
    swapped = dataclasses.replace(cells, perturbations=cells.perturbations[::-1])
    assert len({CellSet(each, every).identity() for each in (cells, other, swapped)}) == 3


def test_examples_say_what_is_known_of_a_cell() -> None:
    cells = found()
    every = CellSet(cells, np.arange(len(cells)))
    np.testing.assert_array_equal(every[3].array, cells.row(3))
    assert every[3].condition == {"perturbation": ("A",), "donor": "two"}
    assert every.name(3) == "cells.h5ad cell 3"
    assert [each.condition for each in every[2:4]] == [every.condition(2), every.condition(3)]
    with pytest.raises(IndexError):
        every[len(cells)]


def test_entries_of_a_column_are_sets_of_names() -> None:
    assert names_of("ctrl", "ctrl") == ()
    assert names_of("B+A", "ctrl") == ("A", "B")
    assert names_of("A+ctrl", "ctrl") == ("A",)
    assert names_of("None", "None") == ()
    with pytest.raises(UserError, match="names one twice"):
        names_of("A+A", "ctrl")
    for nothing in (None, "", "nan"):
        with pytest.raises(UserError, match="no entry"):
            names_of(nothing, "ctrl")

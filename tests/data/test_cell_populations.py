"""Cells in sets and beside control cells: who comes together, how often, and what is drawn from what."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from beeline.core.data import Example, KnownNumbers
from beeline.core.errors import UserError
from beeline.data.cell_populations import CONTROLS, Grouping, PopulationSet, divided, grouped
from beeline.data.cell_sets import CONTROL, PERTURBATION, FoundCells, held_out_cells
from tests.data.test_cell_sets import found

HELD_OUT = "cell_type=B,perturbation=A"


def sides(
    how: Grouping, cells: FoundCells | None = None, asked: str = HELD_OUT, kept: np.ndarray | None = None
) -> tuple[PopulationSet, PopulationSet]:
    """Examples of the cells of test_cell_sets."""
    cells = cells or found()
    return grouped(cells, held_out_cells(cells, asked, 0.2, 0) if kept is None else kept, how)


def controls_of(cells: FoundCells, context: str) -> np.ndarray:
    """Places of the control cells of a context."""
    return np.array(
        [at for at, names in enumerate(cells.perturbations) if not names and cells.context(at) == (context,)]
    )


def population(cells: FoundCells, place: int) -> tuple[object, ...]:
    """What the cells of a set agree in."""
    return (cells.perturbations[place], cells.context(place), cells.labels["donor"][place])


def test_sets_are_of_one_population_and_use_every_cell_as_often_as_any_other() -> None:
    cells = found(270)
    training, held_out = sides(Grouping(size=4, controls=3, rounds=5), cells)
    for side, rounds in ((training, 5), (held_out, 1)):
        for index, row in enumerate(side.cells):
            assert len({population(cells, place) for place in row}) == 1
            example = side[index]
            assert example.array.shape == (4, 5)
            np.testing.assert_array_equal(example.array, cells.rows(row))
            assert example.condition[PERTURBATION] == cells.perturbations[row[0]]
        used = Counter(side.cells.ravel().tolist())
        for place, count in used.items():
            members = sum(population(cells, other) == population(cells, place) for other in used)
            needed = -(-members // 4) * 4 / members
            assert rounds * np.floor(needed) <= count <= rounds * np.ceil(needed)
    kept = held_out_cells(cells, HELD_OUT, 0.2, 0)
    assert set(held_out.cells.ravel()) == set(np.flatnonzero(kept))
    assert not set(training.cells.ravel()) & set(np.flatnonzero(kept))


def test_control_cells_are_training_ones_of_the_context_drawn_once_and_for_all() -> None:
    cells = found()
    kept = held_out_cells(cells, HELD_OUT, 0.2, 0)
    kept[controls_of(cells, "T")[::2]] = True
    for how in (Grouping(controls=6), Grouping(size=4, controls=6), Grouping(size=4, controls=100)):
        training, held_out = sides(how, cells, kept=kept)
        for side in (training, held_out):
            for index in range(0, len(side), 7):
                places = side.controls[index]
                assert not kept[places].any()
                assert {cells.perturbations[place] for place in places} == {()}
                assert {cells.context(place) for place in places} == {cells.context(int(side.cells[index, 0]))}
                there = controls_of(cells, *cells.context(int(places[0])))
                others = np.setdiff1d(there[~kept[there]], side.cells[index])
                assert len(set(places)) == min(how.controls, len(others)), "none twice before all are seen"
                np.testing.assert_array_equal(side[index].condition[CONTROLS], cells.rows(places))
                np.testing.assert_array_equal(side[index].condition[CONTROLS], side[index].condition[CONTROLS])
        again = sides(how, cells, kept=kept)
        assert [each.identity() for each in again] == [training.identity(), held_out.identity()]
    other = sides(Grouping(controls=6, seed=1), cells, kept=kept)[0]
    assert other.identity() != sides(Grouping(controls=6), cells, kept=kept)[0].identity()


def test_cells_are_called_by_their_rows_of_the_file_where_others_were_left_out() -> None:
    cells = found()
    training, _ = sides(Grouping(size=0, controls=3), replace(cells, places=np.arange(len(cells)) + 7))
    assert training.name(0) == f"{cells.path.name} cell {training.cells[0, 0] + 7}"
    assert training.things().name(0) == f"{cells.path.name} cell {training.things().cells[0] + 7}"


def test_first_control_cells_go_round_so_that_each_stands_for_as_many_cells() -> None:
    training, _ = sides(Grouping(controls=6, rounds=1))
    cells = training.found
    for context in {cells.context(place) for place in range(len(cells))}:
        rows = [index for index in range(len(training)) if cells.context(int(training.cells[index, 0])) == context]
        for under in {cells.perturbations[int(training.cells[index, 0])] for index in rows}:
            own = [index for index in rows if cells.perturbations[int(training.cells[index, 0])] == under]
            by_donor = [
                [i for i in own if cells.labels["donor"][training.cells[i, 0]] == each] for each in ("one", "two")
            ]
            for part in by_donor:
                counts = Counter(training.controls[part, 0].tolist()).values()
                assert max(counts, default=0) - min(counts, default=0) <= 1


def test_a_context_without_perturbed_training_cells_answers_nothing_and_is_measured_all_the_same() -> None:
    asked = ";".join(f"cell_type=B,perturbation={name}" for name in ("A", "B", "A+B"))
    for size in (0, 4):
        training, held_out = sides(Grouping(size=size, controls=3, rounds=2), asked=asked)
        contexts = {example.condition["cell_type"] for example in training}
        assert contexts == {"T", "NK"}
        assert {example.condition["cell_type"] for example in held_out} == {"B"}
        own = training.found.rows(np.unique(held_out.controls))
        further = [np.atleast_2d(example.array) for example in training.further()]
        assert {row.tobytes() for row in np.concatenate(further)} >= {row.tobytes() for row in own}
        known = list(KnownNumbers(training))
        assert len(known) == len(training) + len(further)
    plain, _ = sides(Grouping(size=4, controls=0), asked=asked)
    assert {example.condition["cell_type"] for example in plain} == {"T", "NK", "B"}, "what is told is learned"


def test_things_are_single_cells_each_once_and_samples_are_taken_apart() -> None:
    cells = found()
    singles, sets = (sides(Grouping(size=size, controls=3), cells) for size in (0, 4))
    for one, other in zip(singles, sets, strict=True):
        np.testing.assert_array_equal(one.things().cells, other.things().cells)
        np.testing.assert_array_equal(one.things().starts, other.things().starts)
        assert len(set(one.things().cells)) == len(one.things())
        assert {*one.things()[0].condition} == {PERTURBATION, "cell_type", "donor", CONTROL}
    sample = sets[1][0]
    parts = divided([sample, sample])
    assert len(parts) == 8
    for at, part in enumerate(parts):
        np.testing.assert_array_equal(part.array, sample.array[at % 4])
        np.testing.assert_array_equal(part.condition[CONTROL], sample.condition[CONTROLS][at % 4 % 3])
    assert [each.array.shape for each in divided([Example(sample.array[0])])] == [(5,)]


def test_what_cannot_be_is_told() -> None:
    cells = found()
    control = np.array([not names for names in cells.perturbations]) & (cells.contexts["cell_type"] == "B")
    few = np.flatnonzero(~control)
    bare = FoundCells(
        **{
            **vars(cells),
            "values": cells.values[few],
            "library": cells.library[few],
            "perturbations": tuple(cells.perturbations[place] for place in few),
            "contexts": {name: column[few] for name, column in cells.contexts.items()},
            "labels": {name: column[few] for name, column in cells.labels.items()},
        }
    )
    with pytest.raises(UserError, match="no control cell of B"):
        sides(Grouping(controls=2), bare)
    with pytest.raises(UserError, match="every control cell of B is held out"):
        sides(Grouping(controls=2), asked="cell_type=B,perturbation=control")
    with pytest.raises(UserError, match="no perturbed cell is held out"):
        sides(Grouping(controls=2), kept=np.isin(np.arange(len(cells)), controls_of(cells, "B")[:5]))


@pytest.mark.parametrize("size", [0, 4])
def test_no_cell_is_among_the_control_cells_that_it_sees(size: int) -> None:
    training, _ = sides(Grouping(size, 6), found(270))
    for cells, controls in zip(training.cells, training.controls, strict=True):
        assert not set(cells) & set(controls)

"""Rows by pair: the numbers of the metrics before they are averaged, floors and ceiling beside them, and words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from beeline.core.data import Example
from beeline.metrics.cell_effects import Compared, Truth
from beeline.metrics.cell_pairs import Pair
from beeline.metrics.cell_rows import PairRow, ceiling_of, effects_by_pair, rows_of
from tests.metrics.test_cell_metrics import (
    ASKED,
    CONTEXTS,
    COUNT,
    FRESH,
    HELD_OUT,
    LOW,
    TRAINING,
    TRUTH,
    cells,
    value,
)

ROWS = effects_by_pair(TRAINING, HELD_OUT, FRESH, TRUTH.gene_names, CONTEXTS)


def renamed(examples: list[Example], old: str, new: str) -> list[Example]:
    return [
        replace(each, condition={**each.condition, "perturbation": (new,)})
        if each.condition["perturbation"] == (old,)
        else each
        for each in examples
    ]


def test_doses_have_rows_of_their_own_by_their_names() -> None:
    doses = {ASKED[0]: 0.5, ASKED[1]: 2.0, ASKED[2]: 1.0}

    def dosed(examples: list[Example], **more: float) -> list[Example]:
        told = {**doses, **more}
        return [
            replace(each, condition={**each.condition, "perturbation": {name: told.get(name, 1.0) for name in names}})
            for each, names in ((each, each.condition["perturbation"]) for each in examples)
        ]

    def rows(held_out: list[Example], generated: list[Example]) -> list[PairRow]:
        return effects_by_pair(dosed(TRAINING), held_out, generated, TRUTH.gene_names, CONTEXTS)

    both = dosed(HELD_OUT) + dosed(HELD_OUT, **{ASKED[0]: 3.0})
    found = {row.pair: row for row in rows(both, dosed(FRESH))}
    assert list(found) == [f"{ASKED[0]}=0.5, NK", f"{ASKED[1]}=2, NK", f"{ASKED[2]}=1, NK"], "none of 3 was generated"
    first = found[f"{ASKED[0]}=0.5, NK"]
    assert (first.n, first.n_generated, first.doses) == (COUNT, COUNT, (0.5,))
    assert first.key == Pair((ASKED[0],), ("NK",), (0.5,))
    assert first.model.energy == pytest.approx(ROWS[0].model.energy)
    assert not any("dose" in note for note in first.notes)
    (other,) = [row for row in rows(both, dosed(FRESH, **{ASKED[0]: 3.0})) if row.doses == (3.0,)]
    assert "never seen in training at this dose" in other.notes


def test_rows_average_to_the_metrics_and_have_the_floors_beside_them() -> None:
    assert [row.pair for row in ROWS] == [f"{name}, NK" for name in ASKED]
    assert [(row.n, row.n_generated, row.n_control) for row in ROWS] == [(COUNT, COUNT, COUNT)] * 3
    for found, samples, name in (
        ([row.model.energy for row in ROWS], FRESH, "energy distance"),
        ([row.model.delta_correlation for row in ROWS], FRESH, "delta correlation"),
        ([row.discrimination for row in ROWS], FRESH, "discrimination cosine"),
        ([row.floors["control copy"].energy for row in ROWS], LOW["control copy"], "energy distance"),
        ([row.floors["shifted control"].energy for row in ROWS], LOW["shifted control"], "energy distance"),
        (
            [row.floors["mean perturbation"].delta_correlation for row in ROWS],
            LOW["mean perturbation"],
            "delta correlation",
        ),
    ):
        assert np.mean(found) == pytest.approx(value(name, samples)), name
    for row in ROWS:
        assert row.effect_size == pytest.approx(np.linalg.norm(TRUTH.delta(row.perturbation, "NK")), rel=0.2)
        assert (row.rank, row.known) == (1, 18), "every prediction is told from all pairs of training and held out"
        assert row.changed is not None
        assert row.changed >= TRUTH.changed - 1
        assert row.changed_both is not None
        assert row.changed_both <= min(row.changed, row.changed_predicted or 0)
        assert row.ceiling.delta_correlation > 0.85
        assert abs(row.ceiling.energy) < 0.05


def test_a_model_that_is_the_truth_is_beaten_by_nothing_and_one_that_changes_nothing_by_the_shift() -> None:
    for row in effects_by_pair(TRAINING, HELD_OUT, HELD_OUT, TRUTH.gene_names, CONTEXTS):
        assert not row.better_in_delta
        assert row.model.delta_correlation == pytest.approx(1)
        assert not any("better" in note or "nearer" in note for note in row.notes)
    for row in effects_by_pair(TRAINING, HELD_OUT, LOW["mean perturbation"], TRUTH.gene_names, CONTEXTS):
        assert row.better_in_energy
        assert row.better_in_delta
        # In NK cells effects are those of the other types, so that their mean shift is nearly right.
        assert any(note.endswith("predicts the change better than the model") for note in row.notes)
        assert (row.likest_floor or "").startswith("shifted control")


def test_the_rank_is_that_of_the_own_change_among_all_known_ones() -> None:
    swapped = [
        replace(each, condition=other.condition)
        for each, other in zip(FRESH, FRESH[COUNT:] + FRESH[:COUNT], strict=True)
    ]
    for row in effects_by_pair(TRAINING, HELD_OUT, swapped, TRUTH.gene_names, CONTEXTS):
        assert row.rank > 3, "the three cell types of the other perturbation are nearer"
        assert row.discrimination == pytest.approx(1 - (row.rank - 1) / row.known)


def test_what_must_be_known_is_told() -> None:
    few = [*FRESH[: COUNT + 2]]
    first, second = effects_by_pair(TRAINING, HELD_OUT, few, TRUTH.gene_names, CONTEXTS)
    assert "too few cells to compare populations: 2 generated, 3 needed" in second.notes
    assert np.isnan(second.model.energy)
    assert not any("too few" in note for note in first.notes)
    training, held_out = renamed(TRAINING, ASKED[0], "JAK2"), renamed(HELD_OUT, ASKED[0], "JAK2")
    row = effects_by_pair(training, held_out, held_out, TRUTH.gene_names, CONTEXTS)[0]
    assert "its own gene JAK2 is not among the genes measured" in row.notes
    assert not any("not among" in note for note in ROWS[0].notes)
    (new, *_) = effects_by_pair(TRAINING, held_out, held_out, TRUTH.gene_names, CONTEXTS)
    assert "never seen in training" in new.notes
    assert "never seen in training" not in row.notes


def test_perturbations_that_are_no_genes_at_all_are_not_said_to_be_unmeasured() -> None:
    unnamed = effects_by_pair(TRAINING, HELD_OUT, FRESH, [f"gene {place}" for place in range(TRUTH.genes)], CONTEXTS)
    assert not any("not among" in note for row in unnamed for note in row.notes)


def test_halves_of_noise_do_not_agree_and_the_row_says_so() -> None:
    held_out = [
        replace(each, condition={**each.condition, "perturbation": (ASKED[0],)})
        for each in TRUTH.examples((), "NK", 40, 9, controls=True)
    ]
    (row,) = effects_by_pair(TRAINING, held_out, held_out, TRUTH.gene_names, CONTEXTS)
    assert abs(row.ceiling.delta_correlation) < 0.8
    assert any("mostly noise" in note for note in row.notes) == (row.ceiling.delta_correlation < 0.5)


def test_the_ceiling_of_a_pair_depends_on_its_seed_and_name_alone() -> None:
    truth = Truth(TRAINING, HELD_OUT, TRUTH.gene_names, CONTEXTS)
    alone = Truth(TRAINING, HELD_OUT[COUNT : 2 * COUNT], TRUTH.gene_names, CONTEXTS)
    pair = Pair((ASKED[1],), ("NK",))
    assert ceiling_of(truth, pair, 3) == ceiling_of(alone, pair, 3)
    assert ceiling_of(truth, pair, 3) != ceiling_of(truth, pair, 4)


def test_without_control_cells_and_perturbations_there_are_populations_alone() -> None:
    plain = cells([((), "T"), ((), "B")], 5)
    rows = effects_by_pair(plain, plain, plain, contexts=CONTEXTS)
    assert [row.context for row in rows] == [("T",), ("B",)]
    for row in rows:
        assert np.isnan([row.effect_size, row.model.delta_correlation, row.rank]).all()
        assert (row.changed, row.n_control) == (None, 0)
        assert row.model.energy < 0.01
        assert "control copy" not in row.floors or np.isfinite(row.floors["control copy"].energy)


def test_floors_that_say_nothing_of_a_pair_are_left_out() -> None:
    compared = Compared(Truth(TRAINING, HELD_OUT, TRUTH.gene_names, CONTEXTS), FRESH)
    rows = rows_of(compared, {"half": FRESH[:COUNT]})
    assert [list(row.floors) for row in rows] == [["half"], [], []]

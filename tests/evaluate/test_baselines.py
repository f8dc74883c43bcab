"""A modality's own cheap answers stand in the table of its evaluation, beside those that every kind of data has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from beeline.core.data import Example, Examples, Metric
from beeline.data.cell_truth import CellTruth
from beeline.evaluate.evaluation import Evaluator, evaluation
from beeline.evaluate.records import BEATEN, Record
from beeline.evaluate.score_table import score_table
from beeline.evaluate.sets import read_sets
from beeline.evaluate.yardstick import Yardstick
from beeline.generate.load import load
from beeline.metrics.catalogue import FRECHET
from beeline.metrics.cell_baselines import cell_baselines
from beeline.metrics.cell_metrics import kinds_of, own_metrics
from beeline.modalities.images import Images


class Cheap(Images):
    """Digits with a baseline of their own."""

    def baselines(self, training: Examples, asked: Sequence[Example], seed: int) -> dict[str, list[Example]]:
        return {"black": [Example(0 * each.array, each.condition) for each in asked]}


def test_own_baselines_are_floors_of_an_evaluation(small_run: Path) -> None:
    engine = load(small_run)
    known = engine.modality
    assert isinstance(known, Images)
    engine.modality = Cheap(**{each.name: getattr(known, each.name) for each in fields(known)})
    training, held_out = (engine.modality.dataset(split) for split in ("train", "held_out"))
    evaluator = Evaluator(engine, small_run, training, held_out, ["pca-32"], [FRECHET])
    found = evaluation(evaluator, evaluator.draw(12, 0), "evaluate").as_json()
    assert found["protocol"]["sets"]["ceiling"] == "halves of the held-out examples, mean of 4 splits"
    by_metric = {record["metric"]: record for record in found["records"]}
    assert by_metric["variance ratio"]["floors"]["black"] == 0
    assert set(by_metric[FRECHET.metric]["floors"]) == {"class means", "resampled values", "black"}


TRUTH = CellTruth()
NAMES = TRUTH.perturbations[:3]
CONTEXTS = ["cell_type"]


def cells(pairs: list[tuple[tuple[str, ...], str]], seed: int) -> list[Example]:
    return [each for pair in pairs for each in TRUTH.examples(*pair, 60, seed, controls=bool(pair[0]))]


TRAINING = cells([((), each) for each in TRUTH.types] + [((name,), each) for name in NAMES for each in ("T", "B")], 1)
HELD_OUT = cells([((name,), "NK") for name in NAMES], 2)


def own(training: Examples, held_out: Examples) -> list[Metric]:
    return own_metrics(TRUTH.gene_names, CONTEXTS, kinds_of(training, held_out, CONTEXTS))


def records(samples: list[Example]) -> dict[str, Record]:
    yardstick = Yardstick(
        read_sets(TRAINING, HELD_OUT),
        [],
        own(TRAINING, HELD_OUT),
        "cells",
        which=(),
        baselines=lambda training, asked, seed: cell_baselines(training, asked, seed, CONTEXTS),
    )
    return {record.metric: record for record in yardstick.records(samples, 0)}


def test_cells_have_the_ceiling_of_halves_of_those_held_out_and_both_kinds_of_floors() -> None:
    found = records(cells([((name,), "NK") for name in NAMES], 3))
    correlation, energy = found["delta correlation"], found["energy distance"]
    assert {"class means", "resampled values", "control copy", "shifted control", "training mean"} <= set(energy.floors)
    assert energy.floors["shifted control"] < energy.floors["control copy"] / 3
    assert 0.8 < correlation.ceiling < 1
    assert energy.n_ceiling == 90
    assert abs(energy.ceiling) < 0.05
    assert energy.share > 0.9 or np.isnan(energy.share)


def test_where_a_baseline_wins_table_and_line_say_so() -> None:
    copies = cell_baselines(TRAINING, HELD_OUT, 0, CONTEXTS)["control copy"]
    energy = records(copies)["energy distance"]
    assert energy.beaten
    assert BEATEN in energy.line()
    assert BEATEN in "".join(str(cell) for row in score_table([energy.as_json()]).rows for cell in row)
    fine = Record("a", "a", "a", "modality", 9, 0, 0.1, floors={"b": 0.2}, ceiling=0.05, better="lower")
    assert not fine.beaten
    assert BEATEN not in fine.line()


def test_answers_are_asked_for_with_all_that_is_known_of_what_was_held_out() -> None:
    """A model that is not told the control cell has samples without one; the baseline copies it all the same."""
    bare = [
        Example(each.array, {name: value for name, value in each.condition.items() if name != "control"})
        for each in cells([((name,), "NK") for name in NAMES], 3)
    ]
    found = records(bare)["energy distance"]
    assert found.floors["control copy"] == records(HELD_OUT)["energy distance"].floors["control copy"]

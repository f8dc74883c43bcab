"""Pictures and rows of generated cells: what they are drawn from is the truth where the truth is generated."""

from __future__ import annotations

import csv
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from beeline.cli.evaluate import evaluate
from beeline.cli.train import train
from beeline.core.data import Expression
from beeline.evaluate.cell_change_charts import change_charts
from beeline.evaluate.cell_charts import cell_sections, kind_charts, map_charts, pair_charts
from beeline.evaluate.cell_map import LEAST_FOR_UMAP, plane_of
from beeline.evaluate.cell_pages import PAIRS, chosen, pages_of
from beeline.evaluate.cell_views import telling_genes
from beeline.evaluate.records import finite
from beeline.evaluate.report import build_report
from beeline.metrics.cell_rows import effects_by_pair
from tests.conftest import FAST
from tests.metrics.test_cell_metrics import ASKED, CONTEXTS, COUNT, FRESH, HELD_OUT, LOW, TRAINING, TRUTH, cells
from tests.modalities.cell_files import TRUTH as SMALL
from tests.modalities.cell_files import cells_file

KNOWN = Expression(TRUTH.gene_names, tuple(CONTEXTS), tuple(CONTEXTS))
CHEAP = {name: LOW[name] for name in ("control copy", "shifted control", "mean perturbation")}
PAGES = pages_of((TRAINING, HELD_OUT, FRESH), CHEAP, KNOWN, umap=False)
TYPES: list[tuple[tuple[str, ...], str]] = [((), each) for each in TRUTH.types]
KINDS = pages_of((cells(TYPES, 1), cells(TYPES, 5), cells(TYPES, 6)), {}, KNOWN, umap=False)


def test_points_of_the_change_plot_are_the_deltas_and_changed_genes_the_planted_ones() -> None:
    exact = pages_of((TRAINING, HELD_OUT, HELD_OUT), CHEAP, KNOWN, umap=False).curves
    assert all(change["observed"] == change["predicted"] for change in exact["changes"])
    for change in PAGES.curves["changes"]:
        name = change["pair"].split(",")[0]
        truth = TRUTH.delta((name,), "NK")
        assert change["genes"] == list(TRUTH.gene_names)
        for side in ("observed", "predicted"):
            assert np.corrcoef(change[side], truth)[0, 1] > 0.9
            np.testing.assert_allclose(change[side], truth, atol=0.35)
        planted = {TRUTH.gene_names[place] for place in np.flatnonzero(abs(truth) > 0.3)}
        found = {gene for gene, rate in zip(change["genes"], change["rate"], strict=True) if rate < 0.05}
        assert planted <= found
        assert set(change["shapes"]) & planted
        assert change["fold"][change["genes"].index(name)] < -1, "the gene that is perturbed falls"


def test_ranks_of_the_heat_map_are_those_of_the_rows_and_planted_effects_are_on_the_diagonal() -> None:
    ranks = PAGES.curves["ranks"]
    assert ranks["of"] == len(ranks["columns"]) == 18
    for number, name in enumerate(ranks["rows"]):
        row = next(each for each in PAGES.curves["pairs"] if each["pair"] == name)
        assert ranks["columns"][ranks["own"][number]] == name
        assert ranks["ranks"][number][ranks["own"][number]] == row["rank"] == 1
        own = name.split(",")[0]
        nearest = [ranks["columns"][place] for place in np.argsort(ranks["ranks"][number])[:3]]
        assert {each.split(",")[0] for each in nearest} == {own}, "the same perturbation in the other types comes next"
        assert sorted(ranks["ranks"][number]) == list(range(1, 19))


def test_the_map_holds_every_kind_of_cell_once_and_generated_ones_lie_where_real_ones_do() -> None:
    known = PAGES.curves["map"]
    assert list(known["origin"]) == ["control", "real, held out", "generated"]
    assert len(known["origin"]["real, held out"]) == len(known["origin"]["generated"]) == 3 * (400 // 3)
    assert [place for each in known["kinds"].values() for place in each["generated"]] == known["origin"]["generated"]
    real, made = (np.array(known["origin"][name]) for name in ("real, held out", "generated"))
    assert np.linalg.norm(real.mean(axis=0) - made.mean(axis=0)) < 0.2 * real.std()
    assert known["why"] == "beeline evaluate draws one"


def test_rows_are_in_the_pages_and_in_a_table_of_their_own() -> None:
    rows = effects_by_pair(TRAINING, HELD_OUT, FRESH, TRUTH.gene_names, CONTEXTS)
    by_name = {row.pair: row for row in rows}
    table = list(csv.DictReader(PAGES.files[PAIRS].decode().splitlines()))
    assert [each["pair"] for each in table] == [each["pair"] for each in PAGES.curves["pairs"]]
    sizes = [each["effect_size"] for each in PAGES.curves["pairs"]]
    assert sizes == sorted(sizes, reverse=True)
    for each in table:
        row = by_name[each["pair"]]
        assert float(each["energy distance"]) == pytest.approx(row.model.energy, rel=1e-4)
        assert float(each["shifted control: delta correlation"]) == pytest.approx(
            row.floors["shifted control"].delta_correlation, rel=1e-4
        )
        assert each["control copy: delta correlation"] == "", "no change has no direction"
        assert each["notes"] == "; ".join(row.notes)


def test_a_few_pairs_are_chosen_and_it_is_told_why() -> None:
    rows = effects_by_pair(TRAINING, HELD_OUT, FRESH, TRUTH.gene_names, CONTEXTS)
    first = replace(rows[0], model=replace(rows[0].model, delta_correlation=0.1))
    noise = replace(
        rows[1],
        model=replace(rows[1].model, delta_correlation=-0.5),
        ceiling=replace(rows[1].ceiling, delta_correlation=0.1),
    )
    worse = replace(rows[2], model=replace(rows[2].model, delta_correlation=0.2))
    assert chosen([rows[2], first, noise]) == [
        (rows[2], "the largest change of 3"),
        (first, "the worst predicted of 3"),
    ]
    assert chosen([first, worse, noise])[1] == (worse, "the worst predicted of 3"), "the largest is shown already"
    assert chosen([first, noise]) == [(first, ""), (noise, "")]
    assert len(PAGES.curves["changes"]) == 2


def test_every_picture_is_valid_and_told_in_words_and_how_to_read_it() -> None:
    pages = json.loads(json.dumps(finite(PAGES.curves)))
    kinds = json.loads(json.dumps(finite(KINDS.curves)))
    charts = [*map_charts(pages["map"]), *pair_charts(pages), *map_charts(kinds["map"]), *kind_charts(kinds["kinds"])]
    charts += [chart for each in pages["changes"] for chart in change_charts(each, pages["pairs"])]
    assert len(charts) == 2 + 2 + 2 + 6 + 2 * 4
    for chart in charts:
        drawing = chart.drawing()
        assert drawing is not None
        assert drawing.note.endswith(".")
        assert drawing.words
        picture = ElementTree.fromstring(drawing.svg())
        assert picture.attrib["role"] == "img"
        assert drawing.title in picture.attrib["aria-label"]
        assert "http" not in drawing.svg().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"nan|inf\b|None", drawing.svg().replace(drawing.title, ""))
        again = chart.drawing()
        assert again is not None
        assert drawing.svg() == again.svg()
        assert "var(" not in drawing.svg()


def test_a_report_holds_every_section_and_the_words_of_the_table() -> None:
    worse = pages_of((TRAINING, HELD_OUT, LOW["mean perturbation"]), CHEAP, KNOWN, umap=False)
    page = build_report("cells", cell_sections(json.loads(json.dumps(finite(worse.curves)))))
    for words in (
        *("PC: real and generated", "PC: populations", "Which real change is a prediction like?"),
        *("Correlation by the size of the effect", "Predicted and observed change", "Genes that change most"),
        *("Volcano, real", "Volcano, predicted", "the largest change of 3", "the worst predicted of 3"),
        *("shifted control is nearer to the real cells than the model", "of 18", "predicted, ", ASKED[0]),
        "shifted control predicts the change better than the model",
    ):
        assert words in page, words
    page = build_report("kinds", cell_sections(json.loads(json.dumps(finite(KINDS.curves)))))
    for words in ("Mean of each gene", "Variance of each gene", " by kind", '<th scope="col">kind</th>'):
        assert words in page, words
    assert "delta correlation" not in page
    assert cell_sections({}) == []


def test_kinds_are_told_by_their_markers_and_their_means_lie_on_the_line() -> None:
    kinds = KINDS.curves["kinds"]
    markers = {place // TRUTH.changed for place in map(TRUTH.gene_names.index, list(kinds["shapes"])[:3])}
    assert markers == {0, 1, 2}, "one of each type"
    assert sorted(kinds["means"]) == sorted(TRUTH.types)
    for kind, pairs in kinds["means"].items():
        np.testing.assert_allclose(np.array(pairs)[:, 0], TRUTH.mean((), kind), atol=0.35)
        np.testing.assert_allclose(np.array(pairs)[:, 0], np.array(pairs)[:, 1], atol=0.45)
    for pairs in kinds["variances"].values():
        assert np.median(np.divide(*np.array(pairs).T)) == pytest.approx(1, abs=0.15)


def test_genes_that_tell_kinds_apart_are_the_highest_of_each() -> None:
    random = np.random.default_rng(0)
    kinds = [random.normal(size=(50, 6)) + 5 * (np.arange(6) == place) for place in range(3)]
    assert telling_genes(kinds, 3) == [0, 1, 2]
    assert sorted(telling_genes([random.normal(size=(99, 6)) * np.arange(6)], 2)) == [4, 5]


def test_labels_are_kinds_where_nothing_is_a_context() -> None:
    sides = cells(TYPES, 1), cells(TYPES, 5), cells(TYPES, 6)
    pages = pages_of(sides, {}, Expression(TRUTH.gene_names, (), tuple(CONTEXTS)), umap=False)
    assert {each["shown"] for each in pages.curves["pairs"]} == set(TRUTH.types)
    whole = pages_of(sides, {}, Expression(TRUTH.gene_names), umap=False)
    assert [each["shown"] for each in whole.curves["pairs"]] == ["all cells"]
    assert build_report("", cell_sections(json.loads(json.dumps(finite(whole.curves)))))


def test_scaled_cells_have_no_fold_changes_and_no_volcanoes() -> None:
    pages = pages_of((TRAINING, HELD_OUT, FRESH[:COUNT]), {}, replace(KNOWN, logarithmic=False), umap=False).curves
    assert all("fold" not in each for each in pages["changes"])
    assert len(change_charts(pages["changes"][0], pages["pairs"])) == 2


def test_a_map_without_umap_or_of_few_cells_is_of_two_components_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    few = {"a": random.normal(size=(9, 4)), "b": random.normal(size=(5, 4))}
    plane = plane_of(few)
    assert (plane.name, plane.why) == ("PC", f"it says little of fewer than {LEAST_FOR_UMAP} cells")
    np.testing.assert_allclose(plane.places["b"], few["b"][:, :2], rtol=1e-6)
    assert plane_of({"a": few["a"][:, :1]}).places["a"].shape == (9, 2)
    monkeypatch.setitem(sys.modules, "umap", None)
    many = plane_of({"a": random.normal(size=(LEAST_FOR_UMAP, 4))})
    assert many.name == "PC"
    assert "umap-learn is not installed" in many.why


@pytest.mark.slow
def test_a_umap_keeps_populations_apart_is_seeded_and_leaves_the_threads_alone() -> None:
    random = np.random.default_rng(0)
    groups = {"one": random.normal(size=(120, 8)), "other": random.normal(size=(120, 8)) + 6}
    threads = torch.get_num_threads()
    plane = plane_of(groups, seed=1)
    assert plane.name == "UMAP"
    assert torch.get_num_threads() == threads
    one, other = plane.places["one"], plane.places["other"]
    assert np.linalg.norm(one.mean(axis=0) - other.mean(axis=0)) > 3 * max(
        one.std(axis=0).max(), other.std(axis=0).max()
    )
    np.testing.assert_array_equal(plane_of(groups, seed=1).places["one"], one)
    assert not np.array_equal(plane_of(groups, seed=2).places["one"], one)


def test_a_run_shows_its_cells_after_training_and_after_an_evaluation(tmp_path: Path) -> None:
    cells_file(tmp_path / "cells.h5ad", 12)
    held_out = ";".join(f"cell_type=NK,gene={name}" for name in SMALL.perturbations[:2])
    options = {
        **FAST,
        "train.steps": 2,
        "train.score_samples": 12,
        "data.perturbation_key": "gene",
        "data.context": "cell_type",
        "data.components": 6,
        "data.start": "control",
        "data.held_out_populations": held_out,
        "process.source": "condition",
        "process.end": "control",
    }
    run = train(str(tmp_path / "cells.h5ad"), tmp_path / "run", options=options)
    scores = json.loads((run / "scores.json").read_text())
    assert [each["pair"] for each in scores["curves"]["cells"]["pairs"]]
    assert "PC: real and generated" in (run / "report.html").read_text()
    evaluate(run, n=24, spaces=[], steps=2)
    (path,) = (run / "evaluations").glob("*.json")
    found = json.loads(path.read_text())["curves"]["cells"]
    assert {each["perturbation"][0] for each in found["pairs"]} == set(SMALL.perturbations[:2])
    assert "additive" not in found["pairs"][0]["floors"]
    assert {"control copy", "shifted control", "mean perturbation"} <= set(found["pairs"][0]["floors"])
    table = list(csv.DictReader((path.with_suffix("") / PAIRS).read_text().splitlines()))
    assert [each["pair"] for each in table] == [each["pair"] for each in found["pairs"]]
    assert [int(each["n_generated"]) for each in table] == [12, 12]
    page = (run / "report.html").read_text()
    for words in ("Cells: pairs", "Which real change is a prediction like?", "Volcano, predicted", "it says little of"):
        assert words in page, words

"""Models are compared on the same data, seeds and measures, or not at all."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from beeline.cli.compare import compare
from beeline.cli.console import Display
from beeline.cli.train import train
from beeline.core.errors import UserError
from beeline.evaluate.comparison import Axes, entries_of
from beeline.evaluate.comparison import compare as compare_entries
from beeline.evaluate.evaluation import Evaluator
from beeline.generate.engine import Engine, Request
from beeline.generate.load import load
from beeline.metrics.catalogue import MMD
from tests.conftest import FAST


@pytest.fixture(scope="module")
def other_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {**FAST, "train.steps": 10, "objective.prediction": "noise", "process.path": "vp"}
    return train("digits", tmp_path_factory.mktemp("runs") / "other", options=options)


def test_a_run_does_not_differ_from_itself_and_the_table_is_tidy(
    small_run: Path, other_run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small_run, copy)
    out = tmp_path / "out"
    found = compare([small_run, copy, other_run], n=40, seed=3, spaces=["pca-32"], out=out)
    for record in found.records:
        assert found.apart(1, record).value == 0.0, record.metric
    mmd = next(record for record in found.records if record.metric == "MMD^2")
    assert found.apart(2, mmd).low < found.apart(2, mmd).value < found.apart(2, mmd).high
    rows = list(csv.DictReader((out / "comparison.csv").read_text().splitlines()))
    assert len(rows) == 3 * len(found.records)
    assert {row["entry"] for row in rows} == {"small", "copy", "other"}
    stored = json.loads((out / "comparison.json").read_text())
    assert stored["protocol"]["n"] == 40
    assert stored["protocol"]["spaces"]["pca-32"]["sha256"]
    entries = {each["entry"]: each for each in stored["entries"]}
    assert set(entries) == {"small", "copy", "other"}
    assert entries["small"]["sha256"] == entries["copy"]["sha256"] != entries["other"]["sha256"]
    assert {"step", "sampler", "grid", "precision", "passes"} <= entries["other"].keys()
    assert stored["protocol"]["left_out"] == {}
    assert [row["difference"] == "" for row in rows[:3]] == [row["entry"] == "small" for row in rows[:3]]
    for row in rows:
        assert row["difference"] == "" or math.isfinite(float(row["difference"])), "numbers alone, no words"
    with pytest.raises(UserError, match="overwrites nothing"):
        compare([small_run], n=12, out=out)
    page = (out / "report.html").read_text()
    assert "other" in page
    assert page.count("data:image/png") == 3


def test_e41_quality_stands_beside_what_it_costs_in_one_table(small_run: Path, tmp_path: Path) -> None:
    """Passes, samplers and scales are axes of the table; no quality is told without passes, seconds and FLOPs."""
    found = compare([small_run], n=12, passes=[4, 8], samplers=["heun", "euler"], spaces=[], out=tmp_path / "o")
    assert [each.entry.name for each in found.measured] == [
        f"small, {sampler}, {passes} passes" for sampler in ("heun", "euler") for passes in (4, 8)
    ]
    assert [each.passes for each in found.measured] == [4, 8, 4, 8]
    flops = [each.flops for each in found.measured]
    assert flops[1] == 2 * flops[0] == flops[3]
    for row in found.rows():
        assert row["passes"] > 0
        assert row["seconds_per_sample"] > 0
        assert row["flops_per_sample"] > 0


def test_paired_differences_are_narrower_than_what_they_are_made_of(small_run: Path, tmp_path: Path) -> None:
    """What both share, the starts, the conditions and the real examples, cancels."""
    found = compare([small_run], n=60, samplers=["euler"], passes=[20, 21], spaces=["pca-32"], out=tmp_path / "o")
    record = next(each for each in found.records if each.metric == "Frechet distance")
    own, apart = found.estimate(1, record), found.apart(1, record)
    assert apart.high - apart.low < 0.2 * (own.high - own.low)


def test_other_data_another_split_and_other_units_are_refused(small_run: Path, tmp_path: Path) -> None:
    fewer = train("digits", tmp_path / "fewer", options={**FAST, "train.steps": 2, "data.held_out": 0.3})
    with pytest.raises(UserError, match="different splits do not compare"):
        compare([small_run, fewer], n=12, spaces=["pca-32"], out=tmp_path / "o")
    waves = train("waves", tmp_path / "waves", options={**FAST, "train.steps": 2})
    with pytest.raises(UserError, match=r"do not compare"):
        compare([small_run, waves], n=12, spaces=["pca-32"], out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_each_entry_is_asked_under_the_conditions_of_its_own_run(
    small_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same name with other values (a month, a level) would be fed to the other model without a word."""
    engines = [load(small_run), load(small_run)]
    training, held_out = (engines[0].modality.dataset(split) for split in ("train", "held_out"))
    evaluator = Evaluator(engines[0], small_run, training, held_out, ["pca-32"], [MMD])
    first = entries_of(small_run, "first", engines[0], Axes(), held_out[0], {})[0]
    turned = [dataclasses.replace(each, condition={"label": 9 - each.condition["label"]}) for each in held_out]
    other = dataclasses.replace(first, name="other", run=small_run / "other", engine=engines[1], held_out=turned)
    asked: list[list[Request]] = []
    generate = Engine.generate

    def spied(self: Engine, requests: list[Request], *rest: Any, **more: Any) -> object:
        asked.append(list(requests))
        return generate(self, requests, *rest, **more)

    monkeypatch.setattr(Engine, "generate", spied)
    found = compare_entries(evaluator, [first, other], 12, 0, Display("silent").work, "compare")
    own, theirs = ([each.condition["label"] for each in requests] for requests in asked)
    assert theirs == [9 - label for label in own]
    for each in found.measured:
        assert [one.condition["label"] for one in each.drawn.samples.examples] == own, "what the measures know it by"
    assert json.dumps(found.as_json(), allow_nan=False)
    unknown = [dataclasses.replace(each, condition={"label": 99}) for each in held_out]
    asked.clear()
    with pytest.raises(UserError, match="held-out example 0"):
        compare_entries(
            evaluator, [first, dataclasses.replace(other, held_out=unknown)], 12, 0, Display("silent").work, "compare"
        )
    assert not asked


def test_a_number_that_an_entry_lacks_is_not_known_and_no_error(small_run: Path, tmp_path: Path) -> None:
    found = compare([small_run], n=12, spaces=[], out=tmp_path / "o")
    empty = dataclasses.replace(found, measured=[*found.measured, dataclasses.replace(found.measured[0], outcomes={})])
    assert math.isnan(empty.apart(1, found.records[0]).value)
    assert len(empty.rows()) == 2 * len(found.records)


def test_the_command_names_every_flag_that_was_given(small_run: Path, tmp_path: Path) -> None:
    found = compare(
        *([small_run, small_run], 12, 2, [4], ["euler", "heun"], [1.0], ["pixels"], tmp_path / "o", "cpu"),
        precision="fp32",
        guide_channels=None,
    )
    command = f"beeline compare {small_run} {small_run} -n 12 --seed 2 --passes 4 --samplers euler heun --scales 1.0"
    command += " --spaces pixels --device cpu --precision fp32 --guide-channels all"
    page = (tmp_path / "o" / "report.html").read_text()
    assert command in page
    assert page.count("data:image/png") == 4, "a picture an entry, of runs with one name too"
    assert len({each.entry.name for each in found.measured}) == 4

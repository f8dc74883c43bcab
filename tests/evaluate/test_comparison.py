"""Models are compared on the same data, seeds and measures, or not at all."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from beeline.cli.compare import compare
from beeline.cli.train import train
from beeline.core.errors import UserError
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
    assert "=" not in rows[0]["difference"]
    page = (out / "report.html").read_text()
    assert "other" in page
    assert page.count("data:image/png") == 3


def test_e41_quality_stands_beside_what_it_costs_in_one_table(small_run: Path, tmp_path: Path) -> None:
    """Passes, samplers and scales are axes of the table; no quality is told without passes, seconds and FLOPs."""
    found = compare([small_run], n=12, passes=[4, 8], samplers=["heun", "euler"], spaces=["pca-32"], out=tmp_path / "o")
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


def test_the_share_of_the_gap_is_known_only_where_the_floor_is_the_worse(small_run: Path, tmp_path: Path) -> None:
    found = compare([small_run], n=40, spaces=["pca-32"], out=tmp_path / "o")
    frechet = next(each for each in found.records if each.metric == "Frechet distance")
    half = dataclasses.replace(frechet, value=(frechet.floor + frechet.ceiling) / 2)
    assert half.share == pytest.approx(0.5)
    assert math.isnan(dataclasses.replace(half, better=None).share)
    assert np.isnan(dataclasses.replace(half, better="higher").share)

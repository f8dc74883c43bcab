"""A record says what it may be compared with, and fits into JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from beeline.core.errors import RunError
from beeline.evaluate.records import Evaluation, Record, read_evaluations


def record(**more: Any) -> Record:
    return Record(**{"metric": "m", "formula": "m-1", "meaning": "x", "space": "modality", "n": 9, "seed": 0, **more})


def test_the_floor_is_the_baseline_nearer_to_the_ceiling() -> None:
    falling = record(value=2.0, floors={"class means": 9.0, "resampled values": 5.0}, ceiling=1.0)
    rising = record(value=0.5, floors={"class means": 0.3, "resampled values": 0.1}, ceiling=0.9)
    assert (falling.floor_name, falling.floor) == ("resampled values", 5.0)
    assert (rising.floor_name, rising.floor) == ("class means", 0.3)
    assert record(value=1.0, floors={"class means": math.nan, "resampled values": 7.0}, ceiling=1.0).floor == 7.0
    without = record(value=1.0, floors={"class means": 1.0})
    assert without.floor_name is None
    assert math.isnan(without.floor)


def test_bounds_are_kept_missed_or_absent() -> None:
    assert record(value=0.98, good_low=0.95).line() == "m 0.980 (at least 0.95: reached)"
    assert record(value=0.5, good_low=0.7, good_high=1.3).line() == "m 0.500 (at least 0.7 and at most 1.3: missed)"
    assert record(value=2.0).line() == "m 2.000"
    assert record(value=2.0).good is None
    assert record(value=math.nan, good_low=0.0).good is False
    told = record(value=2.0, space="pca-32", low=1.0, high=3.0, floors={"a": 9.0}, ceiling=0.5).line()
    assert told == "m (pca-32) 2.000 [1.000, 3.000]; floor 9.000 (a), ceiling 0.500"
    assert record(value=math.nan, failure="why").verdict() == "failed: why"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.000"), (0.98, "0.980"), (0.00039071, "0.0003907"), (1234.5, "1,234"), (4653812.0, "4,654,000"),
     (-94101.0, "-94,100"), (3e13, "3e+13")],
)  # fmt: skip
def test_numbers_of_a_line_are_short_and_large_ones_are_written_out(value: float, text: str) -> None:
    assert record(value=value).line() == f"m {text}"


def test_what_is_not_finite_is_null_in_json(tmp_path: Path) -> None:
    found = Evaluation(
        {"seconds": math.inf}, [record(value=math.nan)], {"passes": {"series": [{"values": [math.nan]}]}}
    )
    (tmp_path / "scores.json").write_text(json.dumps(found.as_json(), allow_nan=False))
    (tmp_path / "evaluations").mkdir()
    (tmp_path / "evaluations" / "evaluation-001.json").touch()
    ((path, read),) = read_evaluations(tmp_path)
    assert path.name == "scores.json"
    assert read["protocol"] == {"seconds": None}
    assert read["curves"]["passes"]["series"][0]["values"] == [None]
    assert {"metric", "formula", "meaning", "space", "n", "seed", "value", "low", "high", "floor", "floor_name",
            "floors", "ceiling", "share", "good_low", "good_high", "good", "better", "channel", "units", "target",
            "failure", "n_ceiling", "draws", "inputs", "groups"} == set(read["records"][0])  # fmt: skip
    assert read["records"][0]["value"] is read["records"][0]["good_low"] is None


def test_only_a_modalitys_own_failing_metric_is_an_error() -> None:
    Evaluation({}, [record(value=math.nan, space="pca-32", failure="too few")]).refuse_failures()
    with pytest.raises(RunError, match=r"metric 'm' failed \(why\)"):
        Evaluation({}, [record(value=math.nan, failure="why")]).refuse_failures()


def test_a_baseline_that_is_right_by_construction_is_no_floor() -> None:
    """Training fields in the place of draws are calibrated: their share of the gap would have any size and sign."""
    near = {"value": 0.9, "low": 0.85, "high": 0.95, "target": 1.0}
    assert math.isnan(record(**near, floors={"training fields": 1.003}).share)
    assert math.isnan(record(**{**near, "value": 0.999}, floors={"training fields": 1.003}).share)
    assert math.isnan(record(value=0.6, target=1.0, floors={"training fields": 1.05}).share), "the floor is the better"
    assert record(**near, floors={"class means": 0.5}).share == pytest.approx(0.8)


def test_a_share_needs_floor_and_ceiling_of_the_same_n_where_the_number_depends_on_it() -> None:
    known = {"value": 2.0, "floors": {"class means": 9.0}, "ceiling": 1.0, "better": "lower", "n": 1000}
    assert record(**known, formula="frechet-gaussian-1", n_ceiling=980).share == pytest.approx(7 / 8)
    assert math.isnan(record(**known, formula="frechet-gaussian-1", n_ceiling=300).share)
    assert record(**known, formula="mmd2-cubic-2", n_ceiling=300).share == pytest.approx(7 / 8), "it is unbiased"


def test_the_share_of_the_gap_is_known_only_where_the_floor_is_the_worse_and_the_gap_is_told() -> None:
    half = record(value=3.0, floors={"class means": 5.0}, ceiling=1.0, better="lower")
    assert half.share == 0.5
    assert math.isnan(dataclasses.replace(half, better=None).share)
    assert math.isnan(dataclasses.replace(half, better="higher").share)
    assert dataclasses.replace(half, low=2.0, high=4.0).share == 0.5
    assert math.isnan(dataclasses.replace(half, low=-1.5, high=7.5).share), "the interval is wider than the gap"

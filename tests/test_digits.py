"""The main job: 150 steps, and the whole recipe; both take longer than a default run has for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.train.helpers import command, finish


def scores(run: Path) -> dict[str, float]:
    records = json.loads((run / "scores.json").read_text())["records"]
    return {record["metric"]: record["value"] for record in records}


@pytest.mark.slow
def test_150_steps_of_digits_already_draw_digits(tmp_path: Path) -> None:
    run = tmp_path / "digits"
    words = ["--train.steps", "150", "--train.threads", "1", "--train.score_samples", "400", "--sample.steps", "10"]
    words += ["--train.sample_every", "0", "--train.held_out_every", "0", "--train.tensorboard", "false"]
    done = finish(command("train", "digits", "--out", str(run), *words))
    assert done.returncode == 0, done.stderr
    reached = scores(run)
    assert reached["label agreement"] > 0.5
    assert 0.4 < reached["variance ratio"] < 1.6
    assert reached["nearest distance ratio"] > 0.9
    losses = [json.loads(line)["loss"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.6 < 1.2 < losses[0]


@pytest.mark.slow
def test_the_whole_recipe_reaches_the_bounds_of_its_modality(tmp_path: Path) -> None:
    """At cfg_scale 1: agreement >= 0.95, variance ratio 0.7 to 1.3, nearest distance ratio >= 0.9, 1,000 samples."""
    run = tmp_path / "digits"
    done = finish(command("train", "digits", "--out", str(run)))
    assert done.returncode == 0, done.stderr
    record = json.loads((run / "scores.json").read_text())
    assert record["protocol"]["cfg_scale"] == 1.0
    for score in record["records"]:
        assert score["n"] == 1000
        assert score["good"] is not False, score

"""Bits per dimension as an evaluation holds them: protocol, floors, bounds and refusals."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from beeline.cli.evaluate import evaluate
from beeline.cli.train import train
from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.evaluate.likelihood import independent_gaussians, measure_likelihood
from beeline.evaluate.sets import read_sets
from beeline.generate.load import load
from tests.conftest import FAST
from tests.train.helpers import command, finish


def test_independent_gaussians_are_the_expected_bits_of_dequantised_numbers() -> None:
    """Against Monte Carlo over dequantisation; a number that never varies is a level wide."""
    random = np.random.default_rng(0)
    training = [Example(np.array([random.binomial(20, 0.3), 7], dtype=np.uint8)) for _ in range(400)]
    asked = training[::7]
    real = np.stack([each.array for each in training]).astype(float)
    deviation = np.sqrt(real.var(axis=0) + 1 / 12)
    moved = np.stack([each.array for each in asked])[None] + random.uniform(-0.5, 0.5, (4000, len(asked), 2))
    nats = 0.5 * ((moved - real.mean(axis=0)) / deviation) ** 2 + np.log(deviation * math.sqrt(2 * math.pi))
    found = independent_gaussians(training, asked)
    assert found == pytest.approx(nats.mean() / math.log(2), abs=3e-3)
    floats = [Example(each.array.astype(float)) for each in training]
    assert math.isnan(independent_gaussians(floats, floats)), "a number that never varies has no density"
    assert math.isnan(independent_gaussians([*floats, Example(np.zeros(3))], floats))


def test_evaluations_hold_bits_of_held_out_and_of_training_examples(small_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    done = finish(command("evaluate", str(run), "-n", "12", "--spaces", "pca-32", "--likelihood", "6", "--seed", "3"))
    assert done.returncode == 0, done.stderr
    contents = json.loads((run / "evaluations" / "evaluation-001.json").read_text())
    held_out, train_set = (each for each in contents["records"] if each["formula"] == "bits-ode-dequantised-1")
    assert (held_out["space"], train_set["space"], held_out["n"], held_out["seed"]) == ("held out", "train", 6, 3)
    assert held_out["ceiling"] == train_set["value"]
    assert held_out["floor_name"] == "independent Gaussians"
    assert held_out["low"] < held_out["value"] < held_out["high"]
    assert 5 < held_out["value"] < 9, "ten steps are no model yet, and 8 bits are what even levels cost"
    told = contents["protocol"]["likelihood"]
    assert (told["trace"], told["probes"], told["dequantised"], told["noise"]) == ("hutchinson", 2, True, 0.0)
    assert (told["passes"], told["seed"], told["prior_gap_nats"]) == (20 * 4 * 3, 3, 0.0)
    assert told["n"] == {"held out": 6, "train": 6}
    assert told["bound_left_out"] == "this objective has none"
    assert "bits per dimension, held out" in (run / "report.html").read_text()


def test_a_learned_variance_has_its_bound_beside_it(tmp_path: Path) -> None:
    """Fresh weights on few levels: the bound is there in the same units, and so is what the path leaves out."""
    options = {
        **FAST, "train.steps": 1, "process.path": "ddpm", "process.levels": 8, "process.schedule": "cosine",
        "objective.prediction": "noise", "objective.variance": "learned",
    }  # fmt: skip
    engine = load(train("digits", tmp_path / "ddpm", options=options))
    sets = read_sets(*(engine.modality.dataset(each) for each in ("train", "held_out")))
    found = measure_likelihood(engine, sets, 4, 0)
    assert [each.formula for each in found.records] == ["bits-ode-dequantised-1"] * 2 + ["bits-bound-ddpm-1"] * 2
    assert found.protocol["bound_passes"] == 8
    assert found.protocol["noise"] > 0
    assert found.protocol["prior_gap_nats"] > 0
    assert "of data plus noise" in found.records[0].meaning
    assert found.records[2].floors == found.records[0].floors


def test_guidance_is_refused_before_any_work(small_run: Path) -> None:
    with pytest.raises(UserError, match="likelihood needs cfg_scale 1"):
        evaluate(small_run, n=5, likelihood=2, cfg_scale=2.0)
    assert not (small_run / "evaluations").exists()

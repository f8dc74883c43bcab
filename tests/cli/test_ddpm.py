"""A DDPM from end to end: trained with a learned variance, opened again, and drawn from in every way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beeline.cli.train import train
from beeline.core.errors import UserError
from beeline.generate.engine import Engine
from beeline.generate.load import load
from tests.conftest import FAST
from tests.train.helpers import command, finish

DDPM_OPTIONS = {
    **FAST,
    "train.steps": 6,
    "process.path": "ddpm",
    "objective.prediction": "noise",
    "objective.variance": "learned",
    "sample.sampler": "ddpm",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train("digits", tmp_path_factory.mktemp("ddpm") / "run", options=DDPM_OPTIONS)


@pytest.fixture(scope="module")
def engine(run: Path) -> Engine:
    return load(run)


def test_a_run_with_a_learned_variance_trains_and_is_opened_as_what_it_is(run: Path, engine: Engine) -> None:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert any("held_out_loss_by_time" in line for line in lines)
    stored = json.loads((run / "model.json").read_text())["conventions"]
    assert (stored["path"], stored["time_input"], stored["interval"]) == ("ddpm", "1000 t - 1", [0.001, 1.0])
    assert engine.network.outputs == 2
    assert (run / "report.html").is_file()


WAYS: list[dict[str, Any]] = [
    {},
    {"clip": 1.0},
    {"cfg_scale": 3.0},
    {"sampler": "ddim"},
    {"sampler": "ddim", "eta": 1.0},
    {"sampler": "heun"},
    {"sampler": "euler", "grid": "cosine"},
    {"grid": "uniform"},
]


@pytest.mark.parametrize("options", WAYS)
def test_an_item_is_the_same_sample_in_any_batch_however_it_is_drawn(engine: Engine, options: dict[str, Any]) -> None:
    requests = engine.requests(5, {"label": 3})
    settings = engine.settings(steps=4, **options)
    drawn = [engine.generate(requests, 7, settings, batch_size) for batch_size in (2, 5)]
    arrays = [np.stack([each.array for each in samples.examples]).astype(int) for samples in drawn]
    assert np.abs(arrays[0] - arrays[1]).max() <= 1, "the same to the last grey level"
    assert np.abs(arrays[0] - arrays[0][:1]).max() > 10
    grid = {"ddpm": "respaced", "ddim": "strided"}.get(settings.sampler, "uniform")
    assert drawn[0].provenance["grid"] == options.get("grid", grid)
    ends_at_data = drawn[0].provenance["grid"] in ("respaced", "strided")
    passes = 4 * (2 if settings.sampler == "heun" else 1) + (0 if ends_at_data else 1)
    assert drawn[0].provenance["passes"] == passes * (2 if settings.cfg_scale != 1 else 1)


def test_flags_of_the_command_reach_the_sampler(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "drawn"
    flags = ["--sampler", "ddim", "--eta", "0.5", "--clip", "1", "--steps", "3", "-n", "2", "--out", str(out)]
    done = finish(command("sample", str(run), *flags))
    assert done.returncode == 0, done.stderr
    record = json.loads((out / "samples.json").read_text())
    assert (record["sampler"], record["eta"], record["clip"], record["passes"]) == ("ddim", 0.5, 1.0, 3)
    refused = finish(command("sample", str(run), "--sampler", "heun", "--eta", "0.5"))
    assert refused.returncode == 2
    assert "eta 0.5: belongs to sampler ddim" in refused.stderr


def test_what_does_not_fit_the_model_is_refused(engine: Engine, small_run: Path) -> None:
    with pytest.raises(UserError, match="this model has learned the variance of its steps"):
        engine.sample(1, variance="small")
    with pytest.raises(UserError, match="steps 2000: this process has 1000 levels"):
        engine.sample(1, steps=2000)
    with pytest.raises(UserError, match="grid respaced: needs the levels of path ddpm"):
        load(small_run).sample(1, sampler="ddpm", grid="respaced")


def test_options_that_do_not_fit_are_refused_before_training(tmp_path: Path) -> None:
    for options, message in (
        ({"process.path": "linear"}, "objective.variance learned: needs steps between levels"),
        ({"sample.variance": "small"}, "this model has learned the variance"),
        ({"sample.steps": 1001}, "steps 1001: this process has 1000 levels"),
        ({"process.schedule": "cosinus"}, "did you mean 'cosine'"),
    ):
        with pytest.raises(UserError, match=message.replace(".", r"\.")):
            train("digits", tmp_path / "run", options={**DDPM_OPTIONS, **options})
    assert not (tmp_path / "run").exists()

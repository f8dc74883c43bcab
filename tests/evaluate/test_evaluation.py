"""An evaluation says all that its numbers depend on; baselines and real data go through the same function."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from beeline.cli.evaluate import evaluate
from beeline.cli.train import train
from beeline.core.data import Geometry
from beeline.core.errors import UserError
from beeline.evaluate.curves import held_out_loss_by_time, quality_by_passes, steps_for_passes
from beeline.evaluate.evaluation import Drawn, Evaluator, evaluation
from beeline.evaluate.measures import Measures
from beeline.evaluate.outcome import Outcome, Place
from beeline.evaluate.sets import Sets
from beeline.generate.engine import Samples
from beeline.generate.load import load
from beeline.metrics.catalogue import FRECHET, MMD, NEAREST, NEIGHBOURS
from tests.conftest import FAST


@pytest.fixture(scope="module")
def evaluator(small_run: Path) -> Evaluator:
    engine = load(small_run)
    training, held_out = (engine.modality.dataset(split) for split in ("train", "held_out"))
    return Evaluator(engine, small_run, training, held_out, ["pca-32"])


def test_real_samples_reach_the_ceiling_and_baselines_the_floor(evaluator: Evaluator) -> None:
    """What stands in the place of samples meets the same function: real examples score as the ceiling does."""
    held_out = evaluator.sets.held_out
    fake = {**evaluator.engine.origin, "seed": 0, "passes": 0}
    records = evaluator.compare(Drawn(Samples(held_out[::2], fake), 1.0))
    found = {(record.formula, record.space): record for record in records}
    frechet = found[FRECHET.formula, "pca-32"]
    assert frechet.ceiling < 0.5 * frechet.floor
    assert frechet.value < 2 * frechet.ceiling, "half of the reference itself"
    assert set(frechet.floors) == {"class means", "resampled values"}
    assert found["images/nearest distance ratio", "modality"].ceiling == pytest.approx(1.0, abs=0.1), (
        "real training examples are held against the other training examples, not against themselves"
    )
    assert found["images/variance ratio", "modality"].floors["class means"] == pytest.approx(0.0, abs=1e-3)
    assert found["images/variance ratio", "modality"].good is True


def test_copies_of_training_examples_are_told_by_their_distance(evaluator: Evaluator) -> None:
    copies = [evaluator.sets.used[index] for index in range(50)]
    assert evaluator.measures(copies)[NEAREST.formula, "pca-32", ""].estimate.value < 1e-6
    seen = evaluator.measures(copies, seen=range(50))[NEAREST.formula, "pca-32", ""].estimate.value
    assert seen == pytest.approx(1.0, abs=0.25)
    all_of_them = evaluator.measures(evaluator.sets.used, seen=range(len(evaluator.sets.used)))
    assert all_of_them[NEAREST.formula, "pca-32", ""].failure == "too few training examples are left beside the samples"
    assert math.isfinite(all_of_them[FRECHET.formula, "pca-32", ""].estimate.value)


def test_few_samples_and_odd_shapes_have_no_distance_but_say_why(evaluator: Evaluator) -> None:
    few = evaluator.measures(evaluator.sets.held_out[:9])
    assert few[MMD.formula, "pca-32", ""].failure == "needs at least 10 samples"
    assert few["images/variance ratio", "modality", ""].failure is None


def test_the_protocol_holds_all_that_the_numbers_depend_on(small_run: Path, tmp_path: Path) -> None:
    """Point 10 of what users ask for: numbers that cannot be reproduced because the protocol is implicit."""
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    records = evaluate(run, n=30, seed=5, passes=[4, 9], spaces=["pixels", "pca-32"])
    contents = json.loads((run / "evaluations" / "evaluation-001.json").read_text())
    protocol = contents["protocol"]
    expected: dict[str, Any] = {
        "made_by": "evaluate", "n": 30, "seed": 5, "sampler": "heun", "steps": 2, "passes": 4, "cfg_scale": 1.0,
        "precision": "fp32", "device": "cpu", "threads": 1, "weights": "averaged", "step": 10, "left_out": {},
    }  # fmt: skip
    assert {name: protocol[name] for name in expected} == expected
    assert protocol["samples"].startswith("uint8, as a user gets them")
    assert protocol["samples_per_second"] == pytest.approx(30 / protocol["seconds"])
    assert protocol["data"]["modality"] == "images"
    assert len(protocol["data"]["fingerprint"]) == len(protocol["sha256"]) == 64
    assert (protocol["sets"]["train_used"], protocol["sets"]["ceiling_n"]) == (1437, 30)
    assert protocol["spaces"]["pca-32"]["numbers"] == 32
    assert {"library", "torch", "python", "machine"} <= protocol.keys()
    assert [each["metric"] for each in contents["records"]] == [record.metric for record in records]
    assert all((each["n"], each["seed"]) == (30, 5) for each in contents["records"])
    by_time, passes = contents["curves"]["held_out_loss_by_time"], contents["curves"]["passes"]
    assert (len(by_time["edges"]), len(by_time["values"])) == (11, 10)
    assert (passes["passes"], passes["steps"], passes["asked"]) == ([4, 8], [2, 4], [4, 9])
    assert [line["values"][0] for line in passes["series"]] == [each["value"] for each in contents["records"]], (
        "the run's own setting, on the same start noise"
    )
    assert all(line["values"][0] != line["values"][1] for line in passes["series"] if line["metric"] == "MMD^2")


def test_steps_are_the_most_that_the_passes_allow(small_run: Path, tmp_path: Path) -> None:
    """As provenance counts them: Heun two, guidance double, and one more where the grid stops short of the data."""
    engine = load(small_run)
    example = engine.modality.dataset("held_out")[0]

    def steps(*passes: int, **options: Any) -> list[int]:
        return steps_for_passes(engine, engine.settings(**options), passes, example)

    assert steps(4, 5, 12, 50) == [2, 2, 6, 25]
    assert steps(4, 7, 50, cfg_scale=2.0) == [1, 1, 12]
    assert steps(1, 4, sampler="euler") == [1, 4]
    assert steps(3, 4, sampler="dpmpp_3m") == [3, 4]
    assert steps(1, 5, sampler="stochastic_heun") == [1, 3]
    with pytest.raises(UserError, match="passes 2: 3 steps of dpmpp_3m cost 3 network passes here"):
        steps(2, sampler="dpmpp_3m")
    with pytest.raises(UserError, match="passes: sampler dopri5 chooses its own steps"):
        steps(20, sampler="dopri5")
    # Nodes at 1, 1/2 of which one is guided: 3 passes; at 1, 2/3, 1/3, of which two are: 5; at 3/4, 1/2, 1/4: 7.
    assert steps(3, 4, 5, 6, 7, sampler="euler", cfg_scale=2.0, cfg_interval=(0.0, 0.8)) == [2, 2, 3, 3, 4]
    with pytest.raises(UserError, match="passes 3: one step of heun costs 4 network passes here"):
        steps(3, cfg_scale=2.0)
    with pytest.raises(UserError, match="passes 0: must be at least 1"):
        steps(0)
    options = {**FAST, "train.steps": 1, "process.path": "vp", "objective.prediction": "noise"}
    engine = load(train("digits", tmp_path / "vp", options=options))
    assert steps(3, 4, 5, sampler="heun") == [1, 1, 2]
    assert steps(33, 41, sampler="stochastic_heun") == [16, 20], "though a single step of it is refused"
    assert engine.generate(engine.requests(1, {}), settings=engine.settings(steps=2)).provenance["passes"] == 5


def test_every_bin_of_time_has_the_same_examples_and_times_of_its_own(small_run: Path) -> None:
    engine = load(small_run)
    held_out = engine.modality.dataset("held_out")
    network, times, walked = engine.network, [], []

    def watched(x_t: Any, t: Any, conditions: Any) -> Any:
        times.extend(t.tolist())
        prediction = network(x_t, t, conditions)
        walked.append((x_t.values, t, prediction.velocity))
        return prediction

    engine.network = watched  # type: ignore[assignment]
    found = held_out_loss_by_time(engine, small_run, held_out, seed=0)
    assert found["edges"] == pytest.approx(np.linspace(0, 1, 11))
    assert found["draws"] == 256
    x0 = torch.cat([engine.codec.encode(held_out[int(i)]).tokens.values for i in np.arange(256) * len(held_out) // 256])
    x_t, t, velocity = (torch.cat(each).double().unflatten(0, (10, 256)) for each in zip(*walked, strict=True))
    wanted = (x_t - x0) / t[:, :, None, None]  # e - x0, of a straight path
    direct = (velocity - wanted).square().mean((1, 2, 3))
    assert found["values"][1:] == pytest.approx(direct[1:].tolist(), rel=1e-4), "near t = 0 the division loses digits"
    for place, of_bin in enumerate(np.reshape(times, (10, 256))):
        assert of_bin.min() >= found["edges"][place]
        assert of_bin.max() <= found["edges"][place + 1]
        assert of_bin.mean() == pytest.approx(0.05 + 0.1 * place, abs=0.01)
    assert held_out_loss_by_time(load(small_run), small_run, held_out, seed=0) == found
    assert held_out_loss_by_time(load(small_run), small_run, held_out, seed=1) != found
    assert all(
        low < value < high for low, value, high in zip(found["low"], found["values"], found["high"], strict=True)
    )


def test_e42_only_throughput_that_was_measured_is_quoted(evaluator: Evaluator) -> None:
    """Speed comes from a clock around the drawing of these very samples, and says where."""
    drawn = evaluator.draw(12, 0)
    protocol = evaluation(evaluator, Drawn(drawn.samples, 3.0), "evaluate").protocol
    assert (protocol["seconds"], protocol["samples_per_second"]) == (3.0, 4.0)
    assert (protocol["device"], protocol["threads"]) == ("cpu", 1)
    records = evaluator.compare(drawn)
    curve = quality_by_passes(evaluator, evaluator.engine.defaults, [4], records)
    assert curve["seconds_per_sample"][0] > 0


def test_data_that_are_gone_are_named_without_advice_that_does_not_help_here(tmp_path: Path) -> None:
    data = tmp_path / "images"
    data.mkdir()
    for number in range(12):
        Image.fromarray(np.full((8, 8), number, dtype=np.uint8)).save(data / f"{number}.png")
    run = tmp_path / "run"
    train(str(data), run, options={**FAST, "train.steps": 1, "model.preset": "DiT-Nano"})
    data.rename(tmp_path / "elsewhere")
    with pytest.raises(
        UserError, match=r"needs the data that the model was trained on.*images: no such folder"
    ) as told:
        evaluate(run, n=4)
    assert "--data.path" not in str(told.value)
    assert "UserError" not in str(told.value)


def test_several_draws_of_an_input_and_several_maps_of_a_simulation_are_no_independent_samples(
    evaluator: Evaluator,
) -> None:
    """Intervals rest on held-out groups: copies of a draw do not narrow them, and pairs of a group widen them."""
    sets = evaluator.sets
    few = Sets(sets.training, sets.used, sets.held_out[:40], {})
    assert (few.sample_groups(80) == np.tile(np.arange(40), 2)).all(), "sample i answers input i mod k"
    paired = [dataclasses.replace(each, group=index // 2) for index, each in enumerate(few.held_out)]
    assert len(np.unique(Sets(sets.training, sets.used, paired, {}).sample_groups(80))) == 20
    space = next(each.space for each in evaluator.measures.references if each.space.name == "pca-32")
    measures = Measures(few, [space], evaluator.engine.modality.metrics(), "images", own_intervals=True)
    once = sets.held_out[40:80]
    single, copied = measures(once, 0), measures(once * 5, 0)

    def width(found: dict[Place, Outcome], place: Place) -> float:
        estimate = found[place].estimate
        return estimate.high - estimate.low

    for formula in (MMD, NEAREST, NEIGHBOURS["precision"], NEIGHBOURS["coverage"]):
        place = (formula.formula, "pca-32", "")
        assert width(copied, place) > 0.6 * width(single, place), formula.metric
    own = ("images/variance ratio", "modality", "")
    assert width(copied, own) > 0.6 * width(single, own)


def test_fields_that_cannot_be_measured_say_why(evaluator: Evaluator) -> None:
    gappy = [dataclasses.replace(each, array=np.full((4, 4, 1), np.nan)) for each in evaluator.sets.used[:20]]
    geometry = Geometry(("u",), ("m",), (1.0, 1.0))
    measures = Measures(Sets(gappy, gappy, gappy, {}), [], [], "fields", geometry=geometry)
    reason = "100.0% of those held out were not observed, among them all cells of 20 of 20 inputs"
    assert measures.left_out == {"cells of u": reason}
    assert measures.fields is not None
    assert not measures.fields(evaluator.sets.used[:20], 0, paired=False).keys() & measures.places()
    whole = [dataclasses.replace(each, array=np.ones((4, 4, 1))) for each in gappy]
    mixed = dataclasses.replace(geometry, spacing=(1.0, 5.0))
    assert list(Measures(Sets(whole, whole, whole, {}), [], [], "fields", geometry=mixed).left_out) == ["spectra"]

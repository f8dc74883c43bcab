"""``beeline convert``: slim models that sample as the run does, and averages of other widths."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import beeline
from beeline.cli.convert import convert
from beeline.cli.inspect import inspect
from beeline.cli.sample import sample
from beeline.cli.train import train
from beeline.core.errors import UserError
from beeline.evaluate.requests import real_examples
from beeline.evaluate.widths import held_out_probe
from beeline.model.format import read_tensors
from beeline.train.ema import Tracks
from tests.conftest import FAST, lines_of
from tests.train.helpers import command, finish, make_trainer

STEPS = 40
SELDOM = {**FAST, "train.checkpoint_every": 30, "train.held_out_every": 80}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of forty steps on digits."""
    options = {**FAST, "train.steps": STEPS, "train.checkpoint_every": 12, "train.held_out_every": STEPS}
    return train("digits", tmp_path_factory.mktemp("convert") / "run", options=options)


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def drawn(path: Path) -> np.ndarray:
    return np.asarray(beeline.load(path).sample(4, condition={"label": 3}, seed=5))


def checkpoint(run: Path, step: int = STEPS) -> Path:
    return run / "checkpoints" / f"step-{step:06}"


def test_e31_averaged_weights_are_what_every_form_of_a_model_samples_with(run: Path, tmp_path: Path) -> None:
    """E31: averages lay under a key that inference never read; here full and slim checkpoints hold and use them."""
    slim = convert(run, tmp_path / "slim")
    one_file = convert(run, tmp_path / "one.safetensors")
    averaged, raw = (read_tensors(checkpoint(run) / f"{name}.safetensors") for name in ("ema", "weights"))
    for path in (run / "model.safetensors", slim / "model.safetensors", one_file):
        stored = read_tensors(path)
        assert stored.keys() == averaged.keys()
        assert all(torch.equal(tensor, averaged[name]) for name, tensor in stored.items())
        assert not all(torch.equal(tensor, raw[name]) for name, tensor in stored.items())
    for path in (checkpoint(run), slim, one_file):
        assert np.array_equal(drawn(path), drawn(run)), path
    assert not np.array_equal(drawn(convert(run, tmp_path / "raw", weights="raw")), drawn(run))


def test_a_slim_model_is_weights_and_description_alone(run: Path, tmp_path: Path) -> None:
    slim = convert(run, tmp_path / "slim")
    assert {path.name for path in slim.iterdir()} == {"model.safetensors", "model.json"}
    assert (slim / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    description, of_run = (json.loads((path / "model.json").read_text()) for path in (slim, run))
    assert description.pop("ema") == {"profile": "exponential", "decay": 0.99}
    assert description == of_run


def test_names_beside_one_another_do_not_meet(run: Path, tmp_path: Path) -> None:
    one = convert(run, tmp_path / "one.safetensors")
    two = convert(run, tmp_path / "two.safetensors", ema_width=0.2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "one.json",
        "one.safetensors",
        "two.json",
        "two.safetensors",
    ]
    assert beeline.load(one).origin["ema"]["profile"] == "exponential"
    assert beeline.load(two).origin["ema"]["width"] == 0.2
    assert drawn(convert(one, tmp_path / "again")).tolist() == drawn(one).tolist()


def test_a_width_is_the_average_that_training_would_have_kept(run: Path, tmp_path: Path) -> None:
    """The same forty steps once more, with an average of that width kept beside them."""
    trainer = make_trainer(train__steps=STEPS)
    direct = Tracks(trainer.network.named_parameters(), (0.05, 0.12))
    for step in range(STEPS):
        trainer.train_step()
        direct.update(step)
    for width, tolerance in ((0.05, 1e-6), (0.12, 2e-3)):
        rebuilt = read_tensors(convert(run, tmp_path / str(width), ema_width=width) / "model.safetensors")
        flat = torch.cat([tensor.flatten() for tensor in direct.averages[width].values()])
        difference = torch.cat([(rebuilt[name] - each).flatten() for name, each in direct.averages[width].items()])
        assert difference.norm() < tolerance * flat.norm()
    other = torch.cat([(rebuilt[name] - each).flatten() for name, each in direct.averages[0.05].items()])
    assert other.norm() > 10 * difference.norm()


def test_the_width_is_recorded_shown_and_part_of_provenance(run: Path, tmp_path: Path) -> None:
    out = convert(run, tmp_path / "wide", ema_width=0.15)
    record = json.loads((out / "model.json").read_text())["ema"]
    assert (record["profile"], record["width"], record["chosen_by"]) == ("power", 0.15, "user")
    assert 0 < record["profile_error"] < 0.03
    assert inspect(out)["average"] == record
    assert inspect(run)["average"] == {"profile": "exponential", "decay": 0.99}
    sample(out, 2, out=tmp_path / "samples")
    assert json.loads((tmp_path / "samples" / "samples.json").read_text())["ema"] == record
    assert beeline.load(out).origin["step"] == STEPS


def test_auto_takes_the_width_of_the_smallest_held_out_loss(run: Path, tmp_path: Path) -> None:
    """The loss of the run's own average is the very number in the last line of its log."""
    done = finish(command("convert", str(run), str(tmp_path / "best"), "--ema-width", "auto"))
    assert done.returncode == 0, done.stderr
    description = json.loads((tmp_path / "best" / "model.json").read_text())
    tried = description["widths_tried"]["widths"]
    assert [each["width"] for each in tried] == [percent / 100 for percent in range(5, 21)]
    best = min(tried, key=lambda each: each["loss"])
    assert description["ema"]["width"] == best["width"]
    assert description["ema"]["chosen_by"] == "held-out loss"
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert description["widths_tried"]["run_itself"] == last["held_out_loss"]
    rows = re.findall(r"^(0\.\d+) +([\d.]+) % +([\d.]+)", done.stdout, flags=re.MULTILINE)
    assert [float(row[2]) for row in rows] == pytest.approx([each["loss"] for each in tried], abs=1e-6)
    assert re.search(rf"^of the run itself +{last['held_out_loss']:.6f}$", done.stdout, flags=re.MULTILINE)
    last_tried = convert(run, tmp_path / "last", ema_width=0.2)
    engine = beeline.load(last_tried)
    probe = held_out_probe(engine, description["config"], real_examples(engine, "held_out"))
    assert tried[-1]["loss"] == probe(0, engine.network)["held_out_loss"] != last["held_out_loss"]
    named = convert(run, tmp_path / "named", ema_width=best["width"])
    assert read_tensors(named / "model.safetensors").keys() == read_tensors(run / "model.safetensors").keys()
    assert (named / "model.safetensors").read_bytes() == (tmp_path / "best" / "model.safetensors").read_bytes()


def test_left_out_the_place_is_a_folder_of_the_run(copy: Path) -> None:
    assert convert(copy) == copy / "slim"
    assert convert(copy, ema_width=0.1) == copy / "ema-0.100"
    assert convert(copy, weights="raw") == copy / "raw"
    assert convert(checkpoint(copy, 36), ema_width=0.1) == copy / "ema-0.100-step-000036"
    assert beeline.load(copy / "ema-0.100-step-000036").origin["step"] == 36


def test_what_lies_there_is_never_overwritten(copy: Path, tmp_path: Path) -> None:
    convert(copy)
    before = hashlib.sha256((copy / "slim" / "model.json").read_bytes()).hexdigest()
    (tmp_path / "taken.json").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    for target in (None, copy, tmp_path / "taken.safetensors", tmp_path / "file"):
        with pytest.raises(UserError, match="is there already; delete it, or name another place"):
            convert(copy, target)
    assert hashlib.sha256((copy / "slim" / "model.json").read_bytes()).hexdigest() == before
    convert(copy, tmp_path / "empty")
    with pytest.raises(UserError, match=r"model\.pt: a model is written as NAME\.safetensors or into a folder"):
        convert(copy, tmp_path / "model.pt")


def test_a_checkpoint_gives_its_own_weights_and_widths(run: Path, tmp_path: Path) -> None:
    earlier = checkpoint(run, 36)
    raw = convert(earlier, tmp_path / "raw", weights="raw") / "model.safetensors"
    assert raw.read_bytes() == (earlier / "weights.safetensors").read_bytes()
    track = convert(earlier, tmp_path / "track", ema_width=0.1) / "model.safetensors"
    stored = read_tensors(earlier / "tracks.safetensors")
    for name, tensor in read_tensors(track).items():
        torch.testing.assert_close(tensor, stored[f"0.1/{name}"], rtol=0, atol=1e-7)
    alone = Path(shutil.copytree(earlier, tmp_path / "alone"))
    assert np.array_equal(drawn(convert(alone, tmp_path / "slim")), drawn(earlier))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ema-width", "0.21"], "width 0.21: must lie from 0.05 to 0.2"),
        (["--ema-width", "nan"], "width nan: must lie from 0.05 to 0.2"),
        (["--ema-width", "wide"], "needs a number from 0.05 to 0.2, or auto"),
        (["--ema-width", "0.1", "--weights", "raw"], "raw weights have no width"),
        (["--weights", "row"], "unknown weights 'row'; did you mean 'raw'?"),
        (["--modality", "waves.py"], "modality is read for ema_width auto alone"),
        (["--device", "gpu"], "gpu"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(run: Path, tmp_path: Path, words: list[str], message: str) -> None:
    done = finish(command("convert", str(run), str(tmp_path / "out"), *words))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(lines_of(done.stderr)) == 1
    assert not (tmp_path / "out").exists()


def test_a_model_without_its_run_is_copied_but_has_no_other_width(run: Path, tmp_path: Path) -> None:
    slim = convert(run, tmp_path / "slim")
    for path in (slim, slim / "model.safetensors"):
        with pytest.raises(UserError, match="is one average and cannot be made another; name its run folder"):
            convert(path, tmp_path / "wide", ema_width=0.1)
        with pytest.raises(UserError, match="a slim model holds one set of weights; name its run"):
            convert(path, tmp_path / "raw", weights="raw")
    wide = convert(run, tmp_path / "first", ema_width=0.1)
    second = convert(wide, tmp_path / "second")
    assert beeline.load(second).origin["ema"] == beeline.load(wide).origin["ema"]


def test_snapshots_that_are_damaged_or_gone_are_named(run: Path, copy: Path, tmp_path: Path) -> None:
    victim = copy / "snapshots" / "step-000020.safetensors"
    victim.write_bytes(victim.read_bytes()[:1000])
    done = finish(command("convert", str(copy), str(tmp_path / "a"), "--ema-width", "0.12"))
    assert done.returncode == 2
    assert "step-000020.safetensors: not a complete" in done.stderr
    assert "delete it to rebuild from the others" in done.stderr
    victim.unlink()
    done = finish(command("convert", str(copy), str(tmp_path / "a"), "--ema-width", "0.12"))
    assert done.returncode == 0
    assert "warning: snapshots of step 20 are gone; rebuilding from the others" in done.stderr
    shutil.rmtree(copy / "snapshots")
    done = finish(command("convert", str(copy), str(tmp_path / "b"), "--ema-width", "0.15"))
    assert done.returncode == 2
    assert re.search(r"width 0.15: would be \d+.\d % off .* the snapshots at hand allow 0.05", done.stderr)
    shutil.copytree(run / "snapshots", copy / "snapshots")
    for path in (*(copy / "snapshots").iterdir(), *(copy / "checkpoints").rglob("tracks.safetensors")):
        if path.stem != "step-000010":
            path.unlink()
    done = finish(command("convert", str(copy), str(tmp_path / "c"), "--ema-width", "auto"))
    assert done.returncode == 2
    assert "no width can be rebuilt at step 40: its last snapshots are gone" in done.stderr
    (copy / "snapshots" / "step-000010.safetensors").unlink()
    done = finish(command("convert", str(copy), str(tmp_path / "c"), "--ema-width", "0.15"))
    assert done.returncode == 2
    assert "train with --train.ema_snapshots 16" in done.stderr


def test_a_run_stopped_early_and_one_made_longer_tell_what_is_possible(tmp_path: Path) -> None:
    """Auto tries what can be rebuilt; after the rest of a longer run every width can."""
    out = train("digits", tmp_path / "run", options={**SELDOM, "train.steps": 80})
    early = checkpoint(out, 60)
    shutil.copytree(out / "snapshots", tmp_path / "all")
    for path in (out / "snapshots").iterdir():
        if int(path.stem[5:]) > 20:
            path.unlink()
    with pytest.raises(UserError, match=r"width 0\.2: would be \d+\.\d % off its profile at step 60"):
        convert(early, tmp_path / "wide", ema_width=0.2)
    convert(early, tmp_path / "auto", ema_width="auto")
    tried = json.loads((tmp_path / "auto" / "model.json").read_text())["widths_tried"]["widths"]
    assert 2 <= len(tried) < 16
    assert all(each["error"] <= 0.03 for each in tried)
    shutil.rmtree(out / "snapshots")
    shutil.copytree(tmp_path / "all", out / "snapshots")
    train(None, out, resume=True, options={"train.steps": 92})
    for width in (0.06, 0.2):
        written = convert(out, ema_width=width)
        assert json.loads((written / "model.json").read_text())["ema"]["profile_error"] < 0.03
    assert beeline.load(written).origin["step"] == 92


def test_a_slim_model_of_a_users_own_file_brings_its_text(tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_bytes((Path(beeline.__file__).parent / "modalities" / "waves.py").read_bytes())
    out = train(str(source), tmp_path / "run", options={**FAST, "train.steps": 2})
    slim = convert(out, tmp_path / "slim")
    source.unlink()
    with pytest.raises(UserError, match=re.escape(f"--modality {slim / 'modality.py'}")):
        beeline.load(slim)
    assert len(beeline.load(slim, str(slim / "modality.py")).sample(1, steps=1)) == 1

"""``beeline edit`` and ``beeline sample --trajectory`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import beeline
from tests.conftest import lines_of
from tests.train.helpers import command, finish

DIGITS = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("digits.npy", DIGITS)
    Image.fromarray(DIGITS[0, ..., 0]).save("one.png")
    known = np.zeros((8, 8), np.uint8)
    known[:, :4] = 255
    Image.fromarray(known).save("left.png")
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "count"),
    [
        (["--how", "invert", "--input", "digits.npy", "--condition", "label=3", "--to", "label=8"], 3),
        (["--how", "renoise", "--input", "digits.npy", "--strength", "0.4"], 3),
        (["--how", "inpaint", "--input", "one.png", "--known", "left.png", "--resample", "2"], 1),
        (["--how", "interpolate", "--input", "one.png", "--input", "one.png", "--frames", "3"], 3),
        (["--how", "interpolate", "--seeds", "3,8", "--condition", "label=1", "--to", "label=2", "--frames=4"], 4),
    ],
)
def test_edits_are_written_as_samples_are(small_run: Path, here: Path, flags: list[str], count: int) -> None:
    done = finish(command("edit", str(small_run), *flags, "--steps", "2", "--out", "made"))
    assert done.returncode == 0, done.stderr
    names = ["samples.png", "samples.npz", "samples.json", "edit.png"]
    assert done.stdout.splitlines() == [f"made/{name}" for name in names]
    made = np.load("made/samples.npz")["samples"]
    assert (made.shape, made.dtype) == ((count, 8, 8, 1), np.uint8)
    told = json.loads(Path("made/samples.json").read_text())["edit"]
    assert told["how"] == flags[1]
    assert len(told["inputs"]) == (0 if "--seeds" in flags else 2 if count == 3 and "one.png" in flags else count)
    assert ("off by" in done.stderr) == ("cycle_error" in told)
    if told["how"] == "inpaint":
        assert np.array_equal(made[0, :, :4], DIGITS[0, :, :4])
    Image.open("made/edit.png").verify()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--how", "invret", "--input", "digits.npy"], "unknown --how 'invret'; did you mean 'invert'?"),
        (["--how", "invert"], "invert: needs --input, the data to edit"),
        (["--how", "interpolate"], "interpolate: needs two --input, or --seeds"),
        (["--how", "interpolate", "--seeds", "3"], "--seeds 3: needs two whole numbers, such as 3,8"),
        (["--how", "interpolate", "--input", "digits.npy"], "goes from one input to another, and here are 3; give two"),
        (["--how", "inpaint", "--input", "digits.npy"], "inpaint: needs --known"),
        (["--how", "renoise", "--input", "digits.npy", "--known", "left.png"], "known: belongs to inpaint"),
        (["--how", "renoise", "--input", "digits.npy", "--to", "label=3"], "to: belongs to invert and interpolate"),
        (["--how", "renoise", "--input", "digits.npy", "--strength", "2"], "strength 2: must be a time above 0"),
        (["--how", "invert", "--input", "digits.npy", "--sampler", "ddpm"], "sampler ddpm: draws noise in every step"),
        (["--how", "invert", "--input", "gone.png"], "gone.png: no such file or folder"),
        (
            ["--how", "invert", "--input", "digits.npy", "--to", "label=11"],
            "condition label=11: labels are whole numbers",
        ),
        (["--input", "digits.npy"], "the following arguments are required: --how"),
    ],
)
def test_wrong_edits_end_with_one_line_and_write_nothing(
    small_run: Path, here: Path, flags: list[str], message: str
) -> None:
    before = sorted(here.iterdir())
    done = finish(command("edit", str(small_run), *flags, "--out", "made"))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(lines_of(done.stderr)) == 1
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(("film", "out"), [("strip", "drawn"), ("gif", "drawn.npz")])
def test_trajectories_lie_beside_the_samples(small_run: Path, here: Path, film: str, out: str) -> None:
    flags = ["-n", "2", "--steps", "3", "--trajectory", film, "--out", out]
    done = finish(command("sample", str(small_run), *flags))
    assert done.returncode == 0, done.stderr
    path = here / done.stdout.splitlines()[-1]
    assert path == here / {"strip": "drawn/trajectory.png", "gif": "drawn.trajectory.gif"}[film]
    Image.open(path).verify()
    assert "unknown trajectory 'film'" in finish(command("sample", str(small_run), "--trajectory", "film")).stderr


def test_the_verb_is_a_function(small_run: Path, here: Path) -> None:
    written = beeline.edit(small_run, "renoise", "one.png", {"label": 3}, out="made.npz", strength=0.3, steps=4)
    assert [path.name for path in written] == ["made.npz", "made.provenance.json"]
    record = json.loads(written[1].read_text())
    assert (record["edit"]["t"], record["steps"]) == (0.3, 4)

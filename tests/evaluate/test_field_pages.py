"""Evaluations of fields from the command line: pictures, ensembles and a sweep beside the numbers, all of one draw."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from beeline.cli.compare import compare
from beeline.cli.evaluate import evaluate
from beeline.cli.main import run as beeline
from beeline.cli.sample import sample
from beeline.cli.train import train
from beeline.core.errors import UserError
from beeline.evaluate.blocks import png_size
from beeline.evaluate.requests import requests_like
from beeline.generate.engine import Engine
from beeline.generate.ensembles import ensemble
from beeline.generate.load import load
from tests.conftest import FAST

FILE = '''
from dataclasses import dataclass

import numpy as np

import beeline
from beeline.core.data import Geometry


@dataclass(frozen=True)
class Rods:
    """Two quantities on 8 x 8 cells under a map and two numbers."""

    def dataset(self, split):
        random = np.random.default_rng(int(split == "train"))
        return [self.draw(random) for _ in range(40 if split == "train" else 12)]

    def draw(self, random):
        under, law = random.normal(size=(8, 8, 1)), [random.uniform(1, 2), random.uniform(0, 5)]
        array = law[0] * under * [1.0, 1000.0] + random.normal(size=(8, 8, 2))
        return beeline.Example(array.astype(np.float32), {"under": under, "law": law})

    def normaliser(self):
        return beeline.Standardise()

    def tokenizer(self):
        return beeline.GridTokenizer((4, 4), channels=2)

    def conditions(self):
        return [beeline.AlignedMap("under"), beeline.Parameters("law", ("gain", "age"), units=("", "s"))]

    def geometry(self):
        return Geometry(("u/v", "p"), ("m/s", "Pa"), (0.5, 0.5), "km")

    def metrics(self):
        return []

    def preview(self, samples):
        return beeline.image_grid([beeline.scalar_image(each.array[..., 0], -4, 4) for each in samples])


MODALITY = Rods
'''


@pytest.fixture(scope="module")
def rods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rods")
    (folder / "rods.py").write_text(FILE)
    return train(str(folder / "rods.py"), folder / "run", options={**FAST, "train.steps": 4})


def single_draws(engine: Engine, inputs: int, draws: int) -> np.ndarray:
    """(N, m, 8, 8, 2) the draws of an evaluation of seed 0, by the engine alone."""
    requests = requests_like(engine.modality.dataset("held_out"), inputs * draws, engine)
    arrays = np.stack([each.array for each in engine.generate(requests, 0).examples])
    return np.moveaxis(arrays.reshape(draws, inputs, 8, 8, 2), 0, 1)


def test_members_makes_ensembles_strips_and_a_sweep_which_the_report_shows(rods: Path) -> None:
    from scipy.io import netcdf_file

    assert beeline(["evaluate", str(rods), "--members", "3", "--sweep", "age", "--spaces", "pca-32"]) == 0
    home = rods / "evaluations"
    stored = json.loads((home / "evaluation-001.json").read_text())
    assert stored["protocol"]["n"] == 36
    crps = next(each for each in stored["records"] if each["channel"] == "p" and each["metric"] == "fair CRPS")
    assert (crps["inputs"], crps["draws"], crps["units"]) == (12, 3, "Pa")
    pictures = {"strip-u_v.png", "strip-p.png", "sweep-u_v.png", "sweep-p.png"}
    assert {path.name for path in (home / "evaluation-001").iterdir()} == {*pictures, "ensembles.nc"}
    for name in pictures:
        assert min(png_size((home / "evaluation-001" / name).read_bytes())) > 300
    members = single_draws(load(rods), 12, 3)
    with netcdf_file(home / "evaluation-001" / "ensembles.nc", mmap=False) as written:
        found = {name: variable[...] for name, variable in written.variables.items()}
        assert written.variables["p_truth"].units == b"Pa"
    truths = np.stack([each.array for each in load(rods).modality.dataset("held_out")])
    np.testing.assert_allclose(found["p_mean"], members.mean(axis=1)[..., 1], rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(found["p_deviation"], members.std(axis=1, ddof=1)[..., 1], rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(found["u/v_quantile"][:, 0], np.median(members, axis=1)[..., 0], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found["u/v_truth"], truths[..., 0])
    assert found["y"].tolist() == [step / 2 for step in range(8)]
    sweep = stored["curves"]["by_channel"]["p"]["sweep"]
    assert (sweep["parameter"], sweep["units"], len(sweep["values"]), sweep["passes"]) == ("age", "s", 5, 5 * 4 * 4)
    page = (rods / "report.html").read_text()
    assert "input | truth | draws | mean | deviation" in page
    assert "80 network passes in all" in page
    assert page.count("age, s") >= 4, "the axis of two charts for either channel"


def test_without_members_nothing_is_kept_but_pictures_and_a_sweep_can_be_left_out(rods: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(rods, run)
    evaluate(run, n=12, spaces=[], sweep="none")
    (newest,) = [
        path for path in (run / "evaluations").iterdir() if path.is_dir() and not (path / "sweep-p.png").exists()
    ]
    assert {path.name for path in newest.iterdir()} == {"strip-u_v.png", "strip-p.png"}
    with pytest.raises(UserError, match="unknown --sweep 'agee'; did you mean 'age'"):
        evaluate(run, n=12, spaces=[], sweep="agee")


def test_a_summary_of_one_condition_lies_beside_its_draws(rods: Path, tmp_path: Path) -> None:
    from scipy.io import netcdf_file

    np.save(tmp_path / "under.npy", np.ones((8, 8, 1)))
    asked = ["--condition", f"under={tmp_path / 'under.npy'}", "--condition", "law=gain=1.5,age=2"]
    words = ["sample", str(rods), "-n", "4", *asked, "--seed", "2", "--out", str(tmp_path / "out")]
    assert beeline([*words, "--summary", "0.2,0.8"]) == 0
    draws = np.load(tmp_path / "out" / "samples.npz")["samples"]
    with netcdf_file(tmp_path / "out" / "summary.nc", mmap=False) as written:
        assert written.variables["p_mean"].dimensions == ("y", "x")
        np.testing.assert_allclose(written.variables["p_mean"][:], draws.mean(axis=0)[..., 1], rtol=1e-5)
        assert written.variables["quantile"][:].tolist() == [0.2, 0.8]
        np.testing.assert_allclose(written.variables["p_quantile"][0], draws.min(axis=0)[..., 1], rtol=1e-6)
        np.testing.assert_allclose(written.variables["under"][:], 1.0)
        assert (written.variables["age"][...], written.draws, written.seed) == (2.0, 4, 2)
    assert beeline([*words[:-1], str(tmp_path / "one.npz"), "--summary"]) == 0
    assert (tmp_path / "one.npz").exists()
    xarray = pytest.importorskip("xarray", reason="xarray is not installed (pip install 'beeline[fields]')")
    said = ensemble(load(rods), 4, {"under": np.ones((8, 8, 1)), "law": (1.5, 2.0)}, [0.2, 0.8], seed=2)
    assert isinstance(said, xarray.Dataset)
    np.testing.assert_allclose(said["p_deviation"], draws.std(axis=0, ddof=1)[..., 1], rtol=1e-4)
    other = ensemble(rods, 4, {"under": np.ones((8, 8, 1)), "law": (1.5, 2.0)}, seed=2, steps=1)
    assert (other.attrs["steps"], other["quantile"].values.tolist()) == (1, [0.5])
    known = {"under": np.ones((8, 8, 1)), "law": (1.5, 2.0)}
    written = sample(rods, 1, known, out=tmp_path / "true", summary=True)
    assert tmp_path / "true" / "summary.nc" in written
    assert not any("summary" in path.name for path in sample(rods, 1, known, out=tmp_path / "false", summary=False))
    assert beeline([*words, "--summary", "0.1,x"]) == 2
    assert beeline([*words, "--summary", "0.1"]) == 2, "4 draws have none"


def test_compare_draws_members_for_each_input_with_the_file_that_is_named(rods: Path, tmp_path: Path) -> None:
    copy, file = tmp_path / "copy", rods.parent / "rods.py"
    shutil.copytree(rods, copy)
    moved = shutil.copy(file, tmp_path / "elsewhere.py")
    file.rename(file.with_suffix(".hidden"))
    try:
        with pytest.raises(UserError, match="--modality"):
            compare([rods, copy], members=2, spaces=[], out=tmp_path / "refused")
        words = ["compare", str(rods), str(copy), "--members", "2", "--modality", str(moved), "--spaces", "pca-32"]
        assert beeline([*words, "--out", str(tmp_path / "out")]) == 0
    finally:
        file.with_suffix(".hidden").rename(file)
    stored = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert stored["protocol"]["n"] == 24
    assert {row["metric"] for row in stored["rows"]} >= {"fair CRPS", "spread/skill"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "--members 2" in page
    assert str(moved) in page

"""What the options of cells say: features of perturbations, doses, numbers, gaps, names, quality, counts."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from scipy.sparse import issparse

import beeline
from beeline.cli.evaluate import evaluate
from beeline.cli.main import run as run_command
from beeline.cli.sample import sample
from beeline.cli.train import train
from beeline.conditioning.parameters import Parameters
from beeline.conditioning.perturbations import Perturbations
from beeline.core.errors import InputWarning, UserError
from beeline.data.cell_truth import CONTEXT
from beeline.evaluate.contract import hold
from beeline.evaluate.contract_subject import Subject
from beeline.modalities.cells import Cells
from beeline.modalities.loading import find_modality
from tests.conftest import FAST
from tests.evaluate.test_contract import kept
from tests.modalities.cell_files import TRUTH, cells_file

pytestmark = pytest.mark.filterwarnings("ignore:condition perturbation. known by features alone")

FIRST, SECOND, THIRD = TRUTH.perturbations
KEYS: dict[str, Any] = {"perturbation_key": "gene", "context": (CONTEXT,), "components": 6}
FROM_CONTROL = {"process.source": "condition", "process.end": "control", "data.start": "control", "data.pairs": 2}
ODD = "Cell.Type 1"
DOSES = ("0.1", "1", "10")


def rich_file(path: Path, count: int = 24) -> Path:
    """Cells with doses, ages and donors that are missing here and there, an odd name, and mitochondrial genes."""
    cells_file(path, count)
    data = anndata.read_h5ad(path)
    number = np.arange(data.n_obs)
    data.obs["dose"] = np.where(data.obs["gene"] == "control", np.nan, 10.0 ** (number % 3 - 1))
    data.obs["age"] = np.where(number % 5 == 0, np.nan, 20.0 + number % 30)
    data.obs["donor"] = np.where(number % 4 == 0, None, data.obs["donor"].astype(str))
    data.obs[ODD] = data.obs[CONTEXT]
    data.obs["the group"] = number // 10
    data.var_names = ["MT-1", "MT-2", *data.var_names[2:]]
    data.write_h5ad(path)
    return path


def options(**more: Any) -> dict[str, Any]:
    """Options of training."""
    own = {f"data.{name}": value for name, value in {**KEYS, **more}.items()}
    return {**FAST, **own, "train.steps": 6}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells, and a run from control cells to knock-outs one of which training never sees."""
    home = tmp_path_factory.mktemp("home")
    rich_file(home / "cells.h5ad")
    cells_file(home / "control.h5ad", 5, 1, ("control", "NK"))
    control = anndata.read_h5ad(home / "control.h5ad")
    control.var_names = ["MT-1", "MT-2", *control.var_names[2:]]
    control.write_h5ad(home / "control.h5ad")
    asked = options(features="coexpression", feature_size=4, held_out_populations=f"gene={THIRD}", identity=False)
    train(str(home / "cells.h5ad"), home / "run", options={**asked, **FROM_CONTROL})
    return home


@pytest.fixture(scope="module")
def aged(home: Path) -> Path:
    """A run from noise that is told an oddly named type, a donor and an age."""
    more = {"labels": "donor", "numbers": "age", "group": "the group", "context": ODD}
    return train(str(home / "cells.h5ad"), home / "aged", options=options(**more))


def test_a_perturbation_that_training_never_had_is_answered_by_its_features(home: Path, tmp_path: Path) -> None:
    cells = home / "cells.h5ad"
    kept_aside = cells.rename(tmp_path / "aside.h5ad")
    try:
        model = beeline.load(home / "run")
        (told,) = [each for each in model.codec.conditions if isinstance(each, Perturbations)]
        assert (told.trained, told.identity) == ((FIRST, SECOND), False)
        assert len(told.features[told.known.index(THIRD)]) == 4
        asked = {"control": str(home / "control.h5ad"), CONTEXT: "NK"}
        with pytest.warns(InputWarning, match=f"known by features alone.*: {THIRD}"):
            answer = np.asarray(model.sample(5, {**asked, "perturbation": THIRD}))
        assert answer.shape == (5, len(TRUTH.gene_names))
        with pytest.warns(InputWarning, match="G040"):
            model.sample(5, {**asked, "perturbation": "G040"})
        with pytest.raises(UserError, match="unknown perturbation 'G999'"):
            model.sample(5, {**asked, "perturbation": "G999"})
    finally:
        kept_aside.rename(cells)


def test_a_linear_model_of_the_features_stands_beside_the_model(home: Path) -> None:
    records = evaluate(home / "run", n=30, spaces=["pixels"])
    own = {each.metric: each for each in records if each.space == "modality"}
    assert {"ridge", "mean perturbation", "training mean"} <= set(own["delta correlation"].floors)
    assert np.isfinite(own["energy distance"].floors["ridge"])
    assert own["energy distance"].floors["ridge"] != own["energy distance"].floors["mean perturbation"]


def test_features_of_a_file_are_asked_of_the_model_once_it_is_trained(home: Path) -> None:
    rows = {FIRST: "1,0", SECOND: "0,1", THIRD: "1,1", "G040": "0.5,2"}
    table = home / "features.csv"
    table.write_text("".join(f"{name},{row}\n" for name, row in rows.items()))
    asked = options(features=str(table), held_out_populations=f"gene={THIRD}", identity=False)
    run = train(str(home / "cells.h5ad"), home / "tabled", options={**asked, **FROM_CONTROL})
    before: Any = beeline.load(run).modality
    held_out = before.dataset("held_out")[:4]
    fresh = dataclasses.replace(before)  # which reads the file
    there = fresh.baselines(before.dataset("train"), held_out, 0)["ridge"]
    table.rename(home / "gone.csv")
    again = before.baselines(before.dataset("train"), held_out, 0)["ridge"]
    first, last = (np.stack([each.array for each in one]) for one in (there, again))
    np.testing.assert_allclose(last, first, rtol=1e-6)
    records = evaluate(run, n=30, spaces=["pixels"])
    assert any(np.isfinite(each.floors.get("ridge", np.nan)) for each in records)
    with pytest.raises(UserError, match=r"features\.csv"):
        dataclasses.replace(before).conditions()


def test_what_nothing_is_known_of_is_told_before_training(home: Path) -> None:
    path = str(home / "cells.h5ad")
    with pytest.raises(UserError, match=f"{THIRD}: held out in all cells and without features"):
        train(path, home / "none", options=options(held_out_populations=f"gene={THIRD}"))
    data = anndata.read_h5ad(path)
    data = data[:, [name for name in data.var_names if name != FIRST]].copy()
    data.write_h5ad(home / "without.h5ad")
    found = Cells(str(home / "without.h5ad"), features="coexpression", feature_size=4, **KEYS)
    assert f"no features of {FIRST}: not measured, or the same in all cells" in found.settle(64)[1]
    for more, said in (
        ({"features": "coexpression", "perturbation_key": None}, "features: needs perturbation_key"),
        ({"dose": "dose", "perturbation_key": None}, "dose: needs perturbation_key"),
        ({"identity": False}, "identity false: perturbations have neither identities nor features"),
    ):
        with pytest.raises(UserError, match=said):
            Cells(path, **{**KEYS, **more})


def test_populations_held_out_that_are_too_small_to_be_compared_are_warned_of(home: Path, tmp_path: Path) -> None:
    cells = anndata.read_h5ad(home / "cells.h5ad")
    rare = (cells.obs["gene"] == FIRST) & (cells.obs[CONTEXT] == "T")
    cells[~rare | (rare.cumsum() <= 4)].write_h5ad(tmp_path / "rare.h5ad")
    few = Cells(str(tmp_path / "rare.h5ad"), held_out_populations=f"{CONTEXT}=T,gene={FIRST}", **KEYS)
    with pytest.warns(InputWarning, match=f"the populations {CONTEXT}=T,gene={FIRST} have 4 cells, too few"):
        few.settle(64)


def test_doses_that_are_hardly_ever_the_same_are_warned_of(home: Path, tmp_path: Path) -> None:
    own: dict[str, Any] = {**KEYS, "dose": "dose"}
    Cells(str(home / "cells.h5ad"), **own).settle(64)  # warnings are errors
    cells = anndata.read_h5ad(home / "cells.h5ad")
    cells.obs["dose"] = cells.obs["dose"] * (1 + np.arange(cells.n_obs))
    cells.write_h5ad(tmp_path / "scattered.h5ad")
    with pytest.warns(InputWarning, match="216 perturbations with their doses have 1 cell each on the median"):
        Cells(str(tmp_path / "scattered.h5ad"), **own).settle(64)


def test_doses_are_told_by_their_logarithm_and_written_again(home: Path) -> None:
    run = train(str(home / "cells.h5ad"), home / "dosed", options={**options(dose="dose"), **FROM_CONTROL})
    model = beeline.load(run)
    (told,) = [each for each in model.codec.conditions if isinstance(each, Perturbations)]
    assert told.doses
    assert (min(told.low), max(told.high)) == (0.1, 10.0)
    asked = {"control": [str(home / "control.h5ad")], "perturbation": [f"{FIRST}=0.5", "control"], CONTEXT: ["NK"]}
    sample(run, n=2, condition=asked, out=home / "dosed.h5ad")
    written = anndata.read_h5ad(home / "dosed.h5ad").obs
    assert written["perturbation"].tolist() == [FIRST, "control"]
    np.testing.assert_array_equal(written["dose"], [0.5, np.nan])
    with pytest.raises(UserError, match="comes without a dose"):
        model.sample(2, {"control": str(home / "control.h5ad"), "perturbation": FIRST})
    evaluate(run, n=30, spaces=["pixels"])
    (table,) = run.glob("evaluations/*/pairs.csv")
    with table.open() as lines:
        rows = list(csv.DictReader(lines))
    assert {row["perturbation"] for row in rows} <= {f"{name}={dose}" for name in TRUTH.perturbations for dose in DOSES}
    assert {row["pair"] for row in rows} == {f"{row['perturbation']}, {row['context']}" for row in rows}
    assert len({row["perturbation"] for row in rows}) > 3
    pairs = Cells(str(home / "cells.h5ad"), dose="dose", start="control", **KEYS).dataset("train")
    assert {tuple(each.condition["perturbation"].values()) for each in pairs[::97]} <= {(), (0.1,), (1.0,), (10.0,)}


def test_numbers_and_labels_may_be_missing_and_are_learned_as_unknown(home: Path, aged: Path) -> None:
    model = beeline.load(aged)
    (age,) = [each for each in model.codec.conditions if isinstance(each, Parameters)]
    assert (age.low, age.high, age.missing) == ((21.0,), (49.0,), ())
    modality = Cells(str(home / "cells.h5ad"), labels=("donor",), numbers=("age",), **KEYS)
    conditions = [each.condition for each in modality.dataset("train")]
    known = [("age" in each, "donor" in each) for each in conditions]
    assert set(known) == {(True, True), (True, False), (False, True), (False, False)}
    assert all(isinstance(each.get("age", 0.0), float) for each in conditions)
    with pytest.raises(UserError, match="cells have no age, such as cell-0; leave them out, or give dropout above 0"):
        Cells(str(home / "cells.h5ad"), numbers=("age",), dropout=0.0, **KEYS).dataset("train")
    with pytest.raises(UserError, match="cells have no donor"):
        Cells(str(home / "cells.h5ad"), **{**KEYS, "context": ("donor",)}).dataset("train")
    asked = {"age": ["35"], ODD: ["NK"], "donor": ["donor 1"], "perturbation": [FIRST]}
    sample(aged, n=2, condition=asked, out=home / "aged.h5ad")
    written = anndata.read_h5ad(home / "aged.h5ad").obs
    assert written[ODD].tolist() == ["NK", "NK"], "a column keeps its name and its texts"
    assert written["age"].tolist() == [35.0, 35.0]
    assert written["donor"].tolist() == ["donor 1"] * 2


def test_a_column_goes_by_both_of_its_names(home: Path, aged: Path) -> None:
    path, own = str(home / "cells.h5ad"), {**KEYS, "context": (ODD,)}
    sides = [Cells(path, **own, held_out_populations=f"{name}=NK,gene={FIRST}") for name in (ODD, "Cell_Type_1")]
    assert len(sides[0].dataset("held_out")) == len(sides[1].dataset("held_out")) == 24
    for name in (ODD, "Cell_Type_1"):
        words = ["--condition", f"{name}=NK", "--out", str(home / "x.npz")]
        assert run_command(["sample", str(aged), "-n", "1", *words]) == 0
    model = beeline.load(aged)
    one, other = (np.asarray(model.sample(2, {name: "NK"})) for name in (ODD, "Cell_Type_1"))
    np.testing.assert_array_equal(one, other)
    with pytest.raises(UserError, match="is given twice, also as"):
        model.sample(1, {ODD: "NK", "Cell_Type_1": "NK"})
    with pytest.raises(UserError, match=r"Cell_Type_1=CD8: no training cell was of it.*training had B, NK, T"):
        model.sample(1, {ODD: "CD8"})
    data = anndata.read_h5ad(path)
    data.obs["Cell_Type 1"] = data.obs[ODD]
    data.write_h5ad(home / "twice.h5ad")
    with pytest.raises(UserError, match="are both 'Cell_Type_1' as conditions"):
        Cells(str(home / "twice.h5ad"), **own, labels=("Cell_Type 1",)).dataset("train")


def test_cells_that_are_left_out_are_told_and_stay_left_out(home: Path) -> None:
    data = anndata.read_h5ad(home / "cells.h5ad")
    values = np.asarray(data.X)
    values[3] = 0
    values[5, :2] += 2000
    data.X = values
    data.write_h5ad(home / "poor.h5ad")
    path = str(home / "poor.h5ad")
    with pytest.raises(UserError, match=r"1 cells have no counts at all.* --data\.min_counts 1"):
        Cells(path, **KEYS).dataset("train")
    found = Cells(path, min_counts=1, max_mitochondrial=0.5, labels=("donor",), **KEYS)
    settled, reasons = found.settle(64)
    assert "cells left out, fewer than 1 counts: 1" in reasons
    assert "cells left out, over 0.5 of the counts mitochondrial: 1" in reasons
    assert settled.card()["cells left out"] == {"fewer than 1 counts": 1, "over 0.5 of the counts mitochondrial": 1}
    both = [each for split in ("train", "held_out") for each in settled.dataset(split)]
    assert len(both) == len(data) - 2
    for split in ("train", "held_out"):
        examples: Any = settled.dataset(split)
        for index in range(0, len(examples), 31):
            row = int(examples.name(index).split()[-1])
            counts = np.asarray(data.X[row])
            expected = np.log1p(counts / counts.sum() * settled.card()["counts a cell"])
            np.testing.assert_allclose(examples[index].array, expected, rtol=1e-4)


def test_generated_cells_have_counts_and_start_others(home: Path) -> None:
    asked = {"control": str(home / "control.h5ad"), "perturbation": FIRST, CONTEXT: "NK"}
    sample(home / "run", n=5, condition=asked, out=home / "made.h5ad", seed=3)
    made = anndata.read_h5ad(home / "made.h5ad")
    counts = made.layers["counts"].toarray() if issparse(made.layers["counts"]) else np.asarray(made.layers["counts"])
    control = anndata.read_h5ad(home / "control.h5ad")
    np.testing.assert_array_equal(made.obs["library"], np.asarray(control.X).sum(axis=1))
    expected = np.expm1(np.asarray(made.to_df())) * made.obs["library"].to_numpy()[:, None]
    assert np.abs(counts - expected / made.uns["beeline"]["target"]).max() < 1.01
    model = beeline.load(home / "run")
    for given in (str(home / "made.h5ad"), made):
        again = model.sample(5, {**asked, "control": given})
        assert np.asarray(again).shape == counts.shape
    (start,) = [each for each in model.codec.conditions if each.name == "control"]
    starts = np.stack(start.parse(str(home / "made.h5ad")))
    library = made.obs["library"].to_numpy()[:, None]
    np.testing.assert_allclose(starts, np.log1p(counts / library * made.uns["beeline"]["target"]), rtol=1e-5)


def test_samples_from_noise_have_libraries_of_their_context_and_no_counts_where_none_are_wanted(home: Path) -> None:
    run = train(str(home / "cells.h5ad"), home / "noise", options=options())
    modality: Any = beeline.load(run).modality
    sizes = {each.context: each.quantiles for each in modality._known.libraries}
    assert set(sizes) == {(), ("B",), ("NK",), ("T",)}
    assert len(sizes[("B",)]) == 101
    sample(run, n=6, condition={CONTEXT: ["B"], "perturbation": [FIRST]}, out=home / "drawn.h5ad", seed=1)
    drawn = anndata.read_h5ad(home / "drawn.h5ad")
    assert drawn.obs[CONTEXT].tolist() == ["B"] * 6, "a label is written by its name"
    assert drawn.obs["library"].between(sizes[("B",)][0] - 1, sizes[("B",)][-1] + 1).all()
    counts = np.asarray(drawn.layers["counts"].sum(axis=1)).reshape(-1)
    np.testing.assert_array_equal(counts, drawn.obs["library"])  # all genes are modelled
    bare = dataclasses.replace(modality, counts=False).native(modality.dataset("held_out")[:2])
    assert not bare.layers
    assert "library" not in bare.obs


@pytest.mark.parametrize(
    "how",
    [
        {"features": "coexpression", "feature_size": 4, "held_out_populations": f"gene={THIRD}"},
        {"dose": "dose", "numbers": ("age",), "labels": ("donor",), "context": (ODD,)},
        {"start": "control", "pairs": 1, "dose": "dose", "min_genes": 5, "max_mitochondrial": 0.9},
    ],
)
def test_cells_keep_the_contract_with_them(home: Path, how: dict[str, Any]) -> None:
    path = rich_file(home / "more.h5ad", 80)
    kept(hold(Subject(find_modality("cells"), {**KEYS, "path": str(path), **how}), quick=True).verdicts)

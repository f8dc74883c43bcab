"""Single cells from an AnnData file to an AnnData file: trained, asked, measured beside the cheap answers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, cast

import anndata
import numpy as np
import pytest
import yaml

import beeline
from beeline.cli.edit import edit
from beeline.cli.evaluate import evaluate
from beeline.cli.main import run as run_command
from beeline.cli.recipes import find_recipe
from beeline.cli.sample import sample
from beeline.cli.train import train
from beeline.core.errors import InputWarning, UserError
from beeline.core.offers import Native
from beeline.data.cell_truth import CONTEXT
from beeline.evaluate.contract import hold
from beeline.evaluate.contract_subject import Subject
from beeline.modalities.cells import Cells
from beeline.modalities.loading import find_modality
from tests.conftest import FAST
from tests.evaluate.test_contract import kept
from tests.modalities.cell_files import TRUTH, cells_file

NAME = TRUTH.perturbations[0]
HELD_OUT = f"{CONTEXT}=NK,gene={NAME}"
KEYS = {"data.perturbation_key": "gene", "data.context": CONTEXT, "data.components": 6}
FROM_CONTROL = {
    **KEYS,
    "data.start": "control",
    "process.source": "condition",
    "process.end": "control",
    "data.held_out_populations": HELD_OUT,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells, a run from control cells and one from noise."""
    home = tmp_path_factory.mktemp("home")
    cells_file(home / "cells.h5ad")
    cells_file(home / "control.h5ad", 5, 1, ("control", "NK"))
    train(str(home / "cells.h5ad"), home / "run", options={**FAST, **FROM_CONTROL, "train.steps": 30})
    noise = {**FAST, **KEYS, "data.donor": "donor", "train.steps": 6}
    train(str(home / "cells.h5ad"), home / "noise", options=noise)
    return home


def test_a_file_of_cells_is_named_as_it_is_and_its_flags_too(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = find_recipe(home / "cells.h5ad")
    assert (recipe.values["modality"], recipe.values["data"]) == ("cells", {"path": str(home / "cells.h5ad")})
    words = ["train", str(home / "cells.h5ad"), "--modality=cells", "--cells.perturbation_key=gene"]
    assert run_command([*words, "--print-config"]) == 0
    assert "perturbation_key: gene" in capsys.readouterr().out
    quoted = 'cell_type="T cell, CD4+",gene=A;cell_type="B"'
    assert run_command([*words, f"--cells.held_out_populations={quoted}", "--print-config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["data"]["held_out_populations"] == quoted
    assert run_command([*words[:2], "--modality=fields"]) == 2
    assert "is of modality cells; name a recipe of it" in capsys.readouterr().err
    for table in ("obs", "var"):
        (home / "stored.zarr" / table).mkdir(parents=True)
    assert run_command(["train", str(home / "stored.zarr"), "--out", str(home / "never")]) == 2
    assert "is zarr, and cells are read from .h5ad; convert it once" in capsys.readouterr().err


def test_answers_start_from_the_cells_of_a_file_and_are_written_as_cells(home: Path) -> None:
    asked = {"control": str(home / "control.h5ad"), "perturbation": NAME, CONTEXT: "NK"}
    written = sample(home / "run", n=5, condition=asked, out=home / "drawn", seed=3)
    (path,) = [each for each in written if str(each).endswith(".h5ad")]
    found = anndata.read_h5ad(path)
    assert tuple(found.var_names) == TRUTH.gene_names
    assert found.obs["perturbation"].tolist() == [NAME] * 5
    assert found.obs[CONTEXT].tolist() == ["NK"] * 5
    assert found.uns["beeline"]["seed"] == 3
    assert found.obs["seed"].tolist() == [3] * 5
    assert found.obs["run"].tolist() == [found.uns["beeline"]["model"]] * 5
    values = np.asarray(found.to_df())
    assert (values >= 0).all()
    model = beeline.load(home / "run")
    for control in (str(home / "control.h5ad"), anndata.read_h5ad(home / "control.h5ad")):
        again = model.sample(5, {"control": control, "perturbation": NAME, CONTEXT: "NK"}, seed=3)
        np.testing.assert_allclose(np.asarray(again), values, atol=1e-5)
    with pytest.raises(UserError, match="G999"):
        model.sample(2, {"control": str(home / "control.h5ad"), "perturbation": "G999"})
    with pytest.raises(UserError, match="control' is missing"):
        model.sample(2, {"perturbation": NAME})


def test_what_components_leave_out_is_that_of_the_control_cell(home: Path) -> None:
    model = beeline.load(home / "run")
    control = np.stack([each.condition["control"] for each in model.modality.dataset("held_out")[:6]])
    answers = np.asarray(model.sample(6, {"control": list(control), "perturbation": NAME}))
    normaliser = model.codec.normaliser
    rest = [cell - normaliser.undo(normaliser.apply(cell)) for cell in control]  # of components alone, not yet cut
    moved = [cell - normaliser.undo(normaliser.apply(cell)) for cell in answers]
    inside = answers > 0.3
    assert np.corrcoef(np.stack(rest)[inside], np.stack(moved)[inside])[0, 1] > 0.8


def test_an_evaluation_has_the_cheap_answers_beside_it(home: Path) -> None:
    records = evaluate(home / "run", n=30, spaces=["pixels"])
    own = {each.metric: each for each in records if each.space == "modality"}
    assert {"control copy", "shifted control", "training mean"} <= set(own["energy distance"].floors)
    assert np.isfinite(own["energy distance"].ceiling)


def test_from_noise_a_population_is_asked_for_by_its_labels(home: Path) -> None:
    model = beeline.load(home / "noise")
    drawn = model.sample(4, {CONTEXT: "B", "perturbation": NAME, "donor": "donor 1"})
    assert np.asarray(drawn).shape == (4, len(TRUTH.gene_names))
    assert np.asarray(model.sample(2, {CONTEXT: "B"})).shape == (2, len(TRUTH.gene_names)), (
        "what is not said is unknown"
    )


def test_batch_and_donor_are_labels_by_their_own_names(home: Path) -> None:
    path, key = str(home / "cells.h5ad"), {"perturbation_key": "gene", "context": (CONTEXT,)}
    one, other = Cells(path, **key, donor="donor"), Cells(path, **key, labels=("donor",))  # type: ignore[arg-type]
    assert one.conditions() == other.conditions()
    assert Cells(path, **key, batch="donor", donor="donor").conditions() == other.conditions()  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"donr.*the nearest is 'donor'|donr.*did you mean 'donor'"):
        Cells(path, **key, batch="donr").settle(64)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="column 'gene': is perturbation_key"):
        Cells(path, **key, batch="gene")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="column 'library': generated cells have one"):
        Cells(path, **key, batch="library")  # type: ignore[arg-type]


def test_a_plain_file_of_cells_needs_nothing_said(home: Path) -> None:
    run = train(str(home / "cells.h5ad"), home / "plain", options={**FAST, "data.components": 4, "train.steps": 2})
    drawn = np.asarray(beeline.load(run).sample(3))
    assert drawn.shape == (3, len(TRUTH.gene_names))
    assert (drawn >= 0).all()


def test_what_does_not_go_together_is_told(home: Path) -> None:
    words = {**FAST, **KEYS, "data.start": "control", "train.steps": 2}
    with pytest.raises(UserError, match=r"process\.source condition, process\.end control"):
        train(str(home / "cells.h5ad"), home / "none", options={**words, "data.held_out_populations": HELD_OUT})
    coupled = {**FAST, **FROM_CONTROL, "objective.coupling": "optimal_transport"}
    with pytest.raises(UserError, match="gives each sample its own"):
        train(str(home / "cells.h5ad"), home / "none", options=coupled)
    few = anndata.read_h5ad(home / "control.h5ad")[:, 5:]
    model = beeline.load(home / "run")
    with pytest.raises(UserError, match="lacks 5 of the"):
        model.sample(2, {"control": few, "perturbation": NAME})
    with pytest.warns(InputWarning, match="6 samples start from 5"):
        model.sample(6, {"control": str(home / "control.h5ad"), "perturbation": NAME})


@pytest.mark.parametrize("how", [{"tokens": "latent"}, {"tokens": "genes"}, {"start": "control"}])
def test_cells_keep_the_contract(home: Path, how: dict[str, str]) -> None:
    path = cells_file(home / "more.h5ad", 80)
    options = {"path": str(path), "perturbation_key": "gene", "context": (CONTEXT,), **how}
    kept(hold(Subject(find_modality("cells"), {**options, "components": 6}), quick=True).verdicts)


@pytest.mark.slow
def test_cells_from_control_cells_keep_the_clauses_that_train_too(home: Path) -> None:
    options = {"path": str(home / "cells.h5ad"), "perturbation_key": "gene", "context": (CONTEXT,)}
    subject = Subject(find_modality("cells"), {**options, "start": "control", "components": 6})
    overfits, conditions = hold(subject, only=["overfits", "conditions"]).verdicts
    assert overfits.status == conditions.status == "ok", (overfits.line(), conditions.line())
    assert "control by" in conditions.text
    assert "perturbation by" in conditions.text


def test_a_file_that_is_not_there_is_no_recipe() -> None:
    with pytest.raises(UserError, match=r"^nowhere\.h5ad: no such folder or file$"):
        find_recipe("nowhere.h5ad")


def test_a_folder_of_no_cells_is_told_of_the_files_that_hold_them(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no \.h5ad, picture, \.npy or \.npz file"):
        edit(home / "noise", "invert", tmp_path)


def test_given_cells_bring_what_their_columns_say(home: Path) -> None:
    modality: Any = beeline.load(home / "noise").modality
    file, found = anndata.read_h5ad(home / "cells.h5ad"), modality.brought(home / "cells.h5ad")
    under = [() if name == "control" else (name,) for name in file.obs["gene"]]
    assert [each.condition["perturbation"] for each in found] == under
    assert [each.condition[CONTEXT] for each in found] == file.obs[CONTEXT].tolist()


def test_cells_become_what_they_would_be_under_something_else(home: Path, tmp_path: Path) -> None:
    given = cells_file(tmp_path / "given.h5ad", 4, 2, ("control", "B"))
    settings: Any = {"seed": 0, "steps": 40, "sampler": "heun"}
    same, _ = edit(home / "noise", "invert", given, out=tmp_path / "same.h5ad", **settings)
    other, _ = edit(home / "noise", "invert", given, to={"perturbation": NAME}, out=tmp_path / "other.h5ad", **settings)
    modality: Any = beeline.load(home / "noise").modality
    before, cells = np.stack([each.array for each in modality.brought(given)]), anndata.read_h5ad(other)
    assert cells.obs["perturbation"].tolist() == [NAME] * 4
    assert cells.obs[CONTEXT].tolist() == ["B"] * 4
    assert cells.obs["donor"].tolist() == anndata.read_h5ad(given).obs["donor"].tolist()
    assert cells.obs["input"].tolist() == [f"{given}[{place}]" for place in range(4)]
    unchanged, changed = (anndata.read_h5ad(path).to_df().to_numpy() for path in (same, other))
    np.testing.assert_allclose(unchanged, before, atol=0.05)
    assert np.abs(changed - before).max() > 3 * np.abs(unchanged - before).max()
    errors = json.loads(cells.uns["beeline"]["edit"])["cycle_error"]
    assert len(errors) == 4
    assert max(errors) < 0.05
    with pytest.raises(UserError, match="modelled by their principal components, and no cell stands alone"):
        edit(home / "noise", "inpaint", given, known=tmp_path / "mask.npy")


def test_one_cell_goes_over_into_another(home: Path, tmp_path: Path) -> None:
    ends = [cells_file(tmp_path / f"{kind}.h5ad", 1, 3, ("control", kind)) for kind in ("B", "NK")]
    strip, _ = edit(home / "noise", "interpolate", ends, frames=5, out=tmp_path / "strip.h5ad", steps=40)
    cells, modality = anndata.read_h5ad(strip), cast("Any", beeline.load(home / "noise").modality)
    assert cells.obs[CONTEXT].tolist() == ["B", "B", "NK", "NK", "NK"]
    for end, place in zip(ends, (0, -1), strict=True):
        np.testing.assert_allclose(cells.to_df().to_numpy()[place], modality.brought(end)[0].array, atol=0.05)


def test_more_genes_than_components_are_taken_of_are_chosen_from(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beeline.modalities.cells.MOST_NUMBERS", 30)
    monkeypatch.setattr("beeline.modalities.cells._MOST_VARIABLE", 20)
    settled, reasons = Cells(path=str(home / "cells.h5ad")).settle(100)
    assert settled.dataset("train")[0].array.shape == (20,)
    assert reasons[0].startswith("the 20 most variable genes are kept: principal components are taken of at most 30")
    assert Cells(path=str(home / "cells.h5ad"), tokens="genes").settle(100)[0].highly_variable is None


def test_what_contradicts_the_file_is_told_before_anything_starts(home: Path) -> None:
    path = str(home / "cells.h5ad")
    for options, told in [
        ({"scale": "lognorm"}, "counts"),
        ({"perturbation_key": "gen"}, "did you mean 'gene'"),
        ({"perturbation_key": "gene", "control": "NT"}, "no cell has gene NT; there are"),
        ({"perturbation_key": "gene", "context": (CONTEXT,), "held_out_populations": f"{CONTEXT}=X"}, "no cell has"),
    ]:
        with pytest.raises(UserError, match=told):
            Cells(path=path, **options).dataset("train")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="start control: needs perturbation_key"):
        Cells(path=path, start="control")
    with pytest.raises(UserError, match="path: missing"):
        Cells(path="")


def test_files_hold_what_was_drawn(home: Path) -> None:
    modality = beeline.load(home / "run").modality
    assert isinstance(modality, Native)
    contents = modality.files(modality.dataset("held_out")[:3], {"seed": 1})[".h5ad"]
    (home / "again.h5ad").write_bytes(io.BytesIO(contents).getvalue())
    found = anndata.read_h5ad(home / "again.h5ad")
    assert found.shape == (3, len(TRUTH.gene_names))
    assert found.obs["perturbation"].tolist() == [NAME] * 3

"""Cells told of control cells of their population, one by one and in sets: trained, asked, measured as single cells."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import torch

import beeline
from beeline.cli.compare import compare
from beeline.cli.edit import edit
from beeline.cli.evaluate import evaluate
from beeline.cli.sample import sample
from beeline.cli.train import train
from beeline.conditioning.control_cells import ControlPopulation
from beeline.core.errors import InputWarning, UserError
from beeline.data.cell_components import CellComponents
from beeline.data.cell_populations import PopulationSet
from beeline.data.cell_truth import CONTEXT
from beeline.data.gene_scale import GeneScale
from beeline.data.projection import Projection
from beeline.evaluate.contract import hold
from beeline.evaluate.contract_subject import Subject
from beeline.modalities.cells import Cells
from beeline.modalities.loading import find_modality
from beeline.tokenizers.sets import SetTokenizer
from tests.conftest import FAST
from tests.evaluate.test_contract import kept
from tests.modalities.cell_files import TRUTH, cells_file

NAME = TRUTH.perturbations[0]
# No perturbed cell of NK is seen in training.
HELD_OUT = ";".join(f"{CONTEXT}=NK,gene={name}" for name in TRUTH.perturbations)
KEYS = {
    "data.perturbation_key": "gene",
    "data.context": CONTEXT,
    "data.components": 6,
    "data.controls": 6,
    "data.controls_dropout": 0.1,
}
FEW = {"tokens": "cells", "set_size": 5}
SETS = {"data.tokens": "cells", "data.set_size": 4}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells, a run of single cells and one of sets, both of which see control cells."""
    home = tmp_path_factory.mktemp("home")
    cells_file(home / "cells.h5ad")
    cells_file(home / "control.h5ad", 10, 1, ("control", "NK"))
    words = {**FAST, **KEYS, "data.pairs": 2, "data.held_out_populations": HELD_OUT, "train.steps": 6}
    train(str(home / "cells.h5ad"), home / "single", options=words)
    train(str(home / "cells.h5ad"), home / "sets", options={**words, **SETS})
    return home


def asked(home: Path) -> Mapping[str, Any]:
    """What is asked of either run: a type whose perturbed cells were never seen, by its control cells."""
    return {"controls": str(home / "control.h5ad"), "perturbation": NAME, CONTEXT: "NK"}


@pytest.mark.parametrize(("run", "each"), [("single", 1), ("sets", 4)])
def test_a_population_never_seen_is_answered_from_its_control_cells(home: Path, run: str, each: int) -> None:
    written = sample(home / run, n=10, condition=asked(home), out=home / f"{run}-drawn", seed=3)
    (path,) = [one for one in written if str(one).endswith(".h5ad")]
    found = anndata.read_h5ad(path)
    assert found.shape == (10 * each, len(TRUTH.gene_names))
    assert set(found.obs[CONTEXT]) == {"NK"}
    assert set(found.obs["perturbation"]) == {NAME}
    assert {"control", "controls"}.isdisjoint(found.obs.columns)
    assert ("set" in found.obs) == (run == "sets")
    if run == "sets":
        assert found.obs["set"].astype(int).tolist() == np.repeat(np.arange(10), 4).tolist()
    model = beeline.load(home / run)
    again = np.asarray(model.sample(10, {**asked(home), "controls": anndata.read_h5ad(home / "control.h5ad")}, seed=3))
    np.testing.assert_allclose(again.reshape(found.shape), np.asarray(found.to_df()), atol=1e-5)


def test_what_components_leave_out_is_that_of_control_cells_each_in_turn(home: Path) -> None:
    for run in ("single", "sets"):
        model = beeline.load(home / run)
        normaliser, condition = model.codec.normaliser, model.codec.condition("controls")
        assert isinstance(normaliser, Projection)
        assert isinstance(condition, ControlPopulation)
        normaliser, cells = replace(normaliser, lowest=None, rows=True), condition.parse(str(home / "control.h5ad"))
        made = np.asarray(model.sample(10, asked(home)))
        made = made.reshape(-1, made.shape[-1])
        rests = cells - normaliser.undo(normaliser.apply(cells))
        own = made - normaliser.undo(normaliser.apply(made))
        likeness = np.corrcoef(np.concatenate([own, rests]))[: len(made), len(made) :]
        assert set(likeness[:10].argmax(axis=1)) == set(range(10)), "each control cell once before one comes again"


@pytest.mark.parametrize("run", ["single", "sets"])
def test_control_cells_may_be_left_out_and_their_mean_in_training_stands_in(home: Path, run: str) -> None:
    model = beeline.load(home / run)
    codec, normaliser, known = model.codec, model.codec.normaliser, model.codec.condition("controls")
    assert isinstance(normaliser, CellComponents)
    assert isinstance(known, ControlPopulation)
    cells = model.modality.dataset("train")
    assert isinstance(cells, PopulationSet)
    told = [each.condition for each in (*cells, *cells.further())]
    distinct = np.unique(np.concatenate([each["controls"] for each in told if "controls" in each]), axis=0)
    np.testing.assert_allclose(known.projection.mean, distinct.mean(axis=0), atol=1e-5)
    tokens = codec.encode(model.modality.dataset("held_out")[0]).tokens
    alone, beside = (codec.decode(tokens, [told])[0] for told in ({}, {"controls": known.projection.mean[None]}))
    np.testing.assert_allclose(alone, beside, atol=1e-5)
    with pytest.warns(InputWarning, match="condition controls: left out of 6 samples: they stand about the mean"):
        written = sample(home / run, n=6, condition={"perturbation": NAME}, out=home / f"{run}-alone")
    made = anndata.read_h5ad(next(path for path in written if path.suffix == ".h5ad"))
    assert set(made.obs["perturbation"]) == {NAME}
    assert np.isfinite(np.asarray(made.to_df())).all()
    assert np.asarray(made.to_df("counts")).sum(axis=1).min() > 0
    refused = pytest.raises(
        UserError, match=f"{CONTEXT}=NK: the network knows it through 'controls' alone.* give controls"
    )
    with pytest.warns(InputWarning, match="left out of 2"), refused:
        model.sample(2, {"perturbation": NAME, CONTEXT: "NK"})


def test_control_cells_that_training_never_left_out_are_asked_for(home: Path) -> None:
    options: dict[str, Any] = {"path": str(home / "cells.h5ad"), "perturbation_key": "gene", "context": (CONTEXT,)}
    with pytest.raises(UserError, match=r"controls_dropout 0\.2: belongs to controls"):
        Cells(**options, controls_dropout=0.2)
    never, sometimes = (Cells(**options, controls=6, controls_dropout=share).conditions() for share in (0.0, 0.2))
    assert [each.name for each in never if each.has_null] == ["perturbation", CONTEXT]
    assert {each.name: each.dropout for each in sometimes} == {"perturbation": 0.1, CONTEXT: 0.0, "controls": 0.2}


@pytest.mark.parametrize("run", ["single", "sets"])
def test_given_cells_come_back_as_they_were_whatever_completes_them(home: Path, run: str) -> None:
    model = beeline.load(home / run)
    codec, example = model.codec, model.modality.dataset("held_out")[0]
    tokens = codec.encode(example).tokens
    (back,) = codec.decode(tokens, [example.condition], [example.array])
    np.testing.assert_allclose(back, example.array, atol=1e-4)
    assert isinstance(codec.normaliser, CellComponents)
    plain = replace(codec.normaliser, lowest=None, target=None)
    (made,) = replace(codec, normaliser=plain).decode(tokens, [example.condition])
    own, given = plain.apply(made), plain.apply(example.array)
    np.testing.assert_allclose(own, given, atol=1e-3, err_msg="with others' rest, its components are its own")


def test_evaluations_are_of_single_cells_and_alike_for_single_cells_and_sets(home: Path) -> None:
    found = {run: evaluate(home / run, n=30, spaces=["pixels"]) for run in ("single", "sets")}
    own = {run: {each.name: each for each in records} for run, records in found.items()}
    assert own["single"].keys() == own["sets"].keys()
    for name, one in own["single"].items():
        other = own["sets"][name]
        assert (one.n, other.n) == (30, 30)
        assert one.ceiling == pytest.approx(other.ceiling, nan_ok=True), name
    assert {"control copy", "shifted control"} <= set(own["sets"]["energy distance"].floors)
    assert np.isfinite(own["sets"]["delta correlation"].value)


def test_runs_of_single_cells_and_of_sets_stand_side_by_side(home: Path) -> None:
    rows = compare([home / "single", home / "sets"], n=12, spaces=["pixels"]).rows()
    assert {row["n"] for row in rows} == {12}
    assert len({row["entry"] for row in rows}) == 2


def opened(path: Path, **how: Any) -> tuple[Subject, Any]:
    """A modality of sets, and a network for it in which nothing is zero."""
    options = {"path": str(path), "perturbation_key": "gene", "context": (CONTEXT,), "components": 6, **how}
    subject = Subject(find_modality("cells"), options)
    return subject, subject.opened().network


@pytest.mark.parametrize("more", [{}, {"controls": 7}])
def test_genes_have_no_order(home: Path, more: dict[str, Any]) -> None:
    """A theorem: what is said of genes that change places changes places with them."""
    subject, network = opened(home / "cells.h5ad", tokens="genes", **more)
    batch = subject.codec.batch([subject.codec.encode(each) for each in subject.batch[:3]])
    order = torch.randperm(len(TRUTH.gene_names), generator=torch.Generator().manual_seed(0))
    assert batch.tokens.ids is not None
    moved = replace(batch.tokens, values=batch.tokens.values[:, order], ids=batch.tokens.ids[:, order])
    with torch.no_grad():
        said, turned = (network(each, torch.full((3,), 0.6), batch.conditions).output for each in (batch.tokens, moved))
    torch.testing.assert_close(turned, said[:, order], atol=1e-5, rtol=0)


def test_genes_are_told_about_their_control_cells_and_come_back(home: Path) -> None:
    """What is told of a cell and its control cells does not change where one number is added to a gene of all."""
    subject, _ = opened(home / "cells.h5ad", tokens="genes", controls=7)
    example = subject.batch[0]
    assert isinstance(subject.codec.normaliser, GeneScale)
    codec = replace(subject.codec, normaliser=replace(subject.codec.normaliser, lowest=None))
    tokens, more = codec.encode(example).tokens, np.linspace(0, 5, len(TRUTH.gene_names), dtype=np.float32)
    higher = replace(
        example,
        array=example.array + more,
        condition={**example.condition, "controls": example.condition["controls"] + more},
    )
    torch.testing.assert_close(codec.encode(higher).tokens.values, tokens.values, atol=1e-4, rtol=0)
    for each in (example, higher):
        (back,) = codec.decode(tokens, [each.condition])
        np.testing.assert_allclose(back, each.array, atol=1e-4)


def test_vectors_of_genes_begin_as_what_goes_together(home: Path) -> None:
    """Not those of drawn numbers alone: their first numbers are the loadings, at the size of the others."""
    subject = Subject(find_modality("cells"), {"path": str(home / "cells.h5ad"), "tokens": "genes"})
    assert isinstance(subject.codec.tokenizer, SetTokenizer)
    known, begun = subject.codec.tokenizer.kinship(), subject.small().network.dit.identities
    assert known is not None
    assert begun is not None
    assert known.shape[1] == 16
    torch.testing.assert_close(begun.weight[:, :16], known / 2)
    assert begun.weight.std().item() == pytest.approx(0.5, abs=0.05)


def test_training_sees_some_genes_and_samples_have_all(home: Path) -> None:
    words = {**FAST, "data.tokens": "genes", "data.genes_in_training": 7, "train.steps": 4}
    train(str(home / "cells.h5ad"), home / "whole", options=words)
    assert np.asarray(beeline.load(home / "whole").sample(2)).shape == (2, len(TRUTH.gene_names))
    train(str(home / "cells.h5ad"), home / "parted", options={**words, "train.checkpoint_every": 2})
    for extra in (home / "parted" / "checkpoints").glob("step-*4"):
        shutil.rmtree(extra)
    train(str(home / "cells.h5ad"), home / "parted", options={**words, "train.checkpoint_every": 2}, resume=True)
    ours, theirs = (beeline.load(home / run).network.state_dict() for run in ("whole", "parted"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours), "what is drawn is a function of the sample"


def test_a_set_has_no_order(home: Path) -> None:
    """A theorem: what is said of cells that change places changes places with them."""
    subject, network = opened(home / "cells.h5ad", tokens="cells", set_size=5, controls=7)
    batch = subject.codec.batch([subject.codec.encode(each) for each in subject.batch[:3]])
    order = torch.tensor([3, 0, 4, 1, 2])
    moved = batch.tokens.with_values(batch.tokens.values[:, order])
    with torch.no_grad():
        said, turned = (network(each, torch.full((3,), 0.6), batch.conditions).output for each in (batch.tokens, moved))
    torch.testing.assert_close(turned, said[:, order], atol=1e-5, rtol=0)
    others = batch.tokens.values.clone()
    others[:, 1:] += 1.0
    with torch.no_grad():
        alone = network(batch.tokens.with_values(others), torch.full((3,), 0.6), batch.conditions).output
    assert (alone - said)[:, 0].abs().max() > 1e-4, "and cells see one another"


@pytest.mark.parametrize(
    "how", [{"controls": 8}, {"tokens": "cells", "set_size": 5, "controls": 8}, {"tokens": "cells"}]
)
def test_cells_of_populations_keep_the_contract(home: Path, how: dict[str, Any]) -> None:
    path = cells_file(home / "more.h5ad", 80)
    options = {"path": str(path), "perturbation_key": "gene", "context": (CONTEXT,), "components": 6, **how}
    kept(hold(Subject(find_modality("cells"), options), quick=True).verdicts)


def test_what_does_not_go_together_is_told(home: Path) -> None:
    path = str(home / "cells.h5ad")
    for options, told in [
        ({"controls": 4}, "controls 4: needs perturbation_key"),
        ({"controls": -1}, "controls -1"),
        ({"tokens": "cells", "set_size": 0}, "set_size 0"),
        ({"start": "control", "perturbation_key": "gene", "controls": 4}, "use start noise"),
        ({"start": "control", "perturbation_key": "gene", "tokens": "cells"}, "use start noise"),
        ({"genes_in_training": 4}, "belongs to tokens genes"),
        ({"tokens": "genes", "genes_in_training": 0}, "is at least 1"),
    ]:
        with pytest.raises(UserError, match=told):
            Cells(path=path, **options)  # type: ignore[arg-type]
    model = beeline.load(home / "single")
    for wrong in ("NKK", ["NK", "NKK"]):
        with pytest.raises(UserError, match=f"{CONTEXT}=NKK: no cell of the data .*the nearest is 'NK'"):
            model.sample(2, {**asked(home), CONTEXT: wrong})
        with pytest.raises(UserError, match=f"{CONTEXT}=NKK"):
            sample(home / "single", n=2, condition={**asked(home), CONTEXT: wrong}, out=home / "never")
    with pytest.raises(UserError, match="lacks 5 of the"):
        model.sample(2, {**asked(home), "controls": anndata.read_h5ad(home / "control.h5ad")[:, 5:]})
    with pytest.raises(UserError, match="condition controls: need rows of"):
        model.sample(2, {**asked(home), "controls": np.zeros((3, 4))})


def test_sets_and_control_cells_that_repeat_are_told_with_the_smallest_population(home: Path) -> None:
    cells = anndata.read_h5ad(home / "cells.h5ad")
    rare = (cells.obs[CONTEXT] == "T") & (cells.obs["gene"] == NAME)
    kept = np.flatnonzero(~rare | (rare.cumsum() <= 3))
    kept = kept[~((cells.obs["gene"] == "control") & (cells.obs[CONTEXT] == "B")).to_numpy()[kept] | (kept % 5 == 0)]
    cells[kept].write_h5ad(home / "rare.h5ad")
    own = {"path": str(home / "rare.h5ad"), "perturbation_key": "gene", "context": (CONTEXT,), "components": 6}
    more: dict[str, Any] = {**own, "held_out_populations": HELD_OUT}
    with pytest.warns(InputWarning) as told:
        Cells(**more, tokens="cells", set_size=4, controls=8).settle(64)
    assert [str(each.message) for each in told] == [
        f"sets of 4 cells: 1 of 8 training populations have fewer, the smallest of them T, {NAME} with 3, so that "
        "cells come more than once in a set; --data.set_size 3",
        "8 control cells beside each sample: 1 of 2 contexts have fewer in training, the smallest of them B with 6, "
        "so that some are seen more than once; --data.controls 6",
    ]
    Cells(**more, tokens="cells", set_size=3, controls=6).settle(64)  # warnings are errors
    with pytest.warns(InputWarning, match=f"9 training populations have fewer, the smallest of them T, {NAME} with 3,"):
        Cells(**more, tokens="cells", set_size=4).settle(64)
    with pytest.warns(InputWarning, match="20 control cells beside each sample: 1 of 2 contexts"):
        Cells(**more, controls=20).settle(64)


def test_edits_keep_what_they_do_not_change(home: Path) -> None:
    told = {"controls": str(home / "control.h5ad")}
    written = edit(home / "single", "invert", home / "control.h5ad", told, out=home / "kept", sampler="heun")
    made = anndata.read_h5ad(next(path for path in written if path.suffix == ".h5ad"))
    with pytest.raises(UserError, match="condition controls: given samples are told apart by it; say it, --condition"):
        edit(home / "single", "invert", home / "control.h5ad", {}, out=home / "never", sampler="heun")
    given = anndata.read_h5ad(home / "control.h5ad")
    assert np.abs(np.asarray(made.to_df("counts")) - given.X).mean() < 0.1
    assert made.obs[CONTEXT].tolist() == given.obs[CONTEXT].tolist()


def test_contexts_may_differ_from_sample_to_sample_and_be_left_out(home: Path) -> None:
    told = {**asked(home), CONTEXT: ["NK", "B"]}
    written = sample(home / "single", n=4, condition=told, out=home / "both")
    made = anndata.read_h5ad(next(path for path in written if path.suffix == ".h5ad"))
    assert made.obs[CONTEXT].tolist() == ["NK", "B"] * 2
    model = beeline.load(home / "single")
    apart = [{name: value for name, value in told.items() if name != CONTEXT}, asked(home)]
    one, other = (np.asarray(model.sample(2, each, seed=1)) for each in apart)
    np.testing.assert_array_equal(one, other)


def test_several_files_of_control_cells_go_round_and_are_each_shared_out(home: Path) -> None:
    path = str(home / "control.h5ad")
    written = sample(home / "single", n=6, condition={**asked(home), "controls": [path, path]}, out=home / "round")
    made = anndata.read_h5ad(next(path for path in written if path.suffix == ".h5ad"))
    assert made.obs["library"].nunique() > 2


def test_genes_that_training_did_not_have_change_nothing(home: Path, tmp_path: Path) -> None:
    cells = anndata.read_h5ad(home / "control.h5ad")
    more = anndata.AnnData(np.concatenate([cells.X, np.full((cells.n_obs, 3), 50, np.float32)], axis=1))
    more.var_names = [*cells.var_names, "X1", "X2", "X3"]
    more.write_h5ad(tmp_path / "more.h5ad")
    known = beeline.load(home / "single").codec.condition("controls")
    np.testing.assert_array_equal(known.parse(str(tmp_path / "more.h5ad")), known.parse(str(home / "control.h5ad")))


@pytest.mark.parametrize(("column", "more"), [("set", FEW), ("library", {})])
def test_columns_that_are_written_anew_are_refused(column: str, more: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"column '{column}'"):
        Cells("cells.h5ad", labels=(column,), **more)

"""Training an autoencoder of cells: better than gene means, the same after a kill, and refused where it would leak."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest

import beeline
from beeline.cli.main import run as run_command
from beeline.cli.train import train
from beeline.core.errors import UserError
from beeline.data.autoencoder_folder import ABOUT, AutoencoderOptions, read_autoencoder
from beeline.data.cell_autoencoder import CellAutoencoder
from beeline.data.cell_truth import CONTEXT
from beeline.data.counted_cells import counts_again
from beeline.evaluate.contract import hold
from beeline.evaluate.contract_subject import Subject
from beeline.modalities.cells import Cells
from beeline.modalities.loading import find_modality
from beeline.train import autoencoding
from beeline.train.autoencoding import Autoencoding
from tests.conftest import FAST
from tests.evaluate.test_contract import kept
from tests.modalities.cell_files import TRUTH, cells_file

NAME = TRUTH.perturbations[0]
HELD_OUT = f"{CONTEXT}=NK,gene={NAME}"
CELLS = {"cells.perturbation_key": "gene", "cells.context": CONTEXT, "cells.held_out_populations": HELD_OUT}
SMALL: dict[str, Any] = {"latent": 4, "hidden": 16, "steps": 150, "batch_size": 64, "learning_rate": 1e-2}
KEYS = {name.replace("cells.", "data."): value for name, value in CELLS.items()}
FROM_CONTROL = {**KEYS, "data.start": "control", "process.source": "condition", "process.end": "control"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells and an autoencoder of them."""
    home = tmp_path_factory.mktemp("home")
    cells_file(home / "cells.h5ad", 60)
    beeline.autoencode(home / "cells.h5ad", home / "ae", CELLS, device="cpu", **SMALL)
    return home


@pytest.mark.parametrize("decoder", ["nb", "zinb"])
def test_it_beats_gene_means_on_cells_held_out(home: Path, decoder: str) -> None:
    """A bound from below of what the autoencoder gives lies above the likelihood of cells all alike."""
    folder = home / decoder
    options = {name: value for name, value in CELLS.items() if "held_out" not in name}
    beeline.autoencode(home / "cells.h5ad", folder, options, decoder=decoder, **{**SMALL, "steps": 300})
    bounds = read_autoencoder(folder).bounds
    assert bounds["held out"] > bounds["gene means"] + 2, bounds  # one told type and perturbation has 9.7
    assert bounds["training"] > bounds["gene means"] + 2, bounds


def test_after_a_kill_it_ends_with_the_same_bits(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoencoding, "_EVERY", 20)
    found, held_out = Cells(path=str(home / "cells.h5ad"))._read
    options = AutoencoderOptions(**{**SMALL, "steps": 60})

    seen: list[int] = []

    def kill(done: int, steps: int) -> None:
        if done == 47:
            raise KeyboardInterrupt

    def see(done: int, steps: int) -> None:
        seen.append(done)

    ends = []
    for name in ("once", "killed"):
        folder = tmp_path / name
        folder.mkdir()
        if name == "killed":
            with pytest.raises(KeyboardInterrupt):
                Autoencoding(found, held_out, options, {}, folder).run(kill)
            with pytest.raises(UserError, match="is not finished"):
                read_autoencoder(folder)
        seen.clear()
        Autoencoding(found, held_out, options, {}, folder).run(see)
        assert seen[0] == (1 if name == "once" else 41)
        ends.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert ends[0].keys() == {"autoencoder.json", "weights.safetensors", "cells.safetensors"}
    assert ends[0] == ends[1]


def test_a_folder_with_something_else_or_other_words_is_left_alone(home: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(UserError, match=r"holds something else \(thesis.txt\)"):
        beeline.autoencode(home / "cells.h5ad", tmp_path, **SMALL)
    before = (home / "ae" / ABOUT).read_bytes()
    with pytest.raises(UserError, match="was begun with latent 4, not 5"):
        beeline.autoencode(home / "cells.h5ad", home / "ae", CELLS, **{**SMALL, "latent": 5})
    others = {**CELLS, "cells.held_out_populations": f"{CONTEXT}=B,gene={NAME}"}
    with pytest.raises(UserError, match="was begun with held_out_populations cell_type=NK"):
        beeline.autoencode(home / "cells.h5ad", home / "ae", others, **SMALL)
    with pytest.raises(UserError, match=r"was begun with context \['cell_type'\], not its default"):
        beeline.autoencode(home / "cells.h5ad", home / "ae", **SMALL)
    assert beeline.autoencode(home / "cells.h5ad", home / "ae", CELLS, **SMALL) == home / "ae", "done already"
    assert (home / "ae" / ABOUT).read_bytes() == before
    with pytest.raises(UserError, match="is a file"):
        beeline.autoencode(home / "cells.h5ad", home / "cells.h5ad", **SMALL)


def test_words_that_are_wrong_are_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["autoencode", str(home / "cells.h5ad"), "--out", str(home / "none")]
    for more, told in [
        (["--cells.start=control"], "unknown option '--cells.start'"),
        (["--train.steps=5"], "is no option of the cells"),
        (["--decoder=poisson"], "decoder"),
        (["--latent=0"], "must be at least 1"),
        (["--cells.layer=raw_counts"], "layer"),
    ]:
        assert run_command([*words, *more]) == 2
        assert told in capsys.readouterr().err
        assert not (home / "none").exists()
    assert run_command(["autoencode", "--help"]) == 0
    assert "--cells.held_out_populations" in capsys.readouterr().out


def test_samples_need_neither_folder_nor_cells(home: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    shutil.copytree(home / "ae", here / "ae")
    shutil.copy(home / "cells.h5ad", here)
    options = {**FAST, **KEYS, "data.autoencoder": str(here / "ae"), "train.steps": 30}
    run = train(str(here / "cells.h5ad"), tmp_path / "run", options=options)
    shutil.rmtree(here)
    model = beeline.load(run)
    normaliser = model.codec.normaliser
    assert isinstance(normaliser, CellAutoencoder)
    assert normaliser.sha256 == read_autoencoder(home / "ae").weights_sha256
    drawn = np.asarray(model.sample(40, {CONTEXT: "B", "perturbation": NAME}))
    assert drawn.shape == (40, len(TRUTH.gene_names))
    real = [each.array for each in Cells(path=str(home / "cells.h5ad")).dataset("train")]
    assert (drawn == 0).mean() == pytest.approx((np.stack(real) == 0).mean(), abs=0.1), "with the zeros of counts"
    alone = np.asarray(model.sample(40, {CONTEXT: "B", "perturbation": NAME}, batch_size=7))
    assert np.mean(np.abs(alone - drawn).max(axis=1) > 1e-3) < 0.1, "whatever is beside it"


def test_from_control_cells_answers_keep_their_counts(home: Path) -> None:
    options = {**FAST, **FROM_CONTROL, "data.autoencoder": str(home / "ae"), "train.steps": 30}
    run = train(str(home / "cells.h5ad"), home / "answers", options=options)
    model = beeline.load(run)
    control = [each.condition["control"] for each in model.modality.dataset("held_out")[:6]]
    answers = np.asarray(model.sample(6, {"control": control, "perturbation": NAME}))
    assert not np.array_equal(answers, control)
    target = read_autoencoder(home / "ae").description.target
    assert target is not None
    for one, other in zip(answers, control, strict=True):
        assert counts_again(one, target) is not None
        assert np.corrcoef(one, other)[0, 1] > 0.7, "and the noise of their own control cell"


def test_an_autoencoder_of_other_cells_is_refused(home: Path, tmp_path: Path) -> None:
    def settled(**options: Any) -> Any:
        given = {"perturbation_key": "gene", "context": (CONTEXT,), "held_out_populations": HELD_OUT, **options}
        return Cells(**{"path": str(home / "cells.h5ad"), "autoencoder": str(home / "ae"), **given}).settle(8)

    assert any("latents of the autoencoder ae" in line for line in settled()[1])
    other = f"{CONTEXT}=B,gene={NAME}"
    with pytest.raises(UserError, match=r"trained on 60 of the 60 cells that this run holds out, which would leak"):
        settled(held_out_populations=other)
    with pytest.raises(UserError, match=r"trained on 60 of the 120 cells"):
        settled(held_out_populations=f"{other};{HELD_OUT}")
    few = anndata.read_h5ad(home / "cells.h5ad")[:, 3:].copy()
    few.write_h5ad(tmp_path / "few.h5ad")
    with pytest.raises(UserError, match="has 60 genes and this run 57, 3 genes are in one of them alone"):
        settled(path=str(tmp_path / "few.h5ad"))
    with pytest.raises(UserError, match=r"holds no autoencoder\.json"):
        settled(autoencoder=str(tmp_path))
    broken = tmp_path / "broken"
    shutil.copytree(home / "ae", broken)
    (broken / "weights.safetensors").write_bytes(b"something else")
    with pytest.raises(UserError, match="is missing or not the one"):
        settled(autoencoder=str(broken))
    with pytest.raises(UserError, match="scale counts and tokens latent"):
        settled(tokens="genes")


@pytest.mark.parametrize("start", ["noise", "control"])
def test_cells_by_an_autoencoder_keep_the_contract(home: Path, start: str) -> None:
    options = {"path": str(home / "cells.h5ad"), "perturbation_key": "gene", "context": (CONTEXT,), "start": start}
    options |= {"held_out_populations": HELD_OUT, "autoencoder": str(home / "ae")}
    kept(hold(Subject(find_modality("cells"), options), quick=True).verdicts)

"""A step that is recorded once and played learns what a step that is computed learns, to the bit."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from beeline.core.errors import UserError
from beeline.train.trainer import Trainer
from tests.tape import Tape, taped
from tests.train.helpers import finish, make_trainer, train_command

__all__ = ["taped"]

FAMILIES: dict[str, dict[str, Any]] = {
    "flow": {},
    "accumulated": {"train__accumulation": 2},
    "bf16": {"train__precision": "bf16"},
    "recomputed": {"train__activation_checkpointing": "true"},
    "learned variance": {"objective__family": "improved_ddpm"},
    "score": {"objective__family": "score"},
    "EDM": {"objective__family": "edm"},
    "regression": {"objective__family": "regression"},
    "learned weighting": {"objective__weighting": "learned"},
    "coupled": {"objective__coupling": "optimal_transport"},
}


def state(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {f"{group}/{name}": each for group, part in trainer.tensors().items() for name, each in part.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_recorded_steps_are_steps(family: str, taped: type[Tape]) -> None:
    plain = make_trainer(**FAMILIES[family])
    played = make_trainer(**FAMILIES[family], train__cuda_graph=True)
    for _ in range(4):
        plain.train_step()
        played.train_step()
    micro = plain.config.accumulation
    assert (taped.recorded_computations, taped.played) == (1, 4 * micro - 1)
    for (name, one), other in zip(state(plain).items(), state(played).values(), strict=True):
        assert torch.equal(one, other), name


def test_what_cannot_be_recorded_is_refused_before_training(taped: type[Tape]) -> None:
    """The bound of VDM looks at how wide the noise is that its path has learned; waves are of many lengths."""
    with pytest.raises(UserError, match=r"train\.cuda_graph: the bound of path vdm asks the GPU for a number"):
        make_trainer(objective__family="vdm", train__cuda_graph=True)
    with pytest.raises(UserError, match=r"train\.cuda_graph: the data have \d+ forms, so that hardly two batches"):
        make_trainer("waves", train__cuda_graph=True)


def test_a_trainer_is_let_go_of_at_once(taped: type[Tape]) -> None:
    """Many are tried where a model is chosen, and each of them holds a network's memory several times."""
    for recorded in (False, True):
        trainer = make_trainer(train__cuda_graph=recorded)
        for _ in range(3):
            trainer.train_step()
        last = weakref.ref(trainer)
        gc.disable()
        try:
            del trainer
            assert last() is None
        finally:
            gc.enable()


@pytest.mark.parametrize("section", ["train", "sample"])
def test_a_cpu_has_nothing_to_record(section: str, tmp_path: Path) -> None:
    """Pictures and scores of a run would meet what it says of sampling."""
    done = finish(train_command(tmp_path / "run", f"--{section}.cuda_graph=true"))
    assert done.returncode == 2
    assert "cuda_graph: records what a GPU does, and this runs on the cpu; leave it out" in done.stderr
    assert not (tmp_path / "run").exists()


def test_compiled_sampling_of_what_cannot_be_compiled_is_refused_before_training() -> None:
    with pytest.raises(UserError, match=r"asks for a transformer, and the network is of model\.backbone unet"):
        make_trainer(model__backbone="unet", model__preset=None, data__patch=1, sample__compile=True)

"""A step that is recorded once and played learns what a step that is computed learns, to the bit."""

from __future__ import annotations

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


def test_a_step_that_asks_for_numbers_is_refused_when_it_is_recorded(taped: type[Tape]) -> None:
    """The bound of VDM looks at how wide the noise is that its path has learned."""
    trainer = make_trainer(objective__family="vdm", train__cuda_graph=True)
    trainer.train_step()
    with pytest.raises(UserError, match=r"cuda_graph: this computation cannot be recorded \(a number is asked for"):
        trainer.train_step()


def test_a_cpu_has_nothing_to_record(tmp_path: Any) -> None:
    done = finish(train_command(tmp_path / "run", "--train.cuda_graph=true"))
    assert done.returncode == 2
    assert "cuda_graph: records what a GPU does, and this runs on the cpu; leave it out" in done.stderr
    assert not (tmp_path / "run").exists()


def test_packed_batches_are_not_recorded() -> None:
    with pytest.raises(UserError, match="cuda_graph and packing: packed batches differ in shape each time"):
        make_trainer("waves", train__cuda_graph=True, train__packing=True)

"""Compiled blocks say what plain ones say, for a while, and only where something compiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import beeline
from beeline.backbone.dit import run_block
from beeline.core.errors import UserError
from beeline.model import compiling
from beeline.model.compiling import check_compilable, check_compiler
from tests.backbone.test_unet import network
from tests.train.helpers import command, finish, make_trainer

FEW: Any = {"seed": 1, "steps": 3, "sampler": "euler"}


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Passes of blocks through what compiling makes, which here is the plain function: making it takes long."""
    seen: list[int] = []

    def counted(*given: Any) -> Tensor:
        seen.append(1)
        return run_block(*given)

    monkeypatch.setattr(compiling, "_compiled", lambda: counted)
    return seen


def test_every_block_of_every_pass_is_the_compiled_one_and_plain_again_afterwards(
    small_run: Path, passes: list[int]
) -> None:
    model = beeline.load(small_run)
    plain = model.sample(2, **FEW)
    assert not passes
    np.testing.assert_array_equal(plain, model.sample(2, **FEW, compile=True))
    dit = model.network.dit
    assert len(passes) == 3 * len(dit.blocks)
    assert dit.run_block is run_block

    def fail(seen: object) -> None:
        raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        model.generate(model.requests(2, {}), 0, model.settings(steps=3, compile=True), watch=fail)
    assert dit.run_block is run_block


def test_training_runs_compiled_blocks_and_looks_with_plain_ones(passes: list[int]) -> None:
    trainer = make_trainer(train__compile=True, train__accumulation=2)
    depth = len(trainer.network.dit.blocks)
    assert not passes, "planning and looking compile nothing"
    trainer.train_step()
    assert len(passes) == 2 * depth
    assert trainer.network.dit.run_block is run_block
    plain = make_trainer(train__accumulation=2)
    plain.train_step()
    assert len(passes) == 2 * depth
    for one, other in zip(trainer.network.parameters(), plain.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_nothing_to_train_compiled_with_is_told_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="asks for a transformer"):
        check_compilable(network([]))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="compile: needs a C\\+\\+ compiler"):
        make_trainer(train__compile=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # torch's own
def test_compiled_training_is_plain_training_within_rounding() -> None:
    trainers = [make_trainer(train__compile=each) for each in (False, True)]
    for _ in range(3):
        for each in trainers:
            each.train_step()
    for one, other in zip(*(each.network.parameters() for each in trainers), strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


def test_nothing_to_compile_with_is_told_before_anything_is_drawn(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    done = finish(command("sample", str(small_run), "-n", "2", "--compile", "--out", str(tmp_path / "drawn")))
    assert done.returncode == 2
    assert "compile: needs a C++ compiler, and there is no no-such-compiler here" in done.stderr
    assert not (tmp_path / "drawn").exists()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="compile: needs triton on a GPU"):
        check_compiler("cuda")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # torch's own
def test_compiled_samples_are_the_plain_ones_within_rounding(small_run: Path) -> None:
    model = beeline.load(small_run)
    guided: Any = {**FEW, "cfg_scale": 2.0, "condition": {"label": 3}}
    plain, made = (np.asarray(model.sample(4, **guided, compile=each), int) for each in (False, True))
    assert np.abs(plain - made).max() <= 1
    assert model.generate(model.requests(1, {}), settings=model.settings(compile=True)).provenance["compile"]

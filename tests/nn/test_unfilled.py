"""Networks made for weights that are at hand draw none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from beeline.generate.load import load
from beeline.nn.positions import LearnedPositions
from beeline.nn.unfilled import Unfilled


def test_no_parameter_is_filled_in_it_and_every_one_after_it() -> None:
    ways: list[Callable[[Tensor], Tensor]] = [nn.init.normal_, nn.init.uniform_, nn.init.xavier_uniform_]
    ways += [nn.init.kaiming_uniform_, torch.Tensor.normal_, torch.Tensor.uniform_]
    state = torch.get_rng_state()
    with Unfilled(), torch.no_grad():
        nn.Linear(3, 4), nn.Embedding(3, 4), nn.Conv2d(3, 4, 2), LearnedPositions((4,), 8)
        kept = nn.Parameter(torch.full((3, 4), 7.0))
        for way in ways:
            assert way(kept) is kept
        assert nn.init.normal_(tensor=kept) is kept
        assert kept.eq(7).all()
        assert nn.init.constant_(kept, 2.0).eq(2).all()
    assert torch.equal(torch.get_rng_state(), state)
    assert not nn.init.normal_(kept).eq(2).any()


def test_draws_by_a_generator_and_into_other_tensors_are_made() -> None:
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    with Unfilled():
        assert torch.zeros(5).normal_().any()
        drawn = nn.init.normal_(nn.Parameter(torch.zeros(5)), generator=generators[0])
    assert torch.equal(drawn, torch.zeros(5).normal_(generator=generators[1]))


def test_modules_without_numbers_do_not_bring_the_compiler() -> None:
    code = (
        "import sys, torch; from torch import nn; from beeline.nn.positions import LearnedPositions\n"
        "from beeline.nn.unfilled import Unfilled\n"
        "with torch.device('meta'), Unfilled(): LearnedPositions((4,), 8), nn.Embedding(3, 4), nn.Linear(3, 4)\n"
        "print('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"False\n"


def test_opening_a_model_draws_nothing(small_run: Path) -> None:
    state = torch.get_rng_state()
    engine = load(small_run)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.isfinite().all() for parameter in engine.network.parameters())

"""Networks made for weights that are at hand draw none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from beeline.generate.load import load
from beeline.nn.unfilled import Unfilled


def test_no_draw_is_made_in_it_and_every_draw_after_it() -> None:
    """Whatever fills a tensor at random goes by one of these, among them the layers' own ways."""
    ways: list[Callable[[Tensor], Tensor]] = [
        nn.init.normal_,
        nn.init.uniform_,
        nn.init.xavier_uniform_,
        nn.init.kaiming_uniform_,
    ]
    state = torch.get_rng_state()
    with Unfilled():
        nn.Linear(3, 4), nn.Embedding(3, 4), nn.Conv2d(3, 4, 2)
        kept = torch.full((3, 4), 7.0)
        for way in (*ways, torch.Tensor.normal_, torch.Tensor.uniform_):
            assert way(kept) is kept
        assert nn.init.normal_(tensor=kept) is kept
        assert kept.eq(7).all()
        assert nn.init.constant_(kept, 2.0).eq(2).all()
    assert torch.equal(torch.get_rng_state(), state)
    assert not nn.init.normal_(kept).eq(2).any()


def test_opening_a_model_draws_nothing(small_run: Path) -> None:
    state = torch.get_rng_state()
    engine = load(small_run)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.isfinite().all() for parameter in engine.network.parameters())

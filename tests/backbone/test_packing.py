"""Packed rows reach attention in the form that the kernel at hand takes, and padding comes out as zeros."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from beeline.backbone import dit
from beeline.backbone.config import ModelConfig
from beeline.backbone.dit import DiT, TokenSpace
from beeline.core.batching import pack
from beeline.core.tokens import Layout, Tokens
from beeline.nn.attention import Groups
from tests.conftest import randomise_zeros


def test_packed_rows_are_seen_as_the_kernel_that_there_is_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    model = DiT(ModelConfig(hidden_size=32, depth=2, num_heads=2), TokenSpace(3))
    randomise_zeros(model)
    packed = pack([Tokens(torch.randn(1, n, 3), layout=(Layout((n,), (n,)),)) for n in (200, 60, 200)], 256)
    frame = model.frame_of(packed)
    assert frame.around[0].sight == Groups(((2, 200), (1, 60)))
    assert frame.order is not None
    assert len(frame.order) == 460
    outputs = model.over(packed.values, torch.ones(3), None, frame)
    assert packed.keep is not None
    assert outputs[packed.keep].all()
    assert not outputs[~packed.keep].any()
    with compiled_blocks(model):
        frame = model.frame_of(packed)
    assert frame.order is None
    assert isinstance(frame.around[0].sight, Tensor)
    given = list[Any]()
    monkeypatch.setattr(dit, "grouped", lambda segment: None)
    monkeypatch.setattr(dit, "packed_sight", lambda *all_of_it: given.append(all_of_it))
    with torch.autocast("cpu", torch.bfloat16):
        model.frame_of(packed)
    segment, starts, dtype, head_size = given[0]
    assert segment is packed.segment
    expected = packed.starts()
    assert expected is not None
    assert torch.equal(starts, expected)
    assert (dtype, head_size) == (torch.bfloat16, 16)


@contextmanager
def compiled_blocks(model: DiT) -> Iterator[None]:
    """As far as the model can tell."""
    before, model.run_block = model.run_block, lambda *given: dit.run_block(*given)
    yield
    model.run_block = before

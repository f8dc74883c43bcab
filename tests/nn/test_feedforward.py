"""The feed-forward layer, written out."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from beeline.backbone.config import Sizes
from beeline.nn.feedforward import FeedForward


def tanh_gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


@pytest.mark.parametrize(("name", "activation"), [("gelu", tanh_gelu), ("silu", silu)])
def test_activations_are_those_of_their_names(name: str, activation: Callable[[Tensor], Tensor]) -> None:
    """gelu is the tanh form, as in the official DiT."""
    layer, x = FeedForward(8, 32, name).double(), torch.randn(5, 8).double()
    torch.testing.assert_close(layer(x), layer.second(activation(layer.first(x))))


def test_swiglu_gates_one_half_by_the_other_and_is_two_thirds_as_wide() -> None:
    inner = Sizes(9, 1, 1, activation="swiglu").inner_size
    assert (inner, Sizes(9, 1, 1, activation="gelu").inner_size) == (24, 36)
    layer, x = FeedForward(9, inner, "swiglu").double(), torch.randn(5, 9).double()
    gate, value = layer.first(x).split(inner, dim=-1)
    torch.testing.assert_close(layer(x), layer.second(silu(gate) * value))

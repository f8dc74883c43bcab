"""Low-rank additions: nothing at birth, and merged to the last bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from beeline.nn.low_rank import add_low_rank, is_low_rank, low_rank_sum, merged, plain_name


def adapted(rank: int = 3, alpha: float = 6.0) -> tuple[nn.Sequential, nn.Sequential]:
    """The same network without and with additions to its second layer."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(24, 40), nn.Linear(40, 17))
    other = nn.Sequential(nn.Linear(24, 40), nn.Linear(40, 17))
    other.load_state_dict(plain.state_dict())
    layer = other[1]
    assert isinstance(layer, nn.Linear)
    add_low_rank(layer, rank, alpha)
    return plain, other


def named(module: nn.Module) -> dict[str, torch.Tensor]:
    return {plain_name(name): tensor for name, tensor in module.state_dict().items()}


def test_an_addition_changes_nothing_at_birth() -> None:
    plain, other = adapted()
    x = torch.randn(5, 24)
    assert torch.equal(plain(x), other(x))
    assert named(other)["1.weight.lora_A"].any()


def test_tensors_keep_their_plain_names() -> None:
    plain, other = adapted()
    parts = {f"1.weight.lora_{part}" for part in ("A", "B", "scale")}
    assert named(other).keys() == plain.state_dict().keys() | parts
    assert {name for name in named(other) if is_low_rank(name)} == parts


@pytest.mark.parametrize("autocast", [False, True])
def test_merged_weights_compute_the_same_bits(autocast: bool) -> None:
    plain, other = adapted()
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if "lora" in name:
                parameter.normal_()
    plain.load_state_dict(merged(named(other)))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        for rows in (1, 7, 300):
            x = torch.randn(rows, 24)
            assert torch.equal(plain(x), other(x))


def test_the_sum_is_that_of_the_paper() -> None:
    """W + (alpha / rank) B A, written out."""
    _, other = adapted(rank=2, alpha=5.0)
    tensors = named(other)
    torch.manual_seed(1)
    down, up = torch.randn(2, 40), torch.randn(17, 2)
    added = low_rank_sum(tensors["1.weight"], down, up, tensors["1.weight.lora_scale"]) - tensors["1.weight"]
    torch.testing.assert_close(added, 2.5 * torch.einsum("or,ri->oi", up, down), atol=1e-5, rtol=1e-5)


def test_what_has_no_addition_is_left_as_it_is() -> None:
    plain, _ = adapted()
    tensors = plain.state_dict()
    whole = merged(tensors)
    assert list(whole) == list(tensors)
    assert all(whole[name] is tensor for name, tensor in tensors.items())

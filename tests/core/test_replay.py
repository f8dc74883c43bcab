"""A recording gives what the computation gives, of whatever it is given, and never what was given before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from beeline.core.errors import UserError
from beeline.core.nested import alone, copied, described
from beeline.core.replay import Graphs, Replay, check_replayable
from beeline.core.tokens import Tokens
from tests.tape import Tape


def test_what_is_played_is_what_would_be_computed() -> None:
    weight, calls = torch.full((3,), 2.0), list[None]()

    def compute(x: Tensor, more: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        calls.append(None)
        weight.add_(1)
        return (x * weight).relu(), more["shift"].expand(2, 3).sum(0) + x

    plain_weight = weight.clone()
    replay = Replay[tuple[Tensor, Tensor]](Tape())
    found = []
    for step in range(5):
        x, shift = torch.tensor([1.0, -step, step]), torch.full((1, 3), float(step))
        plain_weight += 1
        found.append(
            (replay.of([x, shift], (x, {"shift": shift}), compute), ((x * plain_weight).relu(), 2 * shift[0] + x))
        )
        assert torch.equal(weight, plain_weight), "each call writes once, the one that is recorded too"
    for results, computed in found:  # all at the end: what a later call gives must not lie in an earlier one's place
        for one, other in zip(results, computed, strict=True):
            assert torch.equal(one, other)
    assert len(calls) == 2


def test_another_form_is_computed_as_it_is() -> None:
    calls = list[int]()

    def compute(x: Tensor, factor: int) -> Tensor:
        calls.append(factor)
        return x * factor

    replay, x = Replay[Tensor](Tape()), torch.arange(3.0)
    for factor, size in ((2, 3), (2, 3), (3, 3), (2, 2), (2, 3)):
        given = (x[:size], factor)
        assert torch.equal(replay.of(given, given, compute), x[:size] * factor)
    assert calls == [2, 2, 3, 2], "the last is played"
    other = (x.double(), 2)
    assert replay.of(other, other, compute).dtype == torch.float64


def test_samples_that_share_places_share_them_in_a_recording() -> None:
    shared = torch.rand(1, 5, 2).expand(4, 5, 2)
    tokens = Tokens(torch.rand(4, 5, 3), coords=shared, cells=torch.rand(4, 5, 1).expand(4, 5, 3) > 0.5)
    assert alone(shared).shape == (1, 5, 2)
    assert alone(torch.rand(4, 5)).shape == (4, 5)
    for each in (shared, torch.rand(2, 3).T, torch.rand(()), torch.rand(3, 1).expand(3, 4), torch.rand(0, 3)):
        assert described(copied(each)) == described(each)
        assert torch.equal(copied(each), each)
        assert copied(each).numel() == 0 or copied(each).data_ptr() != each.data_ptr()

    def summed(given: Tokens) -> Tensor:
        assert given.coords is not None
        assert given.cells is not None
        return given.values + given.coords.mean() + given.cells.float()

    replay = Replay[Tensor](Tape())
    for change in range(4):
        given = tokens.with_values(tokens.values * change)
        assert torch.equal(replay.of([given.values, *given.places()], (given,), summed), summed(given))


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x if x.sum() > 0 else -x,
        lambda x: x * x.max().item(),
        lambda x: x * x.tolist()[0],
        lambda x: x[x > 0],
        lambda x: x + torch.tensor([1.0, 2.0]),
    ],
    ids=["a branch", "a number", "numbers", "a choice", "numbers that are sent"],
)
def test_what_a_gpu_is_waited_for_cannot_be_recorded(compute: Callable[[Tensor], Tensor]) -> None:
    replay, x = Replay[Tensor](Tape()), torch.ones(2)
    replay.of([x], (x,), compute)
    with pytest.raises(UserError, match=r"cuda_graph: this computation cannot be recorded"):
        replay.of([x], (x,), compute)


def test_only_gpus_record() -> None:
    check_replayable("cuda")
    with pytest.raises(UserError, match="cuda_graph: records what a GPU does, and this runs on the cpu; leave it out"):
        check_replayable("cpu")


@pytest.mark.gpu
def test_a_graph_plays_what_would_be_computed() -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU here")
    weight = torch.full((3,), 2.0, device="cuda", requires_grad=True)
    weight.grad = torch.zeros_like(weight)

    def compute(x: Tensor) -> Tensor:
        loss = (x * weight).square().sum()
        loss.backward()
        return loss.detach()

    replay, total = Replay[Tensor](Graphs()), torch.zeros(3)
    for step in range(5):
        x = torch.tensor([1.0, -step, step])
        here = x.cuda()
        assert float(replay.of([here], (here,), compute)) == float((x * 2).square().sum())
        total += 4 * x * x
        assert torch.equal(weight.grad.cpu(), total)

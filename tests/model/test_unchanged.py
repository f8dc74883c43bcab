"""What does not depend on noisy numbers and times is computed once a batch, to the bit, and never of another batch."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from beeline.backbone import dit
from beeline.backbone.block import Block
from beeline.backbone.config import ModelConfig, Positions
from beeline.conditioning.label import ClassLabel
from beeline.core.conditions import Conditions
from beeline.core.data import Example
from beeline.core.tokens import Layout, Tokens
from beeline.model.codec import Codec
from beeline.model.network import Network
from beeline.process.linear import Linear
from beeline.samplers.guidance import Guided
from beeline.tokenizers.grid import GridTokenizer
from beeline.tokenizers.sets import SetTokenizer
from tests.conftest import randomise_zeros
from tests.model.test_cross import POINTS, codec, field, network, points


def passes(model: Network, made: Codec, scale: float, keeps: bool) -> tuple[list[Tensor], int]:
    """Guided outputs at three times of two batches in turn, and how often points were embedded."""
    calls = list[Any]()
    hook = model.embedders["seen"].register_forward_hook(lambda *_: calls.append(None))
    outputs = []
    with torch.no_grad(), model.unchanged() if keeps else nullcontext():
        for first in (0, 1):
            given: list[dict[str, Any]] = [{"seen": points(3 + first)}, {"seen": None}]
            batch = made.batch([made.encode(Example(field(), each)) for each in given])
            predictor = Guided(model, torch.tensor([scale, 1.0]))
            for t in (0.8, 0.5, 0.2):
                numbers = batch.tokens.with_values(t * batch.tokens.values)
                outputs.append(predictor(numbers, torch.full((2,), t), batch.conditions).output)
    hook.remove()
    return outputs, len(calls)


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("positions", ["rotary", "sincos", "learned"])
def test_what_does_not_depend_on_time_is_computed_once_a_batch_and_to_the_bit(
    positions: Positions, scale: float
) -> None:
    made = codec([POINTS])
    model = network(made, positions)
    outputs, calls = passes(model, made, scale, keeps=False)
    kept, fewer = passes(model, made, scale, keeps=True)
    assert all(torch.equal(one, other) for one, other in zip(outputs, kept, strict=True))
    assert (calls, fewer) == (6, 2)


def test_nothing_is_kept_while_weights_learn_and_nothing_afterwards() -> None:
    made = codec([POINTS])
    model = network(made)
    batch = made.batch([made.encode(Example(field(), {"seen": points(3)}))])
    t, weight = torch.tensor([0.4]), model.get_parameter("embedders.seen.linear.weight")
    with model.unchanged():
        for _ in range(2):
            model(batch.tokens, t, batch.conditions).output.sum().backward()
        assert weight.grad is not None
        assert weight.grad.any()
        with torch.no_grad():
            before = model(batch.tokens, t, batch.conditions).output
    with torch.no_grad():
        weight.mul_(2)
        assert not torch.equal(model(batch.tokens, t, batch.conditions).output, before)


@pytest.mark.parametrize(("short", "made_of_them"), [(0, 1), (1, 3)])
def test_keys_and_values_that_would_take_much_memory_are_made_pass_by_pass(
    short: int, made_of_them: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = codec([POINTS])
    model = network(made)
    batch = made.batch([made.encode(Example(field(), {"seen": points(3)}))])
    first = model.dit.blocks[0]
    assert isinstance(first, Block)
    calls = list[Any]()
    first.cross.kv.register_forward_hook(lambda *_: calls.append(None))
    tokens_seen = batch.conditions.values["seen"].keep.numel()
    monkeypatch.setattr(dit, "_NUMBERS_KEPT", 3 * 32 * tokens_seen * len(model.dit.blocks) - short)
    with torch.no_grad(), model.unchanged():
        outputs = [model(batch.tokens, torch.tensor([0.4]), batch.conditions).output for _ in range(3)]
    assert len(calls) == made_of_them
    assert torch.equal(outputs[0], outputs[2])


def asked(kind: str, seed: int) -> tuple[Tokens, Conditions]:
    """Two samples of grids, or of sets, with everything that a network sees of them."""
    random = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    keep = torch.tensor([[True, True, seed > 1, True], [True, seed < 2, True, True]])
    ids = torch.randint(0, 9, (2, 4), generator=random) if kind == "sets" else None
    coords = None if kind == "sets" else 3 * numbers(2, 4, 1)
    tokens = Tokens(numbers(2, 4, 1), coords, ids, keep, layout=(Layout((4,), (4,), (3.0 + seed,)),) * 2)
    null = torch.tensor([seed > 1, False])
    return tokens, Conditions({"label": torch.tensor([seed, 0])}, {"label": null}, {"label": 0.1})


@pytest.mark.parametrize(
    ("kind", "pieces"),
    [("sets", ["ids", "keep", "values", "null"]), ("grids", ["coords", "keep", "layout", "values", "null"])],
)
def test_while_weights_do_not_change_every_piece_that_does_is_seen(kind: str, pieces: list[str]) -> None:
    torch.manual_seed(0)
    config = ModelConfig(preset="DiT-Nano", hidden_size=32, num_heads=4)
    tokenizer = SetTokenizer(9) if kind == "sets" else GridTokenizer((1,))
    model = Network(config, tokenizer, [ClassLabel("label", 4, dropout=0.1)], Linear())
    randomise_zeros(model, 0.3)
    (tokens, conditions), (others, other_conditions) = asked(kind, 1), asked(kind, 2)
    t = torch.tensor([0.4, 0.4])
    with torch.no_grad():
        for piece in pieces:
            changed = (tokens, conditions)
            if piece in ("values", "null"):
                changed = (tokens, replace(conditions, **{piece: getattr(other_conditions, piece)}))
            else:
                changed = (replace(tokens, **{piece: getattr(others, piece)}), conditions)
            with model.unchanged():
                before = model(tokens, t, conditions).output
                found = model(changed[0], t, changed[1]).output
            expected = model(changed[0], t, changed[1]).output
            assert torch.equal(found, expected), piece
            assert not torch.allclose(found, before, atol=1e-4), f"{piece} must matter"


def test_a_pass_in_another_precision_is_computed_anew() -> None:
    made = codec([POINTS])
    model, t = network(made), torch.tensor([0.4])
    batch = made.batch([made.encode(Example(field(), {"seen": points(3)}))])

    def said() -> list[Tensor]:
        exact = model(batch.tokens, t, batch.conditions).output
        with torch.autocast("cpu", torch.bfloat16):
            return [exact, model(batch.tokens, t, batch.conditions).output]

    with torch.no_grad():
        expected = said()
        with model.unchanged():
            found = said() + said()
    assert not torch.equal(*expected)
    assert all(torch.equal(one, other) for one, other in zip(found, 2 * expected, strict=True))

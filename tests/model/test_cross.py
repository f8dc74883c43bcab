"""What is attended to: nothing at birth, no order, no padding, the same place on both sides, a null of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from beeline.backbone.block import Block
from beeline.backbone.config import ModelConfig, Positions
from beeline.conditioning.coarse_map import CoarseMap
from beeline.conditioning.label import ClassLabel
from beeline.conditioning.map import AlignedMap
from beeline.conditioning.points import Points
from beeline.core.context import Context, below, beside
from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.core.parts import describe_part, rebuild_part
from beeline.core.protocols import Attended, Condition
from beeline.data.normalisers import Standardise
from beeline.model.codec import Codec
from beeline.model.cost import network_cost
from beeline.model.network import Network
from beeline.process.linear import Linear
from beeline.samplers.guidance import Guided
from beeline.tokenizers.grid import GridTokenizer
from tests.conftest import randomise_zeros

RANDOM = np.random.default_rng(0)
POINTS = Points("seen", 2, mean=(0.0,), deviation=(1.0,), most=4, dropout=0.2)
COARSE = CoarseMap("coarse", (1, 1), mean=(0.0,), deviation=(1.0,), extents=(4, 3), dropout=0.2)
UNDER = AlignedMap("under", mean=(0.0,), deviation=(1.0,), dropout=0.2)


def codec(conditions: list[Condition], periodic: tuple[bool, ...] = ()) -> Codec:
    return Codec(
        Standardise(mean=(0.0,), deviation=(1.0,)), GridTokenizer((2, 2), periodic=periodic), tuple(conditions),
        forms=(((8, 6), 1),), extents=(4, 3),
    )  # fmt: skip


def network(codec: Codec, positions: Positions = "rotary", **options: Any) -> Network:
    torch.manual_seed(0)
    config = ModelConfig(preset="DiT-Nano", hidden_size=32, num_heads=4, positions=positions, qk_norm=True, **options)
    made = Network(config, codec.tokenizer, codec.conditions, Linear(), extents=codec.extents)
    randomise_zeros(made, 0.3)
    return made.eval()


def said(network: Network, codec: Codec, *conditions: dict[str, Any], array: Any = None) -> Tensor:
    """Outputs for one field under several conditions, a row each."""
    array = field() if array is None else array
    batch = codec.batch([codec.encode(Example(array, each)) for each in conditions])
    tokens = batch.tokens
    with torch.no_grad():
        return network(tokens, torch.full((tokens.samples,), 0.4), batch.conditions).output


def field(seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(size=(8, 6, 1)).astype(np.float32)


def points(count: int, seed: int = 2) -> Any:
    random = np.random.default_rng(seed)
    return np.concatenate([random.uniform(-0.5, [7.5, 5.5], (count, 2)), random.normal(size=(count, 1))], axis=1)


@pytest.mark.parametrize("condition", [POINTS, COARSE])
def test_e29_cross_attention_is_there_and_a_fresh_network_is_the_identity(condition: Any) -> None:
    """E29: what is attended to is attended to, by tensors beside those of a network without; behind closed gates."""
    made = codec([condition])
    torch.manual_seed(0)
    config = ModelConfig(preset="DiT-Nano", hidden_size=32, num_heads=4)
    with_cross = Network(config, made.tokenizer, [condition], Linear(), extents=(4, 3))
    without = Network(config, made.tokenizer, [], Linear(), extents=(4, 3))
    more = with_cross.state_dict().keys() - without.state_dict().keys()
    assert without.state_dict().keys() <= with_cross.state_dict().keys()
    assert all(name.startswith("embedders.") or ".cross" in name for name in more)
    torch.nn.init.normal_(with_cross.dit.head.weight)
    value = points(3) if condition is POINTS else RANDOM.normal(size=(4, 3, 1))
    one, other = said(with_cross, made, {condition.name: value}, {condition.name: value + 0.1})
    assert torch.equal(one, other), "its gate is closed"
    block = with_cross.dit.blocks[0]
    assert isinstance(block, Block)
    torch.nn.init.constant_(block.cross_modulation.linear.bias, 0.5)
    one, other = said(with_cross, made, {condition.name: value}, {condition.name: value + 0.1})
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("positions", ["rotary", "sincos", "learned"])
def test_points_have_no_order_and_padding_changes_no_real_token(positions: Positions) -> None:
    made = codec([POINTS])
    model = network(made, positions)
    few, many = points(3), points(7, seed=4)
    alone = said(model, made, {"seen": few})[0]
    shuffled = said(model, made, {"seen": few[[2, 0, 1]]})[0]
    padded = said(model, made, {"seen": few}, {"seen": many})[0]
    none, absent = said(model, made, {"seen": few[:0]}, {})
    for other in (shuffled, padded):
        torch.testing.assert_close(other, alone, rtol=0, atol=1e-5)
    assert torch.isfinite(none).all()
    for one, other in ((none, absent), (none, alone), (absent, alone), (alone, said(model, made, {"seen": many})[0])):
        assert not torch.allclose(one, other, atol=1e-3), "no observation is not an unknown number of them"
    moved = few + np.array([1.0, 0, 0])
    assert not torch.allclose(said(model, made, {"seen": moved})[0], alone, atol=1e-3), "places matter"


def test_a_place_is_the_same_place_on_both_sides() -> None:
    """Rotary attention sees differences alone: tokens of a map of the data's resolution lie where the data's do."""
    tokenizer = GridTokenizer((2, 2))
    tokens = tokenizer.encode(torch.zeros(8, 6, 1))
    assert tokens.coords is not None
    same = CoarseMap("same", (2, 2), mean=(0.0,), deviation=(1.0,))
    torch.testing.assert_close(same.context(torch.zeros(8, 6, 1), tokens, tokenizer).coords, tokens.coords)
    halved = CoarseMap("half", (1, 1), mean=(0.0,), deviation=(1.0,))
    torch.testing.assert_close(halved.context(torch.zeros(4, 3, 1), tokens, tokenizer).coords, tokens.coords)
    quarter = halved.context(torch.zeros(2, 3, 1), tokens, tokenizer).coords[0, :, 0].unique()
    torch.testing.assert_close(quarter, torch.tensor([0.5, 2.5]))
    wide = CoarseMap("wide", (1, 1), span=2.0, mean=(0.0,), deviation=(1.0,))
    torch.testing.assert_close(
        wide.context(torch.zeros(4, 3, 1), tokens, tokenizer).coords[0, :, 0].unique(),
        torch.tensor([-1.5, 0.5, 2.5, 4.5]),
    )
    cells = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(6.0), indexing="ij"), -1).reshape(-1, 2)
    seen = POINTS.context(torch.cat([cells, torch.zeros(48, 1)], 1), tokens, tokenizer).coords[0]
    lifted = tokenizer.lift(seen.reshape(8, 6, 2)).reshape(12, 4, 2).mean(dim=1)
    torch.testing.assert_close(lifted, tokens.coords[0])


def test_coarse_maps_are_read_in_patches_of_their_own() -> None:
    tokenizer, patched = GridTokenizer((2, 2)), CoarseMap("m", (2, 3), mean=(0.0,), deviation=(1.0,))
    array = torch.arange(24.0).reshape(4, 6, 1)
    context = patched.context(array, tokenizer.encode(torch.zeros(8, 6, 1)), tokenizer)
    assert context.values[0, 1].tolist() == [3, 4, 5, 9, 10, 11]
    assert torch.equal(context.values, GridTokenizer((2, 3)).encode(array).values)
    fitted = CoarseMap("m", (2, 3)).fit([RANDOM.normal(size=(4, 6, 1)), None, RANDOM.normal(size=(2, 9, 1))])
    assert fitted.extents == (4, 9)
    assert fitted.encode(None).shape == (4, 9, 1)
    assert rebuild_part(describe_part(fitted), "") == fitted
    assert isinstance(fitted, Attended)
    for span in (0.0, np.inf):
        with pytest.raises(UserError, match="condition m: need a patch of whole numbers above 0, and a span above 0"):
            CoarseMap("m", (2, 3), span=span)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_periodic_axis_begins_nowhere_for_maps_and_points_either(mixed: bool) -> None:
    """Everything rolled by whole tokens rolls the output: concat and cross together, one of them null or none."""
    made = codec([UNDER, COARSE, POINTS], periodic=(True, False))
    model = network(made)
    array, under, coarse, seen = field(), field(5), RANDOM.normal(size=(4, 3, 1)), points(5)

    def given(turns: int) -> Tensor:
        moved = seen.copy()
        moved[:, 0] += 2 * turns  # beyond the edge: the place modulo the period is what matters
        values = {"under": np.roll(under, 2 * turns, 0), "coarse": np.roll(coarse, turns, 0), "seen": moved}
        if mixed:
            del values["seen"]
        return said(model, made, values, array=np.roll(array, 2 * turns, 0))[0]

    expected = given(0).unflatten(0, (4, 3))
    for turns in (1, 3):
        torch.testing.assert_close(given(turns).unflatten(0, (4, 3)), expected.roll(turns, 0), rtol=0, atol=1e-4)
    still = said(model, made, {"under": under, "coarse": coarse}, array=np.roll(array, 2, 0))[0].unflatten(0, (4, 3))
    assert not torch.allclose(still, expected.roll(1, 0), atol=1e-3)
    open_ended = codec([UNDER, COARSE, POINTS])
    with pytest.raises(UserError, match="a point lies outside of the data along axis 0, whose 8 cells go from 0 to 7"):
        said(model, open_ended, {"seen": seen + np.array([8, 0, 0])})


def test_conditions_with_contexts_are_taken_apart_and_joined() -> None:
    made = codec([POINTS, COARSE, ClassLabel("label", 3)])
    examples = [{"seen": points(count), "label": count % 3} for count in (1, 5, 3)]
    conditions = made.batch([made.encode(Example(field(), each)) for each in examples]).conditions
    seen = conditions.values["seen"]
    assert isinstance(seen, Context)
    assert seen.keep.sum(dim=1).tolist() == [1, 5, 3]
    part = conditions.rows(torch.tensor([2, 0])).join(conditions.absent())
    again = part.to("cpu").values["seen"]
    assert isinstance(again, Context)
    assert again.keep.sum(dim=1).tolist() == [3, 1, 1, 5, 3]
    assert torch.equal(again.values[0], seen.values[2])
    assert part.null["seen"].tolist() == [False, False, True, True, True]
    assert all(len(tensor) == 5 for tensor in part.tensors())
    joined = beside([below([seen]), seen])
    assert joined.keep.sum(dim=1).tolist() == [2, 10, 6]
    with pytest.raises(UserError, match="packing: samples attend to condition seen"):
        made.batch([made.encode(Example(field(), each)) for each in examples], packed=True)


def test_guidance_leads_away_from_the_null_of_what_is_attended_to() -> None:
    made = codec([POINTS])
    model = network(made)
    batch = made.batch([made.encode(Example(field(), {"seen": points(3)}))])
    tokens, t = batch.tokens, torch.tensor([0.4])
    with torch.no_grad():
        guided = Guided(model, 3.0)(tokens, t, batch.conditions).output
        strong, weak = (model(tokens, t, each).output for each in (batch.conditions, batch.conditions.absent()))
    torch.testing.assert_close(guided, weak + 3 * (strong - weak), rtol=0, atol=1e-5)
    assert not torch.allclose(strong, weak, atol=1e-3)


def test_the_cost_of_what_is_attended_to_is_counted() -> None:
    plain = network_cost(network(codec([])), codec([])).flops
    few, many = (Points("seen", 2, mean=(0.0,), deviation=(1.0,), most=most) for most in (4, 8))
    costs = [network_cost(network(codec([each])), codec([each])).flops for each in (few, many)]
    width, depth, length, added = 32, 2, 12, costs[0] - plain
    attention = depth * (2 * width**2 * (2 * length + 2 * 4) + 4 * length * 4 * width)
    modulation = depth * 2 * 3 * width**2
    assert added == attention + modulation + 2 * 4 * width
    assert costs[1] - costs[0] == depth * (2 * width**2 * 2 * 4 + 4 * length * 4 * width) + 2 * 4 * width


@pytest.mark.parametrize(
    ("condition", "value", "message"),
    [
        (POINTS, np.zeros((3, 2)), "need rows of 2 coordinates and 1 numbers"),
        (POINTS, np.array([[0.0, 0.0, np.nan]]), "a point holds NaN"),
        (POINTS, [points(3), points(2)], "need one array, not a list of several shapes"),
        (POINTS, np.array([[9.0, 0.0, 1.0]]), "a point lies outside of the data along axis 0"),
        (POINTS, np.array([[-0.5, 0.0, 1.0], [7.6, 0.0, 1.0]]), "a point lies outside of the data along axis 0"),
        (POINTS, np.array([[7.5, 0.0, 1.0], [0.0, -0.6, 1.0]]), "a point lies outside of the data along axis 1"),
        (CoarseMap("coarse", (1,), mean=(0.0,), deviation=(1.0,)), np.zeros((4, 1)), "along 1 axes over data along 2"),
        (COARSE, np.zeros((4, 1)), r"no whole patches of \(1, 1\)"),
        (CoarseMap("coarse", (2, 2), mean=(0.0,), deviation=(1.0,)), np.zeros((3, 4, 1)), "no whole patches"),
        (Points("seen", 1, mean=(0.0,), deviation=(1.0,)), np.zeros((3, 2)), "points along 1 axes over data along 2"),
    ],
)
def test_what_cannot_be_attended_to_is_refused(condition: Any, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        codec([condition]).encode(Example(field(), {condition.name: value}))


def test_points_are_standardised_over_all_of_them() -> None:
    fitted = Points("seen", 2).fit([points(4) * [1, 1, 5], None, points(9, seed=8) * [1, 1, 5]])
    assert fitted.most == 9
    values = torch.cat([fitted.encode(points(4) * [1, 1, 5]), fitted.encode(points(9, seed=8) * [1, 1, 5])])[:, 2]
    assert values.mean().abs() < 1e-6
    assert values.std(correction=0).item() == pytest.approx(1)
    with pytest.raises(UserError, match="channel 0 is the same at every point"):
        Points("seen", 2).fit([np.ones((3, 3))])


@pytest.mark.parametrize("positions", ["rotary", "sincos"])
def test_a_place_beyond_the_edge_of_a_periodic_axis_is_one_within(positions: Positions) -> None:
    made = codec([POINTS], periodic=(True, False))
    model, seen = network(made, positions), points(4)
    here, there, elsewhere = (said(model, made, {"seen": seen + np.array([by, 0, 0])})[0] for by in (0, 8, 4))
    torch.testing.assert_close(there, here, rtol=0, atol=1e-4)
    assert not torch.allclose(elsewhere, here, atol=1e-3)

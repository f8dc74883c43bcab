"""The network: identity at birth, counted to the unit, blind to order without positions, and deaf to padding."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from beeline.backbone.block import Block, Modulation, modulate
from beeline.backbone.config import PRESETS, ModelConfig, Sizes, preset_patch, resolve_sizes
from beeline.backbone.dit import DiT, TokenSpace, count_parameters, position_table_size
from beeline.backbone.frame import Surroundings
from beeline.conditioning.label import ClassLabel
from beeline.core.conditions import Conditions
from beeline.core.errors import UserError
from beeline.core.tokens import Tokens
from beeline.model.cost import count_flops
from beeline.model.network import Network
from beeline.nn import attention
from beeline.nn.norms import LayerNorm
from beeline.process.linear import Linear
from beeline.tokenizers.grid import GridTokenizer
from tests.conftest import randomise_zeros

SMALL = ModelConfig(preset="DiT-Nano", hidden_size=32, num_heads=4)
# facts.md, section 1: 32x32x4 latents, 1,000 classes, learned variance, position table counted.
PARAMETERS = {
    "DiT-S/2": 32_963_360, "DiT-B/2": 130_512_416, "DiT-L/2": 458_102_816, "DiT-XL/2": 675_129_632,
    "DiT-S/4": 32_945_024, "DiT-B/4": 130_475_648, "DiT-L/4": 458_053_760, "DiT-XL/4": 675_074_432,
    "DiT-S/8": 33_148_160, "DiT-B/8": 130_881_536, "DiT-L/8": 458_594_816, "DiT-XL/8": 675_683_072,
}  # fmt: skip
GIGA_MULTIPLY_ADDS = {
    "DiT-S/2": 6.06, "DiT-B/2": 23.01, "DiT-L/2": 80.70, "DiT-XL/2": 118.62,
    "DiT-S/4": 1.41, "DiT-B/4": 5.57, "DiT-L/4": 19.70, "DiT-XL/4": 29.04,
    "DiT-S/8": 0.36, "DiT-B/8": 1.42, "DiT-L/8": 5.01, "DiT-XL/8": 7.39,
}  # fmt: skip


def latent_network(preset: str) -> Network:
    config = ModelConfig(preset=preset)
    patch = preset_patch(config) or 1
    with torch.device("meta"):
        tokenizer = GridTokenizer((patch, patch), 4)
        return Network(config, tokenizer, [ClassLabel("y", 1000)], Linear(), outputs=2, extents=(32 // patch,) * 2)


@pytest.mark.parametrize("preset", PARAMETERS)
def test_e10_parameter_counts_are_those_of_the_paper_to_the_unit(preset: str) -> None:
    """E10: S/2 has 33.0 M parameters, not 27 M."""
    network = latent_network(preset)
    assert count_parameters(network) + position_table_size(network.dit, network.space) == PARAMETERS[preset]


@pytest.mark.parametrize("preset", PARAMETERS)
def test_multiply_adds_are_those_of_the_paper(preset: str) -> None:
    network = latent_network(preset)
    cells = network.space.extents[0]
    with torch.device("meta"):
        tokens = Tokens(torch.zeros(1, cells**2, network.space.width), coords=torch.zeros(1, cells**2, 2))
        conditions = Conditions({"y": torch.zeros(1, dtype=torch.long)}, {"y": torch.zeros(1, dtype=torch.bool)})
        flops = count_flops(network, tokens, conditions)
    assert flops / 2e9 == pytest.approx(GIGA_MULTIPLY_ADDS[preset], abs=0.0051)


def test_presets_are_the_papers_and_ours_have_heads_of_64() -> None:
    table = {name: (s.hidden_size, s.depth, s.num_heads) for name, s in PRESETS.items()}
    assert table["DiT-S"] == (384, 12, 6)
    assert table["DiT-B"] == (768, 12, 12)
    assert table["DiT-L"] == (1024, 24, 16)
    assert table["DiT-XL"] == (1152, 28, 16)
    for name in ("DiT-Nano", "DiT-Micro", "DiT-Tiny"):
        assert PRESETS[name].hidden_size // PRESETS[name].num_heads == 64


def test_every_size_can_be_overridden_and_changes_the_network() -> None:
    space = TokenSpace(4, axes=2, extents=(4, 4))
    base = count_parameters(DiT(SMALL, space))
    for change in ({"hidden_size": 64}, {"depth": 3}, {"mlp_ratio": 2.0}, {"qk_norm": True}):
        config = ModelConfig(**{"preset": "DiT-Nano", "hidden_size": 32, "num_heads": 4, **change})  # type: ignore[arg-type]
        assert count_parameters(DiT(config, space)) != base
    assert resolve_sizes(ModelConfig(preset="dit-s/2", depth=5)) == Sizes(384, 5, 6)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"preset": "DiT-M"}, "unknown model.preset 'DiT-M'; did you mean 'DiT-"),
        ({"preset": "DiT-S/two"}, "what follows '/' is the patch size"),
        ({"hidden_size": 100, "num_heads": 3}, "must be an even multiple of num_heads 3; try 102"),
        ({"depth": 0}, "must be above 0"),
        ({"positions": "sincos", "preset": "DiT-Nano"}, "are a set and have no coordinates"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(config: dict[str, Any], message: str) -> None:
    def build() -> None:
        preset_patch(ModelConfig(**config))
        DiT(ModelConfig(**config), TokenSpace(4))

    with pytest.raises(UserError) as caught:
        build()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("positions", "hidden_size", "heads", "axes", "message"),
    [
        ("sincos", 4, 2, 3, "model.hidden_size of 4 numbers is too small for 3 axes; it must hold at least 6"),
        ("rotary", 32, 16, 2, "num_heads of 2 numbers is too small for 2 axes; it must hold at least 4"),
        ("sincos", 6, 1, 3, None),
        ("rotary", 32, 8, 2, None),
    ],
)
def test_positions_need_two_numbers_an_axis(
    positions: Any, hidden_size: int, heads: int, axes: int, message: str | None
) -> None:
    config = replace(SMALL, positions=positions, hidden_size=hidden_size, num_heads=heads)
    if message is None:
        DiT(config, TokenSpace(4, axes=axes))
        return
    with pytest.raises(UserError) as caught:
        DiT(config, TokenSpace(4, axes=axes))
    assert message in str(caught.value)


def block_and_input(seed: int = 0) -> tuple[Block, Tensor, Tensor]:
    torch.manual_seed(seed)
    sizes = Sizes(32, 1, 4)
    return Block(sizes, ModelConfig()).double(), torch.randn(3, 5, 32).double(), torch.randn(3, 32).double()


def said(
    model: DiT,
    values_BLC: Tensor,
    time_N: Tensor,
    condition_ND: Tensor | None = None,
    coords_BLP: Tensor | None = None,
    **places: Any,
) -> Tensor:
    """Outputs for tokens at places."""
    found: Tensor = model(values_BLC, time_N, condition_ND, model.frame(coords_BLP, **places))
    return found


def test_e04_a_fresh_block_is_the_identity_and_can_learn() -> None:
    """E4: LN (1 + scale) + shift with closed gates: the output is the input and the gates' gradients are not zero."""
    block, x, c = block_and_input()
    out = block(x, c, Surroundings())
    assert torch.equal(out, x)
    out.square().sum().backward()
    gradient = block.modulation.linear.weight.grad
    assert gradient is not None
    shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = gradient.chunk(6)
    assert gate.abs().max() > 1e-3
    assert gate_mlp.abs().max() > 1e-3
    assert not any(part.any() for part in (shift, scale, shift_mlp, scale_mlp))


def test_e04_zero_modulation_passes_the_normalised_input_on() -> None:
    """E4: the form gamma LN + beta with zeros would kill the sub-layer's input."""
    x = torch.randn(2, 3, 8).double()
    out = modulate(LayerNorm(8), x, torch.zeros(2, 1, 8), torch.zeros(2, 1, 8))
    torch.testing.assert_close(out, nn.functional.layer_norm(x, (8,), eps=1e-6))


def test_e05_a_block_has_six_vectors_and_the_head_two_all_zero_at_birth() -> None:
    """E5: shift, scale and gate twice; shift and scale in the head, whose linear layer starts at zero too."""
    model = DiT(SMALL, TokenSpace(4, axes=2))
    for block in model.blocks:
        assert isinstance(block, Block)
        assert block.modulation.linear.out_features == 6 * 32
        assert not block.modulation.linear.weight.any()
        assert not block.modulation.linear.bias.any()
    assert model.modulation.linear.out_features == 2 * 32
    for module in (model.modulation.linear, model.head):
        assert not module.weight.any()
        assert not module.bias.any()
    assert not said(model, torch.randn(2, 4, 4), torch.rand(2), coords_BLP=torch.rand(2, 4, 2)).any()


def test_e05_every_one_of_the_six_and_of_the_two_vectors_is_used() -> None:
    """E5: an MLP without a gate or a head without modulation would not answer to their vectors."""
    block, x, c = block_and_input()
    model, tokens, time = DiT(SMALL, TokenSpace(4)).double(), torch.randn(2, 4, 4).double(), torch.rand(2).double()
    randomise_zeros(block)
    randomise_zeros(model)
    for modulation, answer in (
        (block.modulation, lambda: block(x, c, Surroundings())),
        (model.modulation, lambda: said(model, tokens, time)),
    ):
        before = answer()
        for vector in modulation.linear.bias.data.chunk(modulation.vectors):
            vector.add_(1.0)
            assert not torch.allclose(answer(), before)
            vector.sub_(1.0)


def test_e06_time_and_conditions_are_summed_before_one_linear_layer() -> None:
    """E6: one SiLU and one linear layer a block, on the sum; not networks over a concatenation."""
    model = DiT(SMALL, TokenSpace(4, axes=2))
    randomise_zeros(model)
    x, time, coords = torch.randn(2, 4, 4), torch.rand(2) * 1000, torch.rand(2, 4, 2)
    condition = torch.randn(2, 32)
    with_both = said(model, x, time, condition, coords)
    model.time.forward = lambda t: model_time(t) + condition
    model_time = type(model.time).forward.__get__(model.time)
    torch.testing.assert_close(said(model, x, time, None, coords), with_both)
    layers = [module for module in Modulation(32, 6).modules() if isinstance(module, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(32, 192)]


def test_e07_the_residual_carries_raw_tokens_under_a_gate() -> None:
    """E7: x + gate f(mod(LN x)): scaling x by 10 scales what is carried, though LN hides it from f."""
    block, x, c = block_and_input()
    randomise_zeros(block, 0.3)
    shift, scale, gate = block.modulation(c, None)[:3]
    added = gate * block.attention(modulate(LayerNorm(32), x, shift, scale), Surroundings())
    middle = x + added
    shift, scale, gate = block.modulation(c, None)[3:]
    expected = middle + gate * block.feedforward(modulate(LayerNorm(32), middle, shift, scale))
    torch.testing.assert_close(block(x, c, Surroundings()), expected)
    block.modulation.linear.bias.data.zero_()
    block.modulation.linear.weight.data.zero_()
    assert torch.equal(block(10 * x, c, Surroundings()), 10 * x)


def test_e08_gates_belong_to_samples_also_when_batch_and_length_agree() -> None:
    """E8: with B = L = 5 a gate that is not spread over tokens would mix samples up without an error.

    And what is called Zero starts at zero.
    """
    block, _, _ = block_and_input()
    x, c = torch.randn(5, 5, 32).double(), torch.randn(5, 32).double()
    assert torch.equal(block(x, c, Surroundings()), x)
    randomise_zeros(block, 0.3)
    together = block(x, c, Surroundings())
    for sample in range(5):
        alone = block(x[sample : sample + 1], c[sample : sample + 1], Surroundings())
        torch.testing.assert_close(together[sample : sample + 1], alone)


def test_e09_the_vectors_of_both_sublayers_are_zero_at_birth() -> None:
    """E9: shift, scale and gate of attention and of the feed-forward network alike, whatever the condition."""
    block, _, c = block_and_input()
    vectors = block.modulation(c, None)
    assert [vector.any().item() for vector in vectors] == [False] * 6


def test_e09_attention_is_equivariant_and_not_invariant() -> None:
    """E9: permuting tokens permutes outputs; it does not leave them unchanged."""
    model = DiT(SMALL, TokenSpace(4, axes=2)).double()
    model.positions = "none"
    randomise_zeros(model)
    x, time = torch.randn(2, 6, 4).double(), torch.rand(2).double()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    out = said(model, x, time)
    torch.testing.assert_close(said(model, x[:, order], time), out[:, order])
    assert not torch.allclose(out[:, order], out)


def test_e09_widths_agree_whatever_the_hidden_size() -> None:
    """E9: the time embedding's output follows the hidden size, at any size."""
    for hidden, heads in ((32, 4), (48, 3), (384, 6)):
        model = DiT(ModelConfig(preset="DiT-Nano", hidden_size=hidden, num_heads=heads), TokenSpace(4, axes=1))
        assert said(model, torch.randn(1, 3, 4), torch.rand(1), coords_BLP=torch.rand(1, 3, 1)).shape == (1, 3, 4)


def test_e17_fixed_positions_are_not_trained_and_the_others_are_options() -> None:
    """E17: DiT's positions are a fixed table; learned, rotary and none are choices."""
    space = TokenSpace(4, axes=2, extents=(3, 3))
    names = {
        positions: {
            name for name, _ in DiT(ModelConfig(preset="DiT-Nano", positions=positions), space).named_parameters()
        }
        for positions in ("sincos", "learned", "rotary", "none")
    }
    assert names["sincos"] == names["rotary"] == names["none"]
    assert names["learned"] - names["sincos"] == {"learned.table"}
    assert not any("pos" in name for name in names["sincos"])
    usual = DiT(ModelConfig(preset="DiT-Nano"), space)
    assert usual.positions == "sincos"
    assert {name for name, _ in usual.named_parameters()} == names["sincos"]


@pytest.mark.parametrize("positions", ["sincos", "learned", "rotary", "none"])
def test_under_autocast_conditioning_and_what_blocks_carry_stay_in_fp32(positions: Any) -> None:
    """The large products are bf16, or autocast would have done nothing."""
    model = DiT(replace(SMALL, positions=positions), TokenSpace(4, axes=2, extents=(4, 4)))
    carried, multiplied = set[torch.dtype](), set[torch.dtype]()

    def entering(block: nn.Module, given: tuple[Any, ...]) -> None:
        carried.update(tensor.dtype for tensor in given[:2])

    def leaving(layer: nn.Module, given: tuple[Any, ...], out: Any) -> None:
        (carried if isinstance(out, tuple) else multiplied).update(part.dtype for part in out)

    for block in model.blocks:
        assert isinstance(block, Block)
        block.register_forward_pre_hook(entering)
        block.modulation.register_forward_hook(leaving)
        block.attention.qkv.register_forward_hook(leaving)
    model.modulation.register_forward_hook(leaving)
    with torch.autocast("cpu", torch.bfloat16):
        said(model, torch.randn(2, 4, 4), 1000 * torch.rand(2), torch.randn(2, 32), torch.ones(2, 4, 2))
    assert carried == {torch.float32}
    assert multiplied == {torch.bfloat16}


@pytest.mark.parametrize(
    "change",
    [
        {"rotary_period": 50.0},
        {"rotary_pairs": "adjacent"},
        {"positions": "sincos_rotary"},
        {"qk_norm": True},
        {"qk_norm": True, "qk_norm_kind": "layer"},
        {"activation": "silu"},
        {"activation": "swiglu"},
        {"norm": "rms"},
        {"shift": False},
        {"frequency_divisor": 127},
        {"second_norm_epsilon": 1e-2},
        {"embedders": "per_block"},
    ],
)
def test_options_of_a_block_change_what_it_computes(change: dict[str, Any]) -> None:
    outputs = []
    for options in ({}, change):
        torch.manual_seed(0)
        config = replace(SMALL, **{"positions": "rotary", "activation": "gelu", **options})
        model = DiT(config, TokenSpace(4, axes=2)).double()
        randomise_zeros(model, 0.3)
        x, coords = torch.randn(2, 6, 4).double(), 9 * torch.rand(2, 6, 2)
        outputs.append(said(model, x, torch.tensor([300.0, 600.0]), None, coords))
    one, other = outputs
    assert not torch.allclose(one, other)


def test_a_rotary_network_knows_differences_of_coordinates_alone() -> None:
    torch.manual_seed(0)
    model = DiT(replace(SMALL, positions="rotary"), TokenSpace(4, axes=2)).double()
    randomise_zeros(model, 0.3)
    x, time, coords = torch.randn(1, 5, 4).double(), torch.tensor([300.0]), 9 * torch.rand(1, 5, 2)
    out = said(model, x, time, None, coords)
    torch.testing.assert_close(said(model, x, time, None, coords + 3.5), out, rtol=0, atol=1e-5)
    assert not torch.allclose(said(model, x, time, None, 2 * coords), out)


def variants() -> dict[str, tuple[ModelConfig, TokenSpace, bool]]:
    axes = TokenSpace(4, axes=2, extents=(8, 8))
    return {
        "sincos": (SMALL, axes, False),
        "learned": (ModelConfig(preset="DiT-Nano", hidden_size=32, num_heads=4, positions="learned"), axes, False),
        "rotary": (ModelConfig(preset="DiT-Nano", hidden_size=32, num_heads=4, positions="rotary"), axes, False),
        "qk_norm": (ModelConfig(preset="DiT-Nano", hidden_size=32, num_heads=4, qk_norm=True), axes, False),
        "modern": (replace(SMALL, norm="rms", activation="swiglu", shift=False), axes, False),
        "sincos_rotary": (replace(SMALL, positions="sincos_rotary", rotary_pairs="adjacent"), axes, False),
        "per block": (replace(SMALL, embedders="per_block"), axes, False),
        "identities": (SMALL, TokenSpace(4, identities=20), True),
    }


def inputs(lengths: list[int], space: TokenSpace) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    samples = []
    for length in lengths:
        sample = {"values_BLC": torch.randn(1, length, 4, generator=generator)}
        if space.axes:
            sample["coords_BLP"] = torch.randint(0, 8, (1, length, 2), generator=generator).float()
        if space.identities:
            sample["ids_BL"] = torch.randint(0, 20, (1, length), generator=generator)
        samples.append(sample)
    return samples


@pytest.mark.parametrize("name", variants())
def test_tokens_can_be_permuted_together_with_what_places_them(name: str) -> None:
    config, space, _ = variants()[name]
    model = DiT(config, space).double()
    randomise_zeros(model)
    (sample,) = inputs([7], space)
    sample = {key: value.double() if value.is_floating_point() else value for key, value in sample.items()}
    time, order = torch.rand(1).double(), torch.randperm(7)
    out = said(model, time_N=time, **sample)
    permuted = said(model, time_N=time, **{key: value[:, order] for key, value in sample.items()})
    torch.testing.assert_close(permuted, out[:, order])
    moved = dict(sample, values_BLC=sample["values_BLC"][:, order])
    assert not torch.allclose(said(model, time_N=time, **moved), out[:, order]), "positions or identities must matter"


@pytest.mark.parametrize("together", [True, False], ids=["together", "masked"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", variants())
def test_padding_and_packing_never_change_a_real_token(
    name: str, dtype: torch.dtype, tolerance: float, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With times and conditions of each packed sample; every tensor that starts at zero is randomised first."""
    monkeypatch.setattr(attention, "_SCORES_SAVED", -math.inf if together else math.inf)
    config, space, _ = variants()[name]
    torch.manual_seed(0)
    model = DiT(config, space).to(dtype)
    randomise_zeros(model)
    assert all(parameter.any() for parameter in model.parameters())
    lengths = [4, 7, 2, 5]
    samples = inputs(lengths, space)
    times, condition = torch.tensor([10.0, 400.0, 700.0, 990.0], dtype=dtype), torch.randn(4, 32, dtype=dtype)
    alone = [
        said(model, time_N=times[i : i + 1], condition_ND=condition[i : i + 1], **_cast(sample, dtype))
        for i, sample in enumerate(samples)
    ]

    def joined(pieces: Callable[[str], Tensor], **more: Tensor) -> Tensor:
        fields = {key: pieces(key) for key in samples[0]}
        out: Tensor = said(model, time_N=times, condition_ND=condition, **_cast(fields, dtype), **more)
        return out

    length = 9
    keep = torch.arange(length)[None] < torch.tensor(lengths)[:, None]
    padded = joined(lambda key: torch.cat([_padded(sample[key], length) for sample in samples]), keep_BL=keep)
    rows = [[0, 3], [1, 2]]
    segment = torch.full((2, length), -1)
    for row, members in enumerate(rows):
        owners = list(itertools.chain.from_iterable([member] * lengths[member] for member in members))
        segment[row, : len(owners)] = torch.tensor(owners)
    packed = joined(
        lambda key: torch.cat(
            [_padded(torch.cat([samples[member][key] for member in members], dim=1), length) for members in rows]
        ),
        keep_BL=segment >= 0,
        segment_BL=segment,
    )
    for index, expected in enumerate(alone):
        torch.testing.assert_close(padded[index, : lengths[index]], expected[0], rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(packed[segment == index], expected[0], rtol=tolerance, atol=tolerance)
    assert (alone[0] - alone[3][:, :4]).abs().max() > 100 * tolerance


def _cast(fields: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {key: value.to(dtype) if value.is_floating_point() else value for key, value in fields.items()}


def _padded(tensor: Tensor, length: int) -> Tensor:
    """Padding is not zero here, so that a leak would show."""
    missing = length - tensor.shape[1]
    filler = tensor.new_full((1, missing, *tensor.shape[2:]), 3)
    return torch.cat([tensor, filler], dim=1)


def test_shared_coordinates_give_what_separate_ones_give() -> None:
    model = DiT(SMALL, TokenSpace(4, axes=2))
    randomise_zeros(model)
    x, time, coords = torch.randn(3, 4, 4), torch.rand(3), torch.rand(1, 4, 2)
    shared = said(model, x, time, None, coords.expand(3, 4, 2))
    assert torch.equal(shared, said(model, x, time, None, coords.repeat(3, 1, 1)))


def test_a_fresh_network_is_the_same_for_the_same_seed() -> None:
    def fresh() -> dict[str, Tensor]:
        torch.manual_seed(5)
        return DiT(SMALL, TokenSpace(4, axes=2)).state_dict()

    for (name, one), (_, other) in zip(fresh().items(), fresh().items(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("space", [TokenSpace(4, axes=2), TokenSpace(4, identities=3)])
def test_tokens_without_what_the_network_was_made_for_are_refused(space: TokenSpace) -> None:
    with pytest.raises(ValueError, match="these have none"):
        DiT(ModelConfig(preset="DiT-Nano"), space)(torch.zeros(1, 5, 4), torch.zeros(1))

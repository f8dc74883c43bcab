"""From one network to another: what is the same stays the same to the bit, what is resized keeps what it computes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from beeline.backbone.config import ModelConfig
from beeline.conditioning.label import ClassLabel
from beeline.conditioning.map import AlignedMap
from beeline.conditioning.vector import Vector
from beeline.core.conditions import Conditions
from beeline.core.errors import UserError
from beeline.core.protocols import Condition
from beeline.core.tokens import Tokens
from beeline.data.normalisers import Pixels
from beeline.model.build import build_network
from beeline.model.codec import Codec
from beeline.model.network import Network
from beeline.model.resize import PatchCells, linear_resize, patch_resize, resize_grid, resize_inputs, resize_outputs
from beeline.model.starting import Starting
from beeline.model.table import Row, grouped
from beeline.model.transfer import transfer
from beeline.objectives.config import ObjectiveConfig
from beeline.process.config import ProcessConfig
from beeline.samplers.config import SampleConfig
from beeline.tokenizers.grid import GridTokenizer
from beeline.tokenizers.sets import SetTokenizer
from tests.conftest import randomise_zeros

SMALL = ModelConfig(preset="DiT-Nano", hidden_size=32, num_heads=2, depth=2)
LEARNED = replace(SMALL, positions="learned")
LABEL = ClassLabel("label", 3)


def codec(patch: int = 2, channels: int = 1, *conditions: Condition, size: int = 8) -> Codec:
    extents = (size // patch,) * 2
    return Codec(Pixels(8), GridTokenizer((patch, patch), channels), conditions, (((size, size), 1),), extents)


def made(options: Codec, model: ModelConfig = SMALL, outputs: int = 1, seed: int = 0) -> tuple[Starting, Network]:
    """A network with every tensor at random, and what fine-tuning starts from."""
    process, objective = ProcessConfig(), ObjectiveConfig()
    if outputs == 2:
        process, objective = ProcessConfig("ddpm"), ObjectiveConfig("noise", variance="learned")
    torch.manual_seed(seed)
    start = Starting(options, model, process, objective, SampleConfig(), {})
    parts = start.parts()
    network = build_network(model, parts[0], parts[2], options)
    randomise_zeros(network)
    return replace(start, tensors=network.state_dict()), network


def moved(start: Starting, options: Codec, model: ModelConfig = SMALL, outputs: int = 1) -> tuple[Network, list[Row]]:
    """A fresh network of other options after the transfer, and what became of its tensors."""
    _, network = made(options, model, outputs, seed=1)
    tensors, rows = transfer(start, network, options)
    network.load_state_dict(tensors)
    return network, rows


def output(network: Network, options: Codec, image: Tensor, **conditions: Tensor) -> Tensor:
    """What the network says of an image (E, E, C), as an image with channels of all outputs."""
    tokens = options.tokenizer.encode(image)
    given: dict[str, Tensor] = {}
    for each in options.conditions:
        value = conditions[each.name]
        given[each.name] = options.tokenizer.lift(value) if each.route == "concat" else value
    null = {each.name: torch.tensor([False]) for each in options.conditions}
    with torch.no_grad():
        said = network.output(tokens, torch.tensor([300.0]), Conditions(given, null))
    return torch.cat([decoded(options, tokens, part) for part in said.split(options.tokenizer.width, dim=-1)], dim=-1)


def decoded(options: Codec, tokens: Tokens, values: Tensor) -> Tensor:
    return options.tokenizer.decode(tokens.with_values(values))


def row(rows: list[Row], name: str) -> Row:
    return next(each for each in rows if each.tensor == name)


@pytest.mark.parametrize("model", [SMALL, LEARNED, replace(SMALL, positions="rotary", qk_norm=True)])
def test_the_same_options_give_the_same_function_to_the_bit(model: ModelConfig) -> None:
    options = codec(2, 3, LABEL, AlignedMap("sketch", 2))
    start, network = made(options, model)
    other, rows = moved(start, options, model)
    assert {(each.what, each.why, each.untrained) for each in rows} == {("loaded", "", False)}
    x, sketch = torch.randn(8, 8, 3), torch.randn(8, 8, 2)
    one, two = (output(each, options, x, label=torch.tensor([1]), sketch=sketch) for each in (network, other))
    assert one.any()
    assert torch.equal(one, two)


def test_a_resize_is_the_fields_own() -> None:
    """Against torch's bilinear resize, both ways."""
    for before, after in (((2, 3), (4, 6)), ((4, 8), (2, 4)), ((3, 5), (7, 2))):
        image = torch.randn(before, dtype=torch.float64)
        wanted = functional.interpolate(image[None, None], after, mode="bilinear", antialias=True)[0, 0]
        found = (patch_resize(before, after) @ image.flatten()).reshape(after)
        torch.testing.assert_close(found, wanted, atol=1e-12, rtol=0)
    assert torch.equal(linear_resize(5, 5), torch.eye(5, dtype=torch.float64))


@pytest.mark.parametrize(("before", "after"), [((2, 2), (4, 4)), ((1, 2), (3, 4)), ((2,), (5,))])
def test_patches_that_grow_are_embedded_as_before(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """Beyer et al. 2023, section 3.4: <B x, w'> = <x, w>."""
    old, new = PatchCells(before, 3), PatchCells(after, 3)
    weight, x = torch.randn(16, old.volume * 3), torch.randn(7, old.volume, 3)
    grown = torch.einsum("qp,npc->nqc", patch_resize(before, after).float(), x)
    torch.testing.assert_close(
        grown.flatten(1) @ resize_inputs(weight, old, new).T, x.flatten(1) @ weight.T, atol=1e-5, rtol=1e-5
    )


def test_outputs_of_other_patches_are_the_resized_outputs() -> None:
    old, new = PatchCells((2, 2), 2), PatchCells((4, 4), 2)
    rows, hidden = torch.randn(2 * old.volume * 2, 5), torch.randn(5)
    small = (rows @ hidden).reshape(2, 2, 2, 2).permute(0, 3, 1, 2)
    large = (resize_outputs(rows, old, new, 2) @ hidden).reshape(2, 4, 4, 2).permute(0, 3, 1, 2)
    torch.testing.assert_close(large, functional.interpolate(small, (4, 4), mode="bilinear"), atol=1e-5, rtol=1e-5)


def test_a_network_of_larger_patches_says_of_upsampled_images_what_it_said_before_upsampled() -> None:
    """Patch 2 to 4 on images each of whose patches is twice as large: the same tokens, the same positions."""
    small, large = codec(2, 1, size=8), codec(4, 1, size=16)
    start, network = made(small)
    other, rows = moved(start, large)
    assert row(rows, "backbone.embed.weight").text == "resized: patch 2x2 to 4x4"
    assert row(rows, "backbone.head.bias").what == "resized"
    x = torch.randn(8, 8, 1)
    one, two = output(network, small, x), output(other, large, patchwise(x))
    torch.testing.assert_close(two, patchwise(one), atol=1e-5, rtol=1e-4)


def patchwise(image: Tensor) -> Tensor:
    """Every patch of 2x2 resized to 4x4 by itself."""
    tokens = GridTokenizer((2, 2)).encode(image)
    cells = tokens.values[0].reshape(-1, 1, 2, 2)
    larger = functional.interpolate(cells, (4, 4), mode="bilinear").reshape(1, -1, 16)
    blank = GridTokenizer((4, 4)).blank((16, 16))
    return GridTokenizer((4, 4)).decode(blank.with_values(larger))


@pytest.mark.parametrize("outputs", [1, 2])
def test_further_channels_leave_the_old_ones_what_they_were(outputs: int) -> None:
    grey, colour = codec(2, 1), codec(2, 3)
    start, network = made(grey, outputs=outputs)
    other, rows = moved(start, colour, outputs=outputs)
    x = torch.randn(8, 8, 3)
    one, two = output(network, grey, x[..., :1]), output(other, colour, x)
    for each in range(outputs):
        torch.testing.assert_close(two[..., 3 * each], one[..., each], atol=1e-5, rtol=1e-5)
        assert not two[..., 3 * each + 1 : 3 * each + 3].any()
    found = row(rows, "backbone.embed.weight")
    assert found.text == "resized: channels 1 to 3, further ones start at zero"
    assert found.untrained
    back, _ = moved(replace(start, codec=colour, tensors=other.state_dict()), grey, outputs=outputs)
    assert torch.equal(output(back, grey, x[..., :1]), one)


def test_patch_and_channels_change_together() -> None:
    start, network = made(codec(2, 1, size=8))
    other, _ = moved(start, codec(4, 3, size=16))
    x = torch.randn(8, 8, 1)
    wide = torch.cat([patchwise(x), torch.randn(16, 16, 2)], dim=-1)
    one, two = output(network, codec(2, 1), x), output(other, codec(4, 3, size=16), wide)
    torch.testing.assert_close(two[..., :1], patchwise(one), atol=1e-5, rtol=1e-4)


def test_e39_learned_positions_are_interpolated_and_the_same_where_the_size_is_the_same() -> None:
    """E39: other sizes were loaded with strict=False, which passes over no shape; here each has its rule."""
    start, _ = made(codec(2, 1, size=8), LEARNED)
    table = start.tensors["backbone.learned.table"]
    assert torch.equal(resize_grid(table, (4, 4), (4, 4)), table)
    same, _ = moved(start, codec(2, 1, size=8), LEARNED)
    assert torch.equal(same.state_dict()["backbone.learned.table"], table)
    larger, rows = moved(start, codec(2, 1, size=12), LEARNED)
    assert row(rows, "backbone.learned.table").text == "resized: grid 4x4 to 6x6, bicubic"
    wanted = functional.interpolate(table.T.reshape(1, 32, 4, 4), (6, 6), mode="bicubic")[0].flatten(1).T
    torch.testing.assert_close(larger.state_dict()["backbone.learned.table"], wanted, atol=1e-5, rtol=1e-5)
    ramp = torch.arange(4.0)[:, None].expand(4, 5).contiguous()
    torch.testing.assert_close(resize_grid(ramp, (4,), (8,))[1:-1, 0], torch.arange(0.25, 2.8, 0.5))


def test_a_grid_of_as_many_cells_but_another_form_is_interpolated() -> None:
    start, _ = made(codec(2, 1, size=8), LEARNED)
    flat = Codec(Pixels(8), GridTokenizer((2, 2)), (), (((4, 16), 1),), (2, 8))
    _, rows = moved(start, flat, LEARNED)
    assert row(rows, "backbone.learned.table").text == "resized: grid 4x4 to 2x8, bicubic"


TABLE = "embedders.label.table.weight"


def test_classes_are_kept_by_number_or_by_name_or_begin_anew() -> None:
    def table(before: ClassLabel, after: ClassLabel) -> tuple[Tensor, Tensor, Row]:
        start, _ = made(codec(2, 1, before))
        other, rows = moved(start, codec(2, 1, after))
        name = f"embedders.{after.name}.table.weight"
        return start.tensors[f"embedders.{before.name}.table.weight"], other.state_dict()[name], row(rows, name)

    old, new, found = table(LABEL, ClassLabel("digit", 3))  # a single label, whatever it is called
    assert torch.equal(new, old)
    assert found.text == "loaded"
    old, new, found = table(LABEL, ClassLabel("label", 5))
    assert torch.equal(new[5], old[3])
    assert not any(torch.equal(new[each], old[each]) for each in range(3))
    assert (found.text, found.untrained) == ("re-initialised: 5 classes where 3 were trained, null row kept", True)
    named = ClassLabel("label", 3, names=("cat", "dog", "owl"))
    assert table(LABEL, named)[2].text == "loaded"
    old, new, found = table(named, replace(named, names=("owl", "emu", "cat")))
    assert torch.equal(new[[0, 2, 3]], old[[2, 0, 3]])
    assert not torch.equal(new[1], old[1])
    assert found.why == "3 classes where 3 were trained, 2 of them copied by name, null row kept"
    old, new, found = table(named, replace(named, names=("owl", "dog", "cat")))
    assert torch.equal(new, old[[2, 1, 0, 3]])
    assert (found.what, found.untrained) == ("resized", False)
    old, new, found = table(replace(LABEL, dropout=0.0), LABEL)
    assert torch.equal(new[:3], old)
    assert (found.text, found.untrained) == ("resized: null row drawn", True)
    old, new, found = table(LABEL, replace(LABEL, dropout=0.0))
    assert torch.equal(new, old[:3])
    assert (found.text, found.untrained) == ("resized: null row left", False)


def test_conditions_are_matched_by_name_and_kind() -> None:
    one, two = ClassLabel("one", 2), ClassLabel("two", 2)
    start, _ = made(codec(2, 1, one, two, Vector("age", 1, mean=(0.0,), deviation=(1.0,)), AlignedMap("mask")))
    mine = codec(2, 1, two, Vector("mask", 2), Vector("age", 1, mean=(5.0,), deviation=(1.0,)), AlignedMap("sketch", 2))
    other, rows = moved(start, mine)
    tensors = other.state_dict()
    assert torch.equal(tensors["embedders.two.table.weight"], start.tensors["embedders.two.table.weight"])
    assert row(rows, "embedders.mask.first.weight").what == "fresh"
    assert row(rows, "embedders.age.first.weight").text == "loaded: its numbers are standardised by this run's data"
    assert [each.tensor for each in rows if each.what == "left"] == ["embedders.one.table.weight"]
    embed = row(rows, "backbone.embed.weight")
    assert embed.text == "resized: columns of sketch start at zero, columns of mask left"
    assert embed.untrained
    weight = tensors["backbone.embed.weight"]
    assert torch.equal(weight[:, :4], start.tensors["backbone.embed.weight"][:, :4])
    assert not weight[:, 4:].any()
    assert weight.shape == (32, 4 + 8)


def test_maps_follow_their_names_patches_and_channels() -> None:
    before = codec(2, 1, AlignedMap("mask", 1), AlignedMap("sketch", 2, dropout=0.5), size=8)
    after = codec(4, 1, AlignedMap("sketch", 3, dropout=0.5), AlignedMap("mask", 1), size=16)
    start, network = made(before)
    other, _ = moved(start, after)
    x, mask, sketch = torch.randn(8, 8, 1), torch.randn(8, 8, 1), torch.randn(8, 8, 2)
    one = output(network, before, x, mask=mask, sketch=sketch)
    layers = [patchwise(sketch[..., :1]), patchwise(sketch[..., 1:]), torch.randn(16, 16, 1)]
    two = output(other, after, patchwise(x), mask=patchwise(mask), sketch=torch.cat(layers, dim=-1))
    torch.testing.assert_close(two, patchwise(one), atol=1e-5, rtol=1e-4)


def test_a_learned_variance_is_left_or_starts_at_zero() -> None:
    options = codec(2, 3)
    two, network = made(options, outputs=2)
    other, rows = moved(two, options)
    x = torch.randn(8, 8, 3)
    assert row(rows, "backbone.head.weight").text == "resized: variance rows left"
    torch.testing.assert_close(output(other, options, x), output(network, options, x)[..., :3], atol=1e-6, rtol=1e-5)
    again, rows = moved(replace(two, tensors=other.state_dict()), options, outputs=2)
    said = output(again, options, x)
    torch.testing.assert_close(said[..., :3], output(other, options, x), atol=1e-6, rtol=1e-5)
    assert not said[..., 3:].any()
    assert row(rows, "backbone.head.bias").untrained


def test_e39_a_shape_without_a_rule_is_an_error_that_names_the_tensor() -> None:
    start, _ = made(codec())
    wider = replace(SMALL, mlp_ratio=2.0)
    with pytest.raises(UserError, match=r"blocks\.0\.feedforward\.first\.weight is \(128, 32\).*\(64, 32\)"):
        moved(start, codec(), wider)
    sets = Codec(Pixels(8), SetTokenizer(5), (), (((0, 1), 1),), (2,))
    start, _ = made(sets)
    with pytest.raises(UserError, match=r"tensor backbone\.identities\.weight is \(5, 32\)"):
        moved(start, replace(sets, tokenizer=SetTokenizer(7)))


@pytest.mark.parametrize(
    ("options", "model", "message"),
    [
        (codec(), replace(SMALL, num_heads=4), "num_heads 2, this one 32 and 4"),
        (codec(), replace(SMALL, hidden_size=64), "hidden_size 32 and num_heads 2, this one 64"),
        (codec(), replace(SMALL, embedders="per_block"), "has model.embedders shared"),
        (
            Codec(Pixels(8), GridTokenizer((4,)), (), (((8,), 1),), (2,)),
            SMALL,
            "reads tokens along 2 axes, these data have 1",
        ),
    ],
)
def test_what_has_another_meaning_is_refused_whatever_its_shape(
    options: Codec, model: ModelConfig, message: str
) -> None:
    start, _ = made(codec())
    with pytest.raises(UserError, match=message):
        moved(start, options, model)


def test_tokens_without_a_place_are_not_resized() -> None:
    @dataclass(frozen=True)
    class Frames(GridTokenizer):
        """Numbers that are no channels of cells."""

        numbers: int = 6

        @property
        def width(self) -> int:
            return self.numbers

    start, _ = made(replace(codec(), tokenizer=Frames((2, 2))))
    with pytest.raises(UserError, match="reads tokens of 6 numbers, these data have 7 that are no patches"):
        moved(start, replace(codec(), tokenizer=Frames((2, 2), numbers=7)))
    with pytest.raises(UserError, match="reads tokens of 6 numbers, these data have 4"):
        moved(start, codec())


def test_blocks_that_are_more_begin_as_they_are_drawn_and_those_that_are_fewer_are_left() -> None:
    start, network = made(codec())
    deeper = replace(SMALL, depth=3)
    torch.manual_seed(1)
    parts = start.parts()
    other = build_network(deeper, parts[0], parts[2], codec())
    tensors, rows = transfer(start, other, codec())
    other.load_state_dict(tensors)
    x = torch.randn(8, 8, 1)
    assert torch.equal(output(other, codec(), x), output(network, codec(), x))  # a fresh block is the identity
    assert {each.what for each in rows if ".blocks.2." in each.tensor} == {"fresh"}
    shallow, rows = moved(start, codec(), replace(SMALL, depth=1))
    assert {each.tensor.split(".")[2] for each in rows if each.what == "left"} == {"1"}
    assert len(shallow.dit.blocks) == 1


def test_the_table_is_told_in_few_lines() -> None:
    told: dict[str, Any] = {}
    for block in range(12):
        told |= {f"backbone.blocks.{block}.{name}": "loaded" for name in ("a.weight", "b.weight")}
    told |= {"backbone.embed.weight": "resized: patch", "backbone.embed.bias": "loaded"}
    told |= {"embedders.label.table.weight": "re-initialised: other classes", "backbone.time.first.weight": "loaded"}
    assert grouped(told) == {
        "blocks.0-11": "loaded (24 tensors)",
        "embed.weight": "resized (1 tensor): patch",
        "embed.bias": "loaded (1 tensor)",
        "embedders.label": "re-initialised (1 tensor): other classes",
        "time": "loaded (1 tensor)",
    }

"""Checkpoints of DiT, SiT and LightningDiT: read, asked, written again."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import beeline
from beeline.backbone.config import Sizes
from beeline.cli.convert import convert
from beeline.cli.inspect import inspect
from beeline.core.conditions import Conditions
from beeline.core.errors import UserError
from beeline.core.files import read_json
from beeline.core.random import Key
from beeline.data.checkpoints.reading import read_foreign
from beeline.model import interop
from beeline.model.interop.anatomy import ratio_of
from beeline.model.interop.imported import Imported
from beeline.process.sources import Gaussian
from beeline.samplers.guidance import Guided
from tests.model.peers import Recipe, State, forward, inputs, state

RECORDED: dict[str, dict[str, Any]] = {
    "dit_small": {"layout": "dit", "num_heads": 4, "null_row": True},
    "dit_p4c3": {"layout": "dit", "num_heads": 4, "null_row": True},
    "sit_small": {"layout": "sit", "num_heads": 4, "null_row": True},
    "lightning_paper": {"null_row": True},
    "lightning_plain": {"layout": "lightningdit", "num_heads": 4, "null_row": True},
}
PAPER = Recipe(outputs=1, swiglu=True, rope=True, rms=True)
# Name, layout, recipe: sizes and switches that none of the recorded files has.
FAMILY: list[tuple[str, Any, Recipe]] = [
    ("two rows of patches and no null", "dit", Recipe(rows=4, columns=12, classes=3, null=False)),
    ("fixed variance, one block, one class", "dit", Recipe(outputs=1, depth=1, classes=1, patch=4)),
    ("patches of one cell", "dit", Recipe(rows=4, columns=4, patch=1, channels=16, heads=2)),
    ("pixels", "sit", Recipe(rows=16, columns=16, patch=8, channels=3, heads=8, width=64)),
    ("no unused half", "sit", Recipe(outputs=1)),
    ("the paper's, no square", "lightningdit", replace(PAPER, rows=4, columns=16)),
    ("normalised by RMS", "lightningdit", replace(PAPER, qk_norm=True)),
    ("normalised by LayerNorm", "lightningdit", Recipe(outputs=1, qk_norm=True)),
    ("no shift", "lightningdit", replace(PAPER, shift=False, rope=False)),
    ("no shift, nothing else", "lightningdit", Recipe(outputs=1, shift=False)),
    ("rotary beside GELU", "lightningdit", Recipe(outputs=1, rope=True, null=False)),
    ("an unused half", "lightningdit", replace(PAPER, outputs=2)),
]
IDS = [f"{layout}: {name}" for name, layout, _ in FAMILY]


def written(path: Path, tensors: Any) -> Path:
    torch.save(tensors, path)
    return path


def opened(path: Path, layout: Any, recipe: Recipe) -> Imported:
    return interop.load(path, layout, num_heads=recipe.heads, null_row=recipe.null)


def assert_close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * expected.abs().max().item())


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_outputs_guided_outputs_and_gradients(name: str, real_data: Callable[[str], Path]) -> None:
    folder = real_data("parity")
    recorded = np.load(folder / f"{name}_io.npz")
    m = interop.load(folder / f"{name}.pt", **RECORDED[name])

    def of(key: str) -> Tensor:
        found = torch.from_numpy(recorded[key])
        return found.long() if key.endswith("y") else found.float()

    out = m.forward_native(of("x"), of("t"), of("y"))
    assert_close(out, of("out"))
    guided = [key for key in recorded.files if key.startswith("cfg_out_")]
    assert guided
    for key in guided:
        scale = float(key.rpartition("_")[2])
        assert_close(m.forward_with_cfg_native(of("cfg_x"), of("cfg_t"), of("cfg_y"), scale), of(key))
    if "out_null" in recorded:
        assert_close(m.forward_native(of("x"), of("t"), torch.full((4,), 10)), of("out_null"))
    if "grad_norms" in recorded:
        out.square().mean().backward()
        norms = {name: gradient.norm() for name, gradient in m.native_gradients().items()}
        for at, expected in zip(recorded["grad_names"], recorded["grad_norms"], strict=True):
            assert norms.pop(str(at)).item() == pytest.approx(expected.item(), rel=1e-5)
        assert not norms


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_file_comes_back_bit_by_bit(name: str, real_data: Callable[[str], Path], tmp_path: Path) -> None:
    path = real_data("parity") / f"{name}.pt"
    m = interop.load(path, **RECORDED[name])
    interop.save(m, tmp_path / "again.pt", m.layout)
    assert_same_bits(torch.load(tmp_path / "again.pt", weights_only=True), torch.load(path, weights_only=True))


def assert_same_bits(found: State, expected: State) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize(("name", "layout", "recipe"), FAMILY, ids=IDS)
def test_any_size_and_switch_gives_the_network_written_out(
    name: str, layout: Any, recipe: Recipe, tmp_path: Path
) -> None:
    weights = state(recipe)
    m = opened(written(tmp_path / "a.pt", weights), layout, recipe)
    x, t, y = inputs(recipe, 999.0 if layout == "dit" else 1.0)
    expected = forward(weights, recipe, x, t, y)
    found = m.forward_native(x, t, y)
    if layout != "dit":
        expected = expected[:, : recipe.channels]
    assert_close(found, expected)
    interop.save(m, tmp_path / "b.safetensors", layout)
    assert_same_bits(read_foreign(tmp_path / "b.safetensors").tensors, weights)
    again = interop.load(tmp_path / "b.safetensors")  # its record says what the file cannot
    assert torch.equal(again.forward_native(x, t, y), found)


@pytest.mark.parametrize(("name", "layout", "recipe"), FAMILY, ids=IDS)
def test_a_predictor_of_ours_says_the_same_in_our_convention(
    name: str, layout: Any, recipe: Recipe, tmp_path: Path
) -> None:
    """E3: t = 0 is data here; DiT counts noise levels from 0 to 999, SiT and LightningDiT run from noise to data."""
    m = opened(written(tmp_path / "a.pt", state(recipe)), layout, recipe)
    x, _, y = inputs(recipe, 1.0)
    level = torch.tensor([0.0, 499.0, 999.0])
    native, t = (level, (level + 1) / 1000) if layout == "dit" else (torch.tensor([0.1, 0.5, 0.9]),) * 2
    if layout != "dit":
        t = 1 - native
    codec = m.starting().codec
    tokens = codec.batch([codec.placeholder(codec.tokenizer.encode(each.permute(1, 2, 0))) for each in x]).tokens
    prediction = m(tokens, t, Conditions({"label": y.clamp(max=recipe.classes - 1)}, {"label": y == recipe.classes}))
    mean = torch.stack([codec.tokenizer.decode(tokens.with_values(row[None])) for row in prediction.output])
    expected = m.forward_native(x, native, y)[:, : recipe.channels]
    assert_close(mean.permute(0, 3, 1, 2), expected)
    assert prediction.kind == ("noise" if layout == "dit" else "velocity_to_data")
    assert (prediction.variance is not None) == (layout == "dit" and recipe.outputs == 2)
    torch.testing.assert_close(prediction.velocity, -prediction.as_kind("velocity_to_data"))


def test_e19_guidance_of_a_predictor_on_three_channels_is_the_peers_own(tmp_path: Path) -> None:
    """E19: s = 1 is off, and DiT's own scripts guide channels 0 to 2 of 4."""
    recipe = Recipe()
    m = opened(written(tmp_path / "a.pt", state(recipe)), "dit", recipe)
    x, _, _ = inputs(recipe, 1.0)
    codec, y, level = m.starting().codec, torch.tensor([0, 1, 2]), torch.full((3,), 300.0)
    tokens = codec.batch([codec.placeholder(codec.tokenizer.encode(each.permute(1, 2, 0))) for each in x]).tokens
    only = torch.tensor([True, True, True, False]).repeat(4)
    label = Conditions({"label": y}, {"label": torch.zeros(3, dtype=torch.bool)}, {"label": 0.1})
    guided = Guided(m, 4.0, only)(tokens, (level + 1) / 1000, label)
    native = m.forward_with_cfg_native(
        torch.cat([x, x]), torch.cat([level, level]), torch.cat([y, torch.full((3,), 5)]), 4.0
    )
    found = torch.stack([codec.tokenizer.decode(tokens.with_values(row[None])) for row in guided.output])
    assert_close(found.permute(0, 3, 1, 2), native[:3, :4])
    assert not torch.allclose(native[:3, 3:4], native[3:, 3:4])


def test_e10_and_e16_the_published_sizes_in_this_layout_have_the_published_parameters(tmp_path: Path) -> None:
    """E10, E16: S/2 over 32x32x4 with 1,000 classes holds 32,963,360 numbers, its 256-wide time input included."""
    recipe = Recipe(32, 32, width=384, depth=12, heads=6, classes=1000)
    weights = state(recipe)
    assert sum(tensor.numel() for tensor in weights.values()) == 32_963_360
    facts = inspect(written(tmp_path / "S.pt", weights), layout="dit", num_heads=6, null_row=True)
    assert facts["network"]["with position table"] == 32_963_360
    assert facts["tensors"]["backbone.time.first.weight"] == [384, 256]
    assert facts["layout"] == "dit"


def test_e20_a_learned_variance_is_a_second_output_and_its_absence_is_seen(tmp_path: Path) -> None:
    for outputs in (1, 2):
        recipe = Recipe(outputs=outputs)
        m = opened(written(tmp_path / f"{outputs}.pt", state(recipe)), "dit", recipe)
        assert m.network.outputs == outputs
        assert m.starting().objective.variance == ("learned" if outputs == 2 else "none")
        assert m.forward_native(*inputs(recipe, 999.0)).shape[1] == outputs * 4


def test_a_training_file_gives_its_average_and_says_what_it_was_trained_with(tmp_path: Path) -> None:
    recipe = Recipe(width=384, depth=12, heads=6, classes=7)
    ema, raw = state(recipe, 0), state(recipe, 1)
    arguments = argparse.Namespace(model="DiT-S/2", num_classes=7, image_size=64)
    path = written(tmp_path / "0050000.pt", {"model": raw, "ema": ema, "opt": {"state": {}}, "args": arguments})
    m = interop.load(path)  # the name gives 6 heads, the number of classes the null row
    assert (m.layout, m.anatomy.num_heads, m.anatomy.null_row) == ("dit", 6, True)
    x, t, y = inputs(recipe, 999.0)
    assert_close(m.forward_native(x, t, y), forward(ema, recipe, x, t, y))
    assert_close(interop.load(path, weights="raw").forward_native(x, t, y), forward(raw, recipe, x, t, y))


def test_a_training_file_of_sit_names_its_path_and_what_it_predicts(tmp_path: Path) -> None:
    recipe = Recipe()
    said: dict[str, Any] = {"num_heads": 4}
    known = {"Linear": "linear", "GVP": "gvp", "VP": "vp"}, {"velocity": "velocity_to_data", "noise": "noise"}
    for path_type, prediction in (("Linear", "velocity"), ("GVP", "noise"), ("VP", "velocity"), ("Cubic", "noise")):
        arguments = argparse.Namespace(model="SiT-S/2", num_classes=5, path_type=path_type, prediction=prediction)
        path = written(tmp_path / f"{path_type}{prediction}.pt", {"ema": state(recipe), "args": arguments})
        if path_type in known[0]:
            m = interop.load(path, **said)
            assert (m.layout, m.anatomy.process.time_input) == ("sit", "1 - t")
            assert (m.anatomy.process.path, m.anatomy.prediction) == (known[0][path_type], known[1][prediction])
            continue
        with pytest.raises(UserError, match="path_type Cubic; only Linear, GVP, VP can be read"):
            interop.load(path, **said)


def test_what_the_file_cannot_say_is_asked_for_by_name_in_one_line(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pt", state(Recipe()))
    with pytest.raises(UserError) as caught:
        interop.load(path)
    assert all(name in str(caught.value) for name in (str(path), "layout=", "num_heads=", "null_row="))
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="num_heads=N") as caught:
        interop.load(path, "dit", null_row=True)
    assert "layout=" not in str(caught.value)
    with pytest.raises(UserError, match="null_row=True if the last of 6 label rows"):
        interop.load(path, "dit", num_heads=4)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"layout": "pixart"}, "layout 'pixart'"),
        ({"layout": "diffusers"}, "config.json"),
        ({"layout": "dit", "num_heads": 5, "null_row": True}, "num_heads=5 does not divide the width 32"),
        ({"layout": "dit", "num_heads": 4, "null_row": True, "input_size": 12}, "has 16 positions; input_size"),
        ({"layout": "dit", "num_heads": 4, "null_row": True, "input_size": 9}, "whole patches of 2"),
        ({"layout": "dit", "num_heads": 0, "null_row": True}, "num_heads"),
    ],
)
def test_what_cannot_be_is_refused(said: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        interop.load(written(tmp_path / "a.pt", state(Recipe())), **said)


def test_positions_that_are_no_table_are_kept_as_they_are(tmp_path: Path) -> None:
    """A table that was trained is neither sin-cos nor square by itself; it is read, asked about, and written back."""
    recipe = Recipe(rows=4, columns=12)
    weights = state(recipe)
    weights["pos_embed"] = torch.randn_like(weights["pos_embed"])
    path = written(tmp_path / "a.pt", weights)
    said: dict[str, Any] = {"layout": "dit", "num_heads": 4, "null_row": True}
    with pytest.raises(UserError, match="input_size="):
        interop.load(path, **said)
    m = interop.load(path, **said, input_size=(4, 12))
    x, t, y = inputs(recipe, 999.0)
    assert_close(m.forward_native(x, t, y), forward(weights, recipe, x, t, y))
    interop.save(m, tmp_path / "b.pt", "dit")
    assert_same_bits(torch.load(tmp_path / "b.pt", weights_only=True), weights)


def test_rotary_buffers_that_were_lost_can_be_said(tmp_path: Path) -> None:
    weights = state(PAPER)
    x, t, y = inputs(PAPER, 1.0)
    expected = forward(weights, PAPER, x, t, y)
    for name in ("feat_rope.freqs_cos", "feat_rope.freqs_sin"):
        del weights[name]
    path = written(tmp_path / "a.pt", weights)
    assert_close(interop.load(path, num_heads=4, null_row=True, use_rope=True).forward_native(x, t, y), expected)
    without = interop.load(path, num_heads=4, null_row=True)
    assert not torch.allclose(without.forward_native(x, t, y), expected, atol=1e-3)


def test_half_precision_comes_back_in_half_precision(tmp_path: Path) -> None:
    recipe = Recipe()
    weights = {name: tensor.half() for name, tensor in state(recipe).items()}
    m = opened(written(tmp_path / "a.pt", weights), "dit", recipe)
    assert next(m.parameters()).dtype == torch.float32
    interop.save(m, tmp_path / "b.pt", "dit")
    assert_same_bits(torch.load(tmp_path / "b.pt", weights_only=True), weights)


def test_layouts_of_one_function_share_their_bits(tmp_path: Path) -> None:
    """A SiT and a LightningDiT without switches are one network."""
    recipe = Recipe(outputs=1)
    m = opened(written(tmp_path / "a.pt", state(recipe)), "sit", recipe)
    interop.save(m, tmp_path / "b.pt", "lightningdit")
    assert_same_bits(torch.load(tmp_path / "b.pt", weights_only=True), state(recipe))
    again = opened(tmp_path / "b.pt", "lightningdit", recipe)
    assert torch.equal(again.forward_native(*inputs(recipe, 1.0)), m.forward_native(*inputs(recipe, 1.0)))


def test_another_function_is_refused_and_reinterpreted_only_on_request(tmp_path: Path) -> None:
    recipe = Recipe()
    path = written(tmp_path / "a.pt", state(recipe))
    m = opened(path, "dit", recipe)
    with pytest.raises(UserError, match=r"becomes path linear.*prediction noise becomes velocity_to_data.*reinterpret"):
        interop.save(m, tmp_path / "b.pt", "sit")
    assert not (tmp_path / "b.pt").exists()
    exported = interop.save(m, tmp_path / "b.pt", "sit", reinterpret=True)
    assert_same_bits(torch.load(tmp_path / "b.pt", weights_only=True), state(recipe))
    assert exported.change is not None
    assert exported.change["largest_difference"] > 0
    record = read_json(tmp_path / "b.pt.beeline.json")
    assert record["reinterpreted"] == exported.change
    assert record["from"]["sha256"] == m.starting().origin["sha256"]
    with pytest.raises(UserError, match="reinterpret is for a peer's layout"):
        convert(path, tmp_path / "c", reinterpret=True, from_layout="dit", num_heads=4, null_row=True)


def test_nothing_that_lies_there_is_overwritten(tmp_path: Path) -> None:
    recipe = Recipe()
    path = written(tmp_path / "a.pt", state(recipe))
    m = opened(path, "dit", recipe)
    before = path.read_bytes()
    with pytest.raises(UserError, match="is there already"):
        interop.save(m, path, "dit")
    with pytest.raises(UserError, match=r"NAME\.pt"):
        interop.save(m, tmp_path / "folder", "dit")
    with pytest.raises(UserError, match="folders"):
        interop.save(m, tmp_path / "b.pt", "diffusers")
    assert path.read_bytes() == before


@pytest.mark.parametrize("layout", ["dit", "sit", "lightningdit"])
def test_samples_of_a_peer_do_not_depend_on_the_batch(layout: str, tmp_path: Path) -> None:
    recipe = PAPER if layout == "lightningdit" else Recipe()
    written(tmp_path / "a.pt", state(recipe))
    said: dict[str, Any] = {"layout": layout, "num_heads": 4, "null_row": True}
    engine = beeline.load(tmp_path / "a.pt", device="cpu", **said)
    drawn = [engine.sample(4, {"label": [0, 1, 2, 3]}, seed=3, steps=4, batch_size=size) for size in (1, 4)]
    assert isinstance(drawn[0], np.ndarray)
    assert drawn[0].shape == (4, 8, 8, 4)
    np.testing.assert_allclose(drawn[0], drawn[1], atol=1e-5 * np.abs(drawn[1]).max())
    assert engine.defaults.cfg_scale == 4.0
    assert engine.defaults.guide_channels == (0, 1, 2)


def test_labels_and_shapes_that_do_not_fit_are_told_on_the_spot(tmp_path: Path) -> None:
    recipe = Recipe()
    m = opened(written(tmp_path / "a.pt", state(recipe)), "dit", recipe)
    x, t, y = inputs(recipe, 999.0)
    with pytest.raises(UserError, match="from 0 to 4, or 5 for 'unknown'"):
        m.forward_native(x, t, torch.tensor([0, 1, 6]))
    with pytest.raises(UserError, match="takes 8x8"):
        m.forward_native(torch.randn(3, 4, 16, 16), t, y)
    with pytest.raises(UserError, match="one of each for 3"):
        m.forward_native(x, t[:2], y)


def test_noise_of_an_imported_predictor_walks_the_same_from_any_start(tmp_path: Path) -> None:
    """Every sampler takes it: Heun on the discrete levels needs their interpolation."""
    recipe = Recipe()
    m = opened(written(tmp_path / "a.pt", state(recipe)), "dit", recipe)
    codec = m.starting().codec
    blank = codec.batch([codec.with_conditions(codec.tokenizer.blank((8, 8)), {"label": 1})])
    start = m.process.prior(blank.tokens, Gaussian(), Key.range(0, 0, 1), 1.0)
    between = m(start, torch.tensor([0.50025]), blank.conditions)
    assert torch.isfinite(between.velocity).all()


@pytest.mark.parametrize(("name", "layout", "recipe"), FAMILY, ids=IDS)
def test_e12_every_layout_is_conditioned_by_adaln_zero(name: str, layout: Any, recipe: Recipe, tmp_path: Path) -> None:
    """E12: the block of the published numbers is adaLN-Zero: where its modulation is zero, a block is the identity."""
    weights = state(recipe)
    for key in weights:
        if key.startswith("blocks.") and "adaLN_modulation" in key:
            weights[key] = torch.zeros_like(weights[key])
    m = opened(written(tmp_path / "a.pt", weights), layout, recipe)
    x, t, y = inputs(recipe, 1.0)
    before = m.forward_native(x, t, y)
    with torch.no_grad():
        for key, parameter in m.network.named_parameters():
            if ".blocks." in key and ".modulation." not in key:
                parameter.normal_()
    assert torch.equal(m.forward_native(x, t, y), before)


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
def test_any_width_of_a_feed_forward_network_is_some_ratio(activation: Any) -> None:
    for width in (48, 384, 1152):
        sizes = Sizes(width, 1, 4, 4.0, activation)
        for inner in (*range(1, 200), *range(3 * width, 3 * width + 50)):
            assert replace(sizes, mlp_ratio=ratio_of(sizes, inner)).inner_size == inner

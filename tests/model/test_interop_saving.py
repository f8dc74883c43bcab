"""What is saved is the network as it is now, in the form of the file that it came from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import safetensors.torch
import torch

import beeline
from beeline.cli.convert import convert
from beeline.cli.peers import table
from beeline.core.errors import UserError
from beeline.core.files import read_json
from beeline.data.checkpoints.writing import write_safetensors
from beeline.model import interop
from tests.model.peers import Recipe, State, forward, inputs, state

SAID: dict[str, Any] = {"layout": "dit", "num_heads": 4, "null_row": True}
LIGHTNING = Recipe(outputs=2, swiglu=True, rope=True, rms=True, qk_norm=True)
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def written(path: Path, weights: State, dtype: torch.dtype = torch.float32) -> Path:
    torch.save({name: tensor.to(dtype) for name, tensor in weights.items()}, path)
    return path


def read(path: Path) -> State:
    found: State = torch.load(path, weights_only=True)
    return found


def assert_same_bits(found: State, expected: State) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("opened", ["interop", "beeline"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["dit", "sit", "lightningdit"])
def test_trained_weights_are_what_is_saved_and_the_others_keep_their_bits(
    layout: Any, dtype: torch.dtype, opened: str, tmp_path: Path
) -> None:
    recipe = LIGHTNING if layout == "lightningdit" else Recipe()
    before = read(written(tmp_path / "a.pt", state(recipe), dtype))
    said = {**SAID, "layout": layout}
    m: Any = beeline.load(tmp_path / "a.pt", device="cpu", **said)
    m = m if opened == "beeline" else m.imported
    with torch.no_grad():
        for name in ("backbone.blocks.0.attention.qkv.weight", "backbone.head.weight"):
            m.network.get_parameter(name).mul_(1.001)
    interop.save(m, tmp_path / "b.pt", layout)
    after = read(tmp_path / "b.pt")
    trained = ["blocks.0.attn.qkv.weight", "final_layer.linear.weight"]
    assert_same_bits(
        {name: each for name, each in after.items() if name not in trained},
        {name: each for name, each in before.items() if name not in trained},
    )
    assert not any(torch.equal(after[name].float(), before[name].float()) for name in trained)
    x, t, y = inputs(recipe, 999.0 if layout == "dit" else 1.0)
    expected = forward({name: each.float() for name, each in after.items()}, recipe, x, t, y)
    found = (m.imported if opened == "beeline" else m).forward_native(x, t, y)
    torch.testing.assert_close(found, expected[:, : found.shape[1]], rtol=0, atol=1e-5 * expected.abs().max().item())


def test_numbers_of_64_bits_come_back_in_full_and_those_beyond_32_bits_are_refused(tmp_path: Path) -> None:
    weights = {name: tensor.double() + 1e-12 for name, tensor in state(Recipe()).items()}
    m = interop.load(written(tmp_path / "a.pt", weights, torch.float64), **SAID)
    for each, name in ((m, "b.pt"), (m.double(), "c.pt")):
        interop.save(each, tmp_path / name, "dit")
        assert_same_bits(read(tmp_path / name), weights)
    weights["blocks.0.attn.proj.bias"][3] = 1e39
    with pytest.raises(UserError, match=r"blocks\.0\.attn\.proj\.bias holds numbers too large"):
        interop.load(written(tmp_path / "d.pt", weights, torch.float64), **SAID)


def test_a_network_moved_to_64_bits_is_saved_in_the_32_that_it_came_in(tmp_path: Path) -> None:
    weights = state(Recipe())
    m = interop.load(written(tmp_path / "a.pt", weights), **SAID).double()
    x, t, y = inputs(Recipe(), 999.0)
    expected = forward(weights, Recipe(), x, t, y)
    found = m.forward_native(x.double(), t.double(), y).float()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    interop.save(m, tmp_path / "b.pt", "dit")
    assert_same_bits(read(tmp_path / "b.pt"), weights)


def test_tensors_that_a_file_holds_once_are_trained_apart(tmp_path: Path) -> None:
    weights = state(Recipe())
    weights["blocks.1.attn.proj.bias"] = weights["blocks.0.attn.proj.bias"]
    m = interop.load(written(tmp_path / "a.pt", weights), **SAID)
    with torch.no_grad():
        m.network.get_parameter("backbone.blocks.0.attention.projection.bias").add_(1)
    interop.save(m, tmp_path / "b.pt", "dit")
    assert torch.equal(read(tmp_path / "b.pt")["blocks.1.attn.proj.bias"], weights["blocks.1.attn.proj.bias"])


def network_of_diffusers(**options: Any) -> Any:
    torch.manual_seed(0)
    given: dict[str, Any] = {"num_layers": 2, "sample_size": 8, "num_embeds_ada_norm": 5, "out_channels": 8, **options}
    return diffusers.DiTTransformer2DModel(num_attention_heads=4, attention_head_dim=8, **given).eval()


def test_biases_that_a_file_lacked_are_kept_where_training_has_moved_them(tmp_path: Path) -> None:
    """diffusers drops them without a word where config.json says attention_bias false."""
    network_of_diffusers(attention_bias=False).save_pretrained(tmp_path / "a")
    m = interop.load(tmp_path / "a")
    with torch.no_grad():
        for parameter in m.parameters():
            parameter.add_(torch.randn_like(parameter) / 10)
    interop.save(m, tmp_path / "b", "diffusers")
    theirs = diffusers.DiTTransformer2DModel.from_pretrained(tmp_path / "b").eval()
    x, t, y = inputs(Recipe(), 999.0)
    expected = theirs(x, t, y).sample
    torch.testing.assert_close(m.forward_native(x, t, y), expected, rtol=0, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prediction_type": "v_prediction"}, "prediction v becomes noise"),
        ({"beta_end": 0.03}, "other noise levels"),
        ({"beta_schedule": "squaredcos_cap_v2"}, "other noise levels"),
    ],
)
def test_what_only_a_scheduler_says_is_not_lost_with_it(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    """A slim model has no scheduler to write, and without one diffusers takes the usual for granted."""
    vae = diffusers.AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4)
    scheduler = diffusers.DDIMScheduler(clip_sample=False, **change)
    diffusers.DiTPipeline(network_of_diffusers(), vae, scheduler).save_pretrained(tmp_path / "a")
    interop.save(interop.load(tmp_path / "a"), tmp_path / "b", "diffusers")
    assert interop.load(tmp_path / "b").starting().process == interop.load(tmp_path / "a").starting().process
    convert(tmp_path / "a", tmp_path / "slim")
    with pytest.raises(UserError, match=f"{message}.*compatible_with diffusers.*--reinterpret"):
        convert(tmp_path / "slim", tmp_path / "c", layout="diffusers")


def test_a_slim_model_of_a_peer_draws_the_same_and_leaves_with_the_same_bits(tmp_path: Path) -> None:
    for layout, recipe in (("dit", Recipe()), ("lightningdit", replace(LIGHTNING, outputs=1, rows=4))):
        home, weights = tmp_path / layout, state(recipe)
        home.mkdir()
        written(home / "a.pt", weights)
        convert(home / "a.pt", home / "slim", from_layout=layout, num_heads=4, null_row=True)
        convert(home / "slim", home / "b.pt", layout=layout)  # type: ignore[arg-type]
        assert_same_bits(read(home / "b.pt"), weights)
        drawn = [
            beeline.load(home / name, device="cpu").sample(2, {"label": [0, 1]}, steps=2) for name in ("slim", "b.pt")
        ]
        assert (drawn[0] == drawn[1]).all()  # type: ignore[union-attr]


def test_an_exported_safetensors_file_is_opened_by_its_record_alone(tmp_path: Path) -> None:
    weights = state(Recipe())
    m = interop.load(written(tmp_path / "a.pt", weights), **SAID)
    interop.save(m, tmp_path / "b.SAFETENSORS", "dit")
    assert_same_bits(safetensors.torch.load_file(tmp_path / "b.SAFETENSORS"), weights)
    assert beeline.load(tmp_path / "b.SAFETENSORS", device="cpu").imported is not None
    assert beeline.inspect(tmp_path / "b.SAFETENSORS")["layout"] == "dit"
    convert(tmp_path / "b.SAFETENSORS", tmp_path / "c.pt", layout="dit")
    assert_same_bits(read(tmp_path / "c.pt"), weights)


@pytest.mark.parametrize(
    "change",
    [
        {"num_heads": "4"}, {"num_heads": 0}, {"null_row": "no"}, {"layout": "pixart"}, {"layout": ["dit"]},
        {"input_size": ["a", "b"]}, {"input_size": 8}, {"sha256": "0" * 64},
    ],
    ids=str,
)  # fmt: skip
def test_a_record_that_is_damaged_or_of_another_file_tells_nothing(change: dict[str, Any], tmp_path: Path) -> None:
    m = interop.load(written(tmp_path / "a.pt", state(Recipe())), **SAID)
    interop.save(m, tmp_path / "b.pt", "dit")
    record = tmp_path / "b.pt.beeline.json"
    assert interop.load(tmp_path / "b.pt").layout == "dit"
    record.write_text(json.dumps({**read_json(record), **change}))
    with pytest.raises(UserError, match="num_heads=N"):
        interop.load(tmp_path / "b.pt")


def test_the_table_of_a_conversion_has_one_line_for_the_same_tensor_of_all_blocks(tmp_path: Path) -> None:
    for apart in (False, True):
        network = network_of_diffusers(num_layers=3)
        if not apart:
            for block in network.transformer_blocks[1:]:
                block.norm1.emb.load_state_dict(network.transformer_blocks[0].norm1.emb.state_dict())
        network.save_pretrained(tmp_path / "a")
        lines = table(interop.save(interop.load(tmp_path / "a"), tmp_path / "b", "diffusers").rows)
        assert len(lines) == 25
        assert sum("transformer_blocks.0-2." in line for line in lines) == 19
        assert sum("copies.0-2" in line for line in lines) == (5 if apart else 0)
        for folder in ("a", "b"):
            shutil.rmtree(tmp_path / folder)


def test_safetensors_are_written_as_the_library_writes_them(tmp_path: Path) -> None:
    tensors = {
        "b": torch.randn(3, 4), "a": torch.randn(5).half(), "c": torch.arange(7, dtype=torch.uint8),
        "scalar": torch.tensor(2.5, dtype=torch.float64), "empty": torch.zeros(0, 3), "bf": torch.randn(3).bfloat16(),
        "turned": torch.randn(4, 6).T, "flag": torch.tensor([True, False]), "é": torch.arange(3),
        "eight": torch.randn(4).to(torch.float8_e4m3fn),
    }  # fmt: skip
    write_safetensors(tmp_path / "a.safetensors", tensors, {"step": "3"})
    found = safetensors.torch.load_file(tmp_path / "a.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name].double(), tensor.double())
    with safetensors.safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "step": "3"}
    plain = {name: tensors[name].contiguous() for name in ("turned", "b", "scalar", "flag", "empty")}
    write_safetensors(tmp_path / "b.safetensors", plain)
    assert (tmp_path / "b.safetensors").read_bytes() == safetensors.torch.save(plain, {"format": "pt"})

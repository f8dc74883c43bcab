"""What the parts of a pipeline say of its network: noise levels, prediction, names, and how samples are drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import safetensors.torch
import torch

import beeline
from beeline.core.errors import UserError
from beeline.core.files import read_json
from beeline.model import interop
from beeline.model.interop.folders import sampling_of
from tests.model.peers import Recipe, state


def pipeline(folder: Path, scheduler: Any, **options: Any) -> Path:
    torch.manual_seed(0)
    given: dict[str, Any] = {"num_layers": 2, "sample_size": 8, "num_embeds_ada_norm": 5, "out_channels": 8, **options}
    network = diffusers.DiTTransformer2DModel(num_attention_heads=4, attention_head_dim=8, **given)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) / max(1.0, parameter.shape[-1] ** 0.5))
    vae = diffusers.AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4, scaling_factor=0.5)
    diffusers.DiTPipeline(network, vae, scheduler).save_pretrained(folder)
    return folder


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**read_json(path), **values}))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_train_timesteps": 400, "beta_end": 0.05},
        {"beta_end": 0.03},
        {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
        {"beta_schedule": "scaled_linear", "num_train_timesteps": 500, "beta_end": 0.05},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"trained_betas": [0.01 + 0.001 * k for k in range(100)]},
    ],
    ids=str,
)
def test_noise_levels_are_those_of_diffusers(options: dict[str, Any], tmp_path: Path) -> None:
    scheduler = diffusers.DDIMScheduler(clip_sample=False, **options)
    m = interop.load(pipeline(tmp_path / "a", scheduler))
    expected = scheduler.alphas_cumprod.double()
    t = torch.arange(1, len(expected) + 1, dtype=torch.float64) / len(expected)
    torch.testing.assert_close(m.process.alpha(t) ** 2, expected, rtol=2e-4, atol=1e-6)


def test_levels_that_are_rescaled_to_pure_noise_are_refused(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "a", diffusers.DDIMScheduler(rescale_betas_zero_snr=True))
    with pytest.raises(UserError, match="rescales its noise levels"):
        interop.load(folder)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_the_data_that_a_prediction_stands_for_are_those_of_diffusers(prediction: str, tmp_path: Path) -> None:
    scheduler = diffusers.DDIMScheduler(clip_sample=False, prediction_type=prediction)
    m = interop.load(pipeline(tmp_path / "a", scheduler))
    codec, level = m.starting().codec, 400
    x = torch.randn(1, 4, 8, 8)
    tokens = codec.batch([codec.with_conditions(codec.tokenizer.encode(x[0].permute(1, 2, 0)), {"label": 3})])
    found = m(tokens.tokens, torch.tensor([(level + 1) / 1000]), tokens.conditions).as_kind("data")
    output = m.forward_native(x, torch.tensor([level]), torch.tensor([3]))[:, :4]
    scheduler.set_timesteps(1000)
    expected = scheduler.step(output, level, x).pred_original_sample
    data = codec.tokenizer.decode(tokens.tokens.with_values(found)).permute(2, 0, 1)[None]
    torch.testing.assert_close(data, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        (diffusers.DDIMScheduler(clip_sample=False), {"sampler": "ddim", "grid": "auto", "clip": None}),
        (diffusers.DDPMScheduler(clip_sample=True, clip_sample_range=2.0), {"sampler": "ddpm", "clip": 2.0}),
        (diffusers.DDIMScheduler(clip_sample=True), {"clip": 1.0}),
        (diffusers.DDIMScheduler(clip_sample=False, timestep_spacing="linspace"), {"grid": "respaced"}),
    ],
    ids=["ddim", "ddpm", "clipped", "linspace"],
)
def test_samples_are_drawn_as_the_scheduler_says(scheduler: Any, expected: dict[str, Any]) -> None:
    for guided in (True, False):
        config = sampling_of({**scheduler.config, "_class_name": type(scheduler).__name__}, guided)
        assert {name: getattr(config, name) for name in expected} == expected
        assert (config.steps, config.cfg_scale, config.guide_channels) == (50, 4.0 if guided else 1.0, None)


def test_a_pipelines_names_and_scale_are_taken_where_they_fit(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "a", diffusers.DDIMScheduler(clip_sample=False))
    names = [f"kind {number}" for number in range(5)]
    edit(folder / "model_index.json", id2label={str(number): name for number, name in enumerate(names)})
    engine = beeline.load(folder, device="cpu")
    assert engine.imported is not None
    assert engine.imported.anatomy.names == tuple(names)
    assert engine.imported.anatomy.scale == 0.5
    by_name, by_number = (
        np.asarray(engine.sample(1, {"label": each}, steps=2, decode=False)) for each in ("kind 3", 3)
    )
    np.testing.assert_array_equal(by_name, by_number)
    for other in ({"0": "one"}, {"1": "one", "2": "two", "3": "three", "4": "four", "5": "five"}, None):
        edit(folder / "model_index.json", id2label=other)
        assert interop.load(folder).anatomy.names == ()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"num_heads": 8}, "has 4 heads, as its config says"),
        ({"null_row": False}, "null_row=False cannot be"),
        ({"input_size": 16}, "is for 8x8, as its config says"),
        ({"layout": "dit"}, "is diffusers's, not dit's"),
        ({"use_rope": True}, "no rotary positions"),
    ],
    ids=str,
)
def test_words_against_a_config_are_refused(said: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "a", diffusers.DDIMScheduler(clip_sample=False))
    with pytest.raises(UserError, match=message):
        interop.load(folder, **said)
    assert interop.load(folder, "diffusers", num_heads=4, null_row=True, input_size=8).layout == "diffusers"


def test_guidance_of_diffusers_is_on_all_channels_and_uses_the_first_half_twice(tmp_path: Path) -> None:
    m = interop.load(pipeline(tmp_path / "a", diffusers.DDIMScheduler(clip_sample=False)) / "transformer")
    x, other = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    t, y = torch.full((4,), 300), torch.tensor([0, 3, 5, 5])
    found = m.forward_with_cfg_native(torch.cat([x, other]), t, y, 3.0)
    out = m.forward_native(torch.cat([x, x]), t, y)
    with_label, without = out[:2, :4], out[2:, :4]
    guided = without + 3.0 * (with_label - without)
    torch.testing.assert_close(found[:, :4], torch.cat([guided, guided]))
    torch.testing.assert_close(found[:, 4:], out[:, 4:])


def test_any_block_whose_embedders_differ_keeps_them_apart(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "a", diffusers.DDIMScheduler(clip_sample=False), num_layers=4) / "transformer"
    network = diffusers.DiTTransformer2DModel.from_pretrained(folder)
    for block in network.transformer_blocks[1:]:
        block.norm1.emb.load_state_dict(network.transformer_blocks[0].norm1.emb.state_dict())
    with torch.no_grad():
        network.transformer_blocks[3].norm1.emb.class_embedder.embedding_table.weight[2] += 1
    network.save_pretrained(folder)
    assert interop.load(folder).anatomy.options["embedders"] == "per_block"
    with pytest.raises(UserError, match=r"transformer_blocks\.3\.norm1\.emb\.class_embedder"):
        interop.save(interop.load(folder), tmp_path / "b.pt", "dit", reinterpret=True)


def test_an_autoencoder_named_beside_a_network_brings_its_scale_and_must_fit(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "a", diffusers.DDIMScheduler(clip_sample=False))
    options: dict[str, Any] = {"sampler": "ddim", "steps": 2, "cfg_scale": 1.0}
    whole = beeline.load(folder, device="cpu").sample(1, {"label": 3}, **options)
    named = beeline.load(folder / "transformer", device="cpu", vae=folder / "vae").sample(1, {"label": 3}, **options)
    np.testing.assert_array_equal(np.asarray(named), np.asarray(whole))
    torch.save(state(Recipe(channels=3)), tmp_path / "b.pt")
    with pytest.raises(UserError, match="its latents have 4 channels, the network's 3"):
        beeline.load(tmp_path / "b.pt", device="cpu", vae=folder / "vae", layout="dit", num_heads=4, null_row=True)


def test_a_folder_without_a_null_row_is_read_and_not_guided(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "a", diffusers.DDIMScheduler(clip_sample=False)) / "transformer"
    before = interop.load(folder)
    file = folder / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.torch.load_file(file)
    shorter = {name: each[:5].clone() if "class_embedder" in name else each for name, each in tensors.items()}
    safetensors.torch.save_file(shorter, file, {"format": "pt"})
    m = interop.load(folder)
    assert (m.anatomy.null_row, m.anatomy.classes, m.starting().sample.cfg_scale) == (False, 5, 1.0)
    x, t, y = torch.randn(2, 4, 8, 8), torch.tensor([3, 700]), torch.tensor([0, 4])
    assert torch.equal(m.forward_native(x, t, y), before.forward_native(x, t, y))

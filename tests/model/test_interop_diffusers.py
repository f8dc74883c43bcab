"""Beside diffusers itself: its networks, its pipelines, its folders, with random weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor

import beeline
from beeline.cli.sample import sample
from beeline.core.errors import UserError
from beeline.core.files import read_json
from beeline.core.random import Key
from beeline.core.tokens import Tokens
from beeline.data.checkpoints.reading import read_foreign
from beeline.model import interop
from tests.model.peers import Recipe, inputs, state

SIZE, CLASSES = 8, 1000  # its pipeline takes label 1000 for the null, whatever the network


def transformer(apart: bool = False, **options: Any) -> Any:
    """A network of diffusers with random weights; where not ``apart``, with one embedder copied into all blocks."""
    torch.manual_seed(0)
    given = {
        "num_attention_heads": 4,
        "attention_head_dim": 8,
        "in_channels": 4,
        "out_channels": 8,
        "num_layers": 3,
        "sample_size": SIZE,
        "num_embeds_ada_norm": CLASSES,
    }
    network = diffusers.DiTTransformer2DModel(**(given | options)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) / max(1.0, parameter.shape[-1] ** 0.5))
        if not apart:
            first = network.transformer_blocks[0].norm1.emb.state_dict()
            for block in network.transformer_blocks[1:]:
                block.norm1.emb.load_state_dict(first)
    return network


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole pipeline with everything that the published folders have."""
    torch.manual_seed(1)
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 16), norm_num_groups=4, latent_channels=4, down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, sample_size=2 * SIZE,
    )  # fmt: skip
    scheduler = diffusers.DDIMScheduler(clip_sample=False, beta_schedule="linear")
    names = {number: f"kind {number}, species {number}" for number in range(CLASSES)}
    whole = diffusers.DiTPipeline(transformer=transformer(), vae=vae.eval(), scheduler=scheduler, id2label=names)
    folder = tmp_path_factory.mktemp("pipeline")
    whole.save_pretrained(folder)
    index = read_json(folder / "model_index.json")  # diffusers forgets it in saving, the published folder has it
    (folder / "model_index.json").write_text(json.dumps({**index, "id2label": names}))
    return folder


def images(generator_seed: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(generator_seed)
    x = torch.randn(4, 4, SIZE, SIZE, generator=generator)
    return x, torch.tensor([0, 7, 501, 999]), torch.tensor([0, 999, 207, CLASSES])


@pytest.mark.parametrize(
    "name", ["diffusers_from_official_eps1e-5", "diffusers_from_official_eps1e-6", "diffusers_random"]
)
def test_recorded_folders_give_their_outputs_and_come_back_bit_by_bit(
    name: str, real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = real_data("parity")
    recorded = np.load(folder / f"{name}_io.npz")
    m = interop.load(folder / name)
    found = m.forward_native(*(torch.from_numpy(recorded[key]) for key in ("x", "t", "y")))
    expected = torch.from_numpy(recorded["out"])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    assert m.anatomy.options.get("embedders", "shared") == ("per_block" if name.endswith("random") else "shared")
    interop.save(m, tmp_path / "again", "diffusers")
    again, before = read_foreign(tmp_path / "again").tensors, read_foreign(folder / name).tensors
    assert again.keys() == before.keys()
    assert all(torch.equal(again[key], before[key]) for key in before)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm_eps": 1e-3, "patch_size": 4, "out_channels": 4, "num_embeds_ada_norm": 7},
        {"attention_bias": False, "in_channels": 3, "out_channels": None, "patch_size": 1, "sample_size": 4},
    ],
)
def test_networks_of_diffusers_are_ours_too(apart: bool, options: dict[str, Any], tmp_path: Path) -> None:
    """With gradients: embedders of each block stay apart where they are, and are one where they are copies."""
    network = transformer(apart, **options)
    network.save_pretrained(tmp_path / "a")
    m = interop.load(tmp_path / "a")
    config = network.config
    x = torch.randn(4, config.in_channels, config.sample_size, config.sample_size)
    t, y = torch.tensor([0, 7, 501, 999]), torch.tensor([0, 1, 5, config.num_embeds_ada_norm])
    expected, found = network(x, t, y).sample, m.forward_native(x, t, y)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    expected.square().mean().backward()
    found.square().mean().backward()
    gradients = m.native_gradients()
    largest = max(float(each.abs().max()) for each in gradients.values())
    for name, parameter in network.named_parameters():
        if name in gradients and parameter.grad is not None and (apart or ".norm1.emb." not in name):
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=0, atol=1e-5 * largest)
    assert len(gradients) > 30
    if apart and config.attention_bias:  # copies and zeros for biases share their gradients out otherwise
        assert squared_gradients(m) == pytest.approx(squared_gradients(network), rel=1e-5)
    interop.save(m, tmp_path / "b", "diffusers")
    reread = diffusers.DiTTransformer2DModel.from_pretrained(tmp_path / "b").eval()
    assert torch.equal(reread(x, t, y).sample, expected)
    assert told(reread.config) == told(config)


def squared_gradients(module: torch.nn.Module) -> float:
    return sum(float(each.grad.square().sum()) for each in module.parameters() if each.grad is not None)


def told(config: Any) -> dict[str, Any]:
    return {name: value for name, value in dict(config).items() if not name.startswith("_")}


def test_another_size_is_squeezed_into_the_grid_as_diffusers_does(tmp_path: Path) -> None:
    network = transformer()
    network.save_pretrained(tmp_path / "a")
    x, t, y = torch.randn(2, 4, 12, 12), torch.tensor([3, 700]), torch.tensor([5, 6])
    with torch.no_grad():
        expected = network(x, t, y).sample
        found = interop.load(tmp_path / "a").forward_native(x, t, y)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("form", ["bin", "shards", "bin shards", "published"])
def test_every_form_of_the_folder_is_read(form: str, tmp_path: Path) -> None:
    """The published folder holds a .bin, and calls itself by the older name of the class."""
    network = transformer()
    options: dict[str, Any] = {"safe_serialization": form == "shards"}
    if "shards" in form:
        options["max_shard_size"] = "100KB"
    network.save_pretrained(tmp_path / "a", **options)
    if form == "published":
        config = read_json(tmp_path / "a" / "config.json")
        older = {"_class_name": "Transformer2DModel", "cross_attention_dim": None, "attention_type": "default"}
        (tmp_path / "a" / "config.json").write_text(json.dumps({**config, **older}))
    x, t, y = images()
    expected = network(x, t, y).sample
    found = interop.load(tmp_path / "a").forward_native(x, t, y)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_embedders_that_differ_are_refused_by_layouts_that_have_one(tmp_path: Path) -> None:
    transformer(apart=True).save_pretrained(tmp_path / "a")
    m = interop.load(tmp_path / "a")
    for reinterpret in (False, True):
        with pytest.raises(
            UserError, match=r"transformer_blocks\.1\.norm1\.emb\.class_embedder\.embedding_table\.weight"
        ):
            interop.save(m, tmp_path / "b.pt", "dit", reinterpret=reinterpret)
    assert not (tmp_path / "b.pt").exists()


def test_dit_and_diffusers_are_two_functions_of_the_same_tensors(tmp_path: Path) -> None:
    """E-numbers apart: the divisor is 128 or 127 and the second norm's epsilon 1e-6 or 1e-5; both are named."""
    recipe = Recipe(classes=CLASSES)
    torch.save(state(recipe), tmp_path / "a.pt")
    m = interop.load(tmp_path / "a.pt", "dit", num_heads=4, null_row=True)
    with pytest.raises(UserError, match=r"divisor 128 becomes 127.*epsilon is 1e-06.*1e-05"):
        interop.save(m, tmp_path / "folder", "diffusers")
    exported = interop.save(m, tmp_path / "folder", "diffusers", reinterpret=True)
    assert exported.change is not None
    assert exported.change["share"] > 1e-3
    x, t, y = inputs(recipe, 999.0)
    theirs = diffusers.DiTTransformer2DModel.from_pretrained(tmp_path / "folder").eval()
    again = interop.load(tmp_path / "folder")
    expected = theirs(x, t, y).sample
    torch.testing.assert_close(again.forward_native(x, t, y), expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    assert not torch.allclose(m.forward_native(x, t, y), expected, rtol=0, atol=1e-2)
    with pytest.raises(UserError, match=r"divisor 127 becomes 128.*reinterpret"):
        interop.save(again, tmp_path / "b.pt", "dit")
    interop.save(again, tmp_path / "b.pt", "dit", reinterpret=True)
    back = torch.load(tmp_path / "b.pt", weights_only=True)
    assert all(torch.equal(back[name], tensor) for name, tensor in state(recipe).items())


class From:
    """A source whose only draw is given: (B, C, H, W)."""

    def __init__(self, given: Tensor, engine: Any) -> None:
        codec = engine.codec
        self.values = torch.cat([codec.tokenizer.encode(each.permute(1, 2, 0)).values for each in given])

    def sample(self, like: Tokens, key: Key) -> Tensor:
        return self.values


@pytest.mark.parametrize(("steps", "scale"), [(10, 4.0), (7, 1.0)])
def test_a_whole_pipeline_samples_as_in_diffusers(pipeline: Path, steps: int, scale: float) -> None:
    """DDIM, guidance on all channels, decoding: pixel by pixel, from the same noise."""
    theirs = diffusers.DiTPipeline.from_pretrained(pipeline)
    theirs.set_progress_bar_config(disable=True)
    labels = [207, 360, 5]
    made = theirs(
        labels, guidance_scale=scale, num_inference_steps=steps, generator=torch.manual_seed(4), output_type="np"
    ).images
    noise = torch.randn(3, 4, SIZE, SIZE, generator=torch.manual_seed(4))
    engine = beeline.load(pipeline, device="cpu")
    assert (engine.defaults.sampler, engine.defaults.steps, engine.defaults.cfg_scale) == ("ddim", 50, 4.0)
    # diffusers starts from the noise itself, we from the marginal of the noise at the first level, sigma e.
    first = torch.tensor(((steps - 1) * (1000 // steps) + 1) / 1000, dtype=torch.float64)
    engine.source = From(noise / engine.process.sigma(first).float(), engine)
    ours = engine.sample(3, {"label": labels}, steps=steps, cfg_scale=scale)
    assert isinstance(ours, np.ndarray)
    assert ours.dtype == np.uint8
    difference = np.abs(ours.astype(float) - (made * 255).round())
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def test_what_a_user_of_the_published_folder_does_is_one_command(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in pipeline.rglob("*"))
    paths = sample(pipeline, 2, {"label": ["207", "kind 360, species 360"]}, steps=3)
    assert [path.name for path in paths] == ["samples.png", "samples.npz", "latents.npz", "samples.json"]
    assert np.load(paths[1])["samples"].shape == (2, 2 * SIZE, 2 * SIZE, 3)
    record = read_json(paths[-1])
    assert (record["layout"], record["sampler"], record["cfg_scale"], record["passes"]) == ("diffusers", "ddim", 4.0, 6)
    paths = sample(pipeline, 1, {"label": "360"}, sampler="ddpm", steps=4)
    assert read_json(paths[-1])["grid"] in ("respaced", "auto")
    assert sorted(path.name for path in pipeline.rglob("*")) == before
    facts = beeline.inspect(pipeline)
    assert facts["layout"] == "diffusers"
    assert facts["autoencoder"]["vae"] == str(pipeline / "vae")


def test_classes_of_one_name_are_told_apart_by_their_numbers(pipeline: Path, tmp_path: Path) -> None:
    """ImageNet calls a bird and a machine "crane"."""
    shutil.copytree(pipeline, tmp_path / "a")
    names = {str(number): f"kind {number}" for number in range(CLASSES)} | {"134": "crane", "517": "crane"}
    edit(tmp_path / "a" / "model_index.json", id2label=names)
    found = interop.load(tmp_path / "a").anatomy.names
    assert (found[134], found[517], found[135]) == ("crane (134)", "crane (517)", "kind 135")


def test_a_pipeline_leaves_as_a_pipeline(pipeline: Path, tmp_path: Path) -> None:
    m = interop.load(pipeline)
    interop.save(m, tmp_path / "again", "diffusers")
    theirs = diffusers.DiTPipeline.from_pretrained(tmp_path / "again")
    theirs.set_progress_bar_config(disable=True)
    original = diffusers.DiTPipeline.from_pretrained(pipeline)
    original.set_progress_bar_config(disable=True)
    drawn = [
        each([3], num_inference_steps=3, generator=torch.manual_seed(0), output_type="np").images
        for each in (theirs, original)
    ]
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "transformer" / "config.json").unlink(), "config.json"),
        (lambda folder: shutil.rmtree(folder / "transformer"), "transformer: is missing"),
        (lambda folder: (folder / "scheduler" / "scheduler_config.json").unlink(), "scheduler_config.json: is missing"),
        (lambda folder: edit(folder / "model_index.json", _class_name="StableDiffusionPipeline"), "only a DiTPipeline"),
        (lambda folder: edit(folder / "transformer" / "config.json", activation_fn="geglu"), "activation_fn geglu"),
        (lambda folder: edit(folder / "transformer" / "config.json", num_layers=28), "num_layers 28, the tensors 3"),
        (lambda folder: edit(folder / "transformer" / "config.json", num_layers=10**12), "num_layers"),
        (lambda folder: edit(folder / "transformer" / "config.json", num_attention_heads="4"), "num_attention_heads"),
        (lambda folder: edit(folder / "transformer" / "config.json", sample_size=9), "sample_size 9"),
        (lambda folder: edit(folder / "transformer" / "config.json", norm_eps="x"), "norm_eps"),
        (lambda folder: edit(folder / "scheduler" / "scheduler_config.json", beta_schedule="exp"), "beta_schedule exp"),
        (
            lambda folder: edit(folder / "scheduler" / "scheduler_config.json", prediction_type="flow"),
            "prediction_type",
        ),
        (lambda folder: edit(folder / "scheduler" / "scheduler_config.json", trained_betas=[2.0]), "betas"),
        (lambda folder: (folder / "model_index.json").write_text("{"), "model_index.json"),
    ],
)
def test_a_damaged_folder_is_told_in_one_line(
    change: Callable[[Path], Any], message: str, pipeline: Path, tmp_path: Path
) -> None:
    shutil.copytree(pipeline, tmp_path / "a")
    change(tmp_path / "a")
    with pytest.raises(UserError, match=message) as caught:
        interop.load(tmp_path / "a")
    assert "\n" not in str(caught.value)


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**read_json(path), **values}))

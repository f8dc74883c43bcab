"""Autoencoders: the same numbers as diffusers gives, from files that are read and never executed."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from beeline.core.errors import RunError, UserError
from beeline.core.random import Key
from beeline.data.autoencoder import Autoencoder, find_autoencoder
from tests.data.autoencoders import make_autoencoder, save_autoencoder
from tests.data.images import pixels

WEIGHTS = "diffusion_pytorch_model"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_autoencoder(tmp_path_factory.mktemp("vae") / "vae")


def opened(folder: Path) -> Autoencoder:
    return Autoencoder(find_autoencoder(folder))


@pytest.mark.parametrize("safe", [True, False])
def test_latents_and_images_are_those_of_diffusers(tmp_path: Path, safe: bool) -> None:
    """In pixels of [-1, 1], from the posterior with given noise; back by its own rounding to uint8."""
    from diffusers.image_processor import VaeImageProcessor

    ours, theirs = opened(save_autoencoder(tmp_path, safe)), make_autoencoder()
    assert ours.files.weights.suffix == (".safetensors" if safe else ".bin")
    images = np.stack([pixels(16, 24, 3, seed) for seed in range(3)])
    noise = Key.range(0, 0, 3).normal(4 * 4 * 6).view(3, 4, 4, 6)
    with torch.no_grad():
        posterior = theirs.encode(torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1).latent_dist
        expected = (posterior.mean + posterior.std * noise.float()).permute(0, 2, 3, 1).numpy()
        decoded = theirs.decode(torch.from_numpy(expected).permute(0, 3, 1, 2)).sample
    latents = ours.encode(images, noise)
    assert latents.shape == (3, 4, 6, 4)
    assert float(posterior.std.min()) > 0.1  # noise matters
    np.testing.assert_allclose(latents, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)
    pictures = VaeImageProcessor().postprocess(decoded, output_type="pil")
    expected_pixels = np.stack([np.asarray(picture) for picture in pictures])
    found = ours.decode(latents)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected_pixels).max() <= 1
    assert (found == expected_pixels).mean() > 0.99


def test_weights_of_old_files_are_known_by_their_old_names(folder: Path, tmp_path: Path) -> None:
    tensors = load_file(folder / f"{WEIGHTS}.safetensors")
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {}
    for name, tensor in tensors.items():
        for now, before in names.items():
            name = name.replace(f".{now}.", f".{before}.")
        old[name] = tensor
    assert sum(".query." in name for name in old) == 4
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    save_file(old, tmp_path / f"{WEIGHTS}.safetensors")
    latents = np.random.default_rng(0).normal(size=(1, 4, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(opened(tmp_path).decode(latents), opened(folder).decode(latents))


def test_opening_draws_nothing_and_a_pipeline_is_known_by_its_vae(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "model_index.json").write_text('{"_class_name": "DiTPipeline"}')
    (tmp_path / "pipeline" / "vae").symlink_to(folder)
    state = torch.get_rng_state()
    assert opened(tmp_path / "pipeline").files.folder == tmp_path / "pipeline" / "vae"
    assert torch.equal(state, torch.get_rng_state())


def test_what_the_config_says(tmp_path: Path) -> None:
    files = find_autoencoder(save_autoencoder(tmp_path, scaling_factor=0.5, shift_factor=0.1, latent_channels=2))
    assert (files.scale, files.shift, files.channels, files.factor) == (0.5, (0.1, 0.1), 2, 4)
    described = json.loads((tmp_path / "config.json").read_text())
    del described["scaling_factor"]
    (tmp_path / "config.json").write_text(json.dumps(described))
    assert find_autoencoder(tmp_path).scale == 0.18215


def change(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_what_is_no_autoencoder_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone: no such folder"):
        find_autoencoder(tmp_path / "gone")
    with pytest.raises(UserError, match=r"is no autoencoder that diffusers saved; needs config\.json"):
        find_autoencoder(tmp_path)
    vae = save_autoencoder(tmp_path / "vae")
    change(vae, latents_mean=[0.0] * 4)
    with pytest.raises(UserError, match="latents_mean"):
        find_autoencoder(vae)
    change(vae, latents_mean=None, norm_num_groups=3)
    with pytest.raises(UserError, match="cannot be built"):
        opened(vae)
    change(vae, norm_num_groups=4, latent_channels=6)
    with pytest.raises(UserError, match=r"tensor encoder\.conv_out\.weight is .*, its config says"):
        opened(vae)
    change(vae, latent_channels=4, layers_per_block=2)
    with pytest.raises(UserError, match="missing"):
        opened(vae)
    change(vae, layers_per_block=1, scaling_factor="much")
    with pytest.raises(UserError, match="damaged"):
        find_autoencoder(vae)
    change(vae, _class_name="AutoencoderTiny")
    with pytest.raises(UserError, match="describes a AutoencoderTiny; only an AutoencoderKL"):
        find_autoencoder(vae)
    (tmp_path / "vae" / f"{WEIGHTS}.safetensors").unlink()
    change(vae, _class_name="AutoencoderKL", scaling_factor=1.0)
    with pytest.raises(UserError, match="its weights are missing"):
        find_autoencoder(vae)


class Malicious:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_weights_are_never_executed(tmp_path: Path) -> None:
    vae = save_autoencoder(tmp_path / "vae", safe=False)
    torch.save({"weight": Malicious(tmp_path / "executed")}, vae / f"{WEIGHTS}.bin")
    with pytest.raises(UserError, match=r"\.bin: asks for .* which is refused"):
        opened(vae)
    (vae / f"{WEIGHTS}.bin").write_bytes(pickle.dumps(Malicious(tmp_path / "executed")))
    with pytest.raises(UserError, match=r"\.bin: is in torch's old format"):
        opened(vae)
    assert not (tmp_path / "executed").exists()
    torch.save([1, 2], vae / f"{WEIGHTS}.bin")
    with pytest.raises(UserError, match="holds no dictionary of tensors"):
        opened(vae)


def test_a_missing_diffusers_is_named_with_its_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UserError, match=r"pip install 'beeline\[vae\]'"):
        opened(folder)


def test_latents_that_are_no_numbers_are_told(folder: Path) -> None:
    with pytest.raises(RunError, match="infinite or NaN"):
        opened(folder).decode(np.full((1, 4, 4, 4), np.nan, dtype=np.float32))

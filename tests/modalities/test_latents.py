"""Latents as data: trained on as they are stored, and shown as the images they decode to."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import beeline
from beeline.cli.encode import encode
from beeline.cli.main import run as run_command
from beeline.cli.recipes import find_recipe
from beeline.cli.sample import sample
from beeline.cli.train import train
from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.core.offers import Decoding
from beeline.data.normalisers import Scale
from beeline.modalities.images import Images
from beeline.modalities.latents import Latents
from beeline.modalities.loading import find_modality
from tests.conftest import FAST
from tests.data.autoencoders import make_autoencoder, save_autoencoder
from tests.data.images import folder_of


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, an autoencoder, latents and a run of a few steps on them."""
    home = tmp_path_factory.mktemp("home")
    save_autoencoder(home / "pipeline" / "vae")
    folder_of(home / "images", {"cat": 12, "dog": 12}, (20, 24))
    encode(home / "images", home / "latents", home / "pipeline", size=16)
    train(str(home / "latents"), home / "run", options={**FAST, "train.steps": 6})
    return home


def decoded(latents: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """By diffusers, in its own rounding."""
    from diffusers.image_processor import VaeImageProcessor

    with torch.no_grad():
        images = make_autoencoder().decode(torch.from_numpy(latents).permute(0, 3, 1, 2)).sample
    return np.stack([np.asarray(each) for each in VaeImageProcessor().postprocess(images, output_type="pil")])


def agree(images: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> bool:
    return images.shape == others.shape and int(np.abs(images.astype(int) - others.astype(int)).max()) <= 1


def test_a_folder_of_latents_is_trained_on_as_one_of_images_is(home: Path) -> None:
    recipe = find_recipe(home / "latents")
    assert (recipe.values["modality"], recipe.values["data"]) == ("latents", {"path": str(home / "latents")})
    assert recipe.values["train"]["batch_size"] is None
    description = json.loads((home / "run" / "model.json").read_text())
    assert description["modality"]["options"]["vae"] == str(home / "pipeline" / "vae")
    assert description["normaliser"]["arguments"] == {"scale": 0.25, "shift": []}
    assert description["training"]["examples"] == 2 * 19
    labels = description["conditions"][0]["arguments"]
    assert (labels["classes"], labels["names"]) == (2, ["cat", "dog"])
    assert sorted(path.name for path in (home / "run" / "samples").glob("*.png")) == ["label-cat.png", "label-dog.png"]


def test_what_is_learned_has_unit_scale_and_what_is_sampled_has_the_latents_own(home: Path) -> None:
    engine = beeline.load(home / "run", device="cpu")
    stored = Latents(str(home / "latents")).dataset("train")[3]
    tokens = engine.codec.encode(stored).tokens
    np.testing.assert_allclose(engine.codec.tokenizer.decode(tokens).numpy(), 0.25 * stored.array, rtol=1e-6)
    np.testing.assert_allclose(engine.codec.decode(tokens)[0], stored.array, rtol=1e-6)


def test_samples_are_the_images_that_diffusers_makes_of_the_latents(home: Path) -> None:
    engine = beeline.load(home / "run", device="cpu")
    images, latents = engine.sample(5, seed=3), engine.sample(5, seed=3, decode=False)
    assert isinstance(images, np.ndarray)
    assert isinstance(latents, np.ndarray)
    assert (images.shape, images.dtype) == ((5, 16, 16, 3), np.uint8)
    assert (latents.shape, latents.dtype) == ((5, 4, 4, 4), np.float32)
    assert agree(images, decoded(latents))
    native = engine.generate(engine.requests(5, {}), seed=3)
    assert all(np.array_equal(one.array, other) for one, other in zip(native.examples, latents, strict=True))
    in_twos = engine.decode(native, batch_size=2)
    assert in_twos is not None
    assert agree(np.stack([each.array for each in in_twos.examples]), images)
    of_two_extents = [Example(np.zeros(shape, dtype=np.float32)) for shape in ((4, 4, 4), (4, 6, 4), (4, 4, 4))]
    assert isinstance(engine.modality, Decoding)
    shown = engine.modality.decoded(of_two_extents, "cpu") or ()
    assert [each.array.shape for each in shown] == [(16, 16, 3), (16, 24, 3), (16, 16, 3)]


def test_written_samples_are_images_with_their_latents_beside(home: Path, tmp_path: Path) -> None:
    written = sample(home / "run", 3, {"label": ["cat"]}, 1, tmp_path / "out", device="cpu")
    assert [path.name for path in written] == ["samples.png", "samples.npz", "latents.npz", "samples.json"]
    images, latents = (np.load(tmp_path / "out" / f"{name}.npz")["samples"] for name in ("samples", "latents"))
    assert agree(images, decoded(latents))
    with Image.open(tmp_path / "out" / "samples.png") as picture:
        enlarged = np.asarray(picture.convert("RGB"))[4:68:4, 4:68:4]
    np.testing.assert_array_equal(enlarged, images[0])
    record = json.loads((tmp_path / "out" / "samples.json").read_text())
    index = json.loads((home / "latents" / "latents.json").read_text())
    assert (record["vae"], record["vae_sha256"]) == (str(home / "pipeline" / "vae"), index["vae_sha256"])
    assert record["seed"] == 1
    (one, _) = sample(home / "run", 3, {"label": ["cat"]}, 1, tmp_path / "one.npz", device="cpu")
    np.testing.assert_array_equal(np.load(one)["samples"], images)


def test_another_autoencoder_decodes_or_none(home: Path, tmp_path: Path) -> None:
    other = save_autoencoder(tmp_path / "other", safe=False, seed=1)
    out = ["--out", str(tmp_path / "a.npz"), "-n", "2", "--device", "cpu"]
    assert run_command(["sample", str(home / "run"), *out, "--vae", str(other)]) == 0
    expected = beeline.load(home / "run", device="cpu").sample(2, decode=False)
    with torch.no_grad():
        raw = make_autoencoder(1).decode(torch.from_numpy(np.asarray(expected)).permute(0, 3, 1, 2)).sample
    images = np.rint((raw / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy() * 255)
    assert agree(np.load(tmp_path / "a.npz")["samples"], images)
    assert run_command(["sample", str(home / "run"), *out, "--vae", "none"]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["samples"], expected)
    assert "vae" not in json.loads((tmp_path / "a.provenance.json").read_text())


def test_a_run_samples_without_its_data_and_says_what_lacks_without_its_autoencoder(
    home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], small_run: Path
) -> None:
    copy = Path(shutil.copytree(home, tmp_path / "home"))
    description = copy / "run" / "model.json"
    description.write_text(description.read_text().replace(str(home), str(copy)))
    shutil.rmtree(copy / "latents")
    assert np.asarray(beeline.load(copy / "run").sample(2)).shape == (2, 16, 16, 3)
    shutil.rmtree(copy / "pipeline")
    engine = beeline.load(copy / "run")
    with pytest.raises(UserError, match="is not there; name its folder anew, or none"):
        engine.sample(2)
    assert np.asarray(engine.sample(2, decode=False)).shape == (2, 4, 4, 4)
    picture = engine.modality.preview([Example(np.zeros((4, 4, 4), dtype=np.float32))])
    assert picture.size == (72, 72)
    assert run_command(["sample", str(small_run), "--vae", str(copy), "--out", str(tmp_path / "a.npz")]) == 2
    assert "this model's samples are not latents" in capfd.readouterr().err


def test_scores_and_report_are_made_of_latents(home: Path) -> None:
    """Native is compared with native: the numbers are those of latents."""
    (record,) = beeline.evaluate(home / "run", n=12, device="cpu")
    modality, engine = Latents(str(home / "latents")), beeline.load(home / "run", device="cpu")
    held_out = modality.dataset("held_out")
    labels = [held_out[place % len(held_out)].condition["label"] for place in range(12)]
    drawn = engine.generate(engine.requests(12, {"label": labels}), seed=0).examples
    (metric,) = modality.metrics()
    assert (record.metric, record.space, record.formula) == (metric.name, "modality", f"latents/{metric.name}")
    assert record.value == pytest.approx(metric.function(modality.dataset("train"), held_out, drawn), rel=1e-5)


def test_without_a_path_there_is_a_decoder_and_no_data(home: Path) -> None:
    modality = find_modality("latents").make({"vae": str(home / "pipeline" / "vae"), "patch": 4})
    with pytest.raises(UserError, match="path: missing; 'beeline convert IMAGES LATENTS --vae FOLDER'"):
        modality.dataset("train")
    assert modality.normaliser() == Scale(0.25)
    tokenizer = modality.tokenizer()
    assert tokenizer.width == 4 * 4 * 4
    assert list(modality.conditions()) == []
    latents = np.random.default_rng(0).normal(size=(2, 4, 4, 4)).astype(np.float32)
    examples = [Example(each, {"label": 1}) for each in latents]
    assert isinstance(modality, Decoding)
    shown = modality.decoded(examples, "cpu")
    assert shown is not None
    assert agree(np.stack([each.array for each in shown]), decoded(latents))
    assert [each.condition for each in shown] == [{"label": 1}] * 2
    assert modality.preview(examples).tobytes() == modality.preview(shown).tobytes()
    assert modality.preview(examples).tobytes() != Latents().preview(examples).tobytes()
    assert Latents().decoded(examples) is None
    assert Latents().decoder() == {}


def test_what_does_not_fit_is_told_in_a_line(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for options, match in (
        ({"path": ""}, r"data\.path: missing; say where the latents are"),
        ({"vae": ""}, r"data\.vae: is empty"),
        ({"patch": 0}, r"data\.patch 0: must be at least 1"),
        ({"held_out": 1.0}, r"data\.held_out 1\.0: must lie between"),
    ):
        with pytest.raises(UserError, match=match):
            find_modality("latents").make(options)
    with pytest.raises(UserError, match=r"holds no latents \(latents\.json\); 'beeline convert IMAGES"):
        Latents(str(home / "images")).settle(64)
    other = save_autoencoder(tmp_path / "other", latent_channels=2)
    with pytest.raises(UserError, match=r"has latents of 2 channels, one cell for 4 pixels; those in .* have 4, one"):
        Latents(str(home / "latents"), vae=str(other)).settle(64)
    copy = Path(shutil.copytree(home / "latents", tmp_path / "latents"))
    index = json.loads((copy / "latents.json").read_text())
    (copy / "latents.json").write_text(json.dumps({**index, "vae_sha256": "0"}))
    with pytest.raises(UserError, match="has changed since it made"):
        Latents(str(copy)).settle(64)
    (copy / "latents.json").write_text(json.dumps({**index, "vae": str(tmp_path / "gone")}))
    assert Latents(str(copy)).settle(64)[0].vae == "none"
    (copy / "latents.npy").write_bytes((copy / "latents.npy").read_bytes()[:-64])
    with pytest.raises(UserError, match=r"latents\.npy: damaged"):
        Latents(str(copy)).dataset("train")
    (copy / "images.json").write_text((copy / "images.json").read_text().replace("0, 0", "1, 0", 1))
    with pytest.raises(UserError, match=r"images\.json: is not the one"):
        Latents(str(copy)).dataset("train")
    (copy / "latents.json").write_text(json.dumps({**index, "scale": "much"}))
    with pytest.raises(UserError, match=r"latents\.json: damaged"):
        Latents(str(copy)).dataset("train")
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UserError, match=r"pip install 'beeline\[vae\]'"):
        train(str(home / "latents"), tmp_path / "run", options=FAST)


def test_only_latents_decode() -> None:
    assert not isinstance(Images(), Decoding)

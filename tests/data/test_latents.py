"""Cached latents: which numbers, of which images, whatever the batch and however often it was stopped."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from beeline.cli.encode import encode
from beeline.cli.main import run as run_command
from beeline.core.errors import UserError
from beeline.core.files import append_bytes
from beeline.core.random import Key
from beeline.data import image_choice, latent_encoding, latent_store
from beeline.data.image_files import read_image
from beeline.data.image_reading import Reading
from beeline.data.normalisers import Scale
from beeline.modalities.images import Images
from beeline.modalities.latents import Latents
from tests.data.autoencoders import make_autoencoder, save_autoencoder
from tests.data.images import folder_of, pixels, save


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_autoencoder(tmp_path_factory.mktemp("vae") / "vae")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("images") / "images", {"cat": 6, "dog": 7}, (20, 24))


@pytest.fixture(scope="module")
def latents(images: Path, vae: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(images, tmp_path_factory.mktemp("latents") / "latents", vae, size=16, batch_size=4, device="cpu")


def numbers(folder: Path) -> Any:
    return np.load(folder / "latents.npy")


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_stored_latents_are_drawn_from_the_posterior_of_each_image_and_of_its_mirror_image(
    images: Path, latents: Path
) -> None:
    """z = m + s n as diffusers computes m and s; n is named by (seed, image number, flip) alone; no scale."""
    theirs, stored = make_autoencoder(), numbers(latents)
    assert stored.shape == (13, 2, 4, 4, 4)
    assert stored.dtype == np.float32
    names = json.loads((latents / "images.json").read_text())["file"]
    for number in (0, 5, 12):
        image = read_image(images / names[number], Reading(16, 16, 3), "")
        for flip, side in enumerate((image, image[:, ::-1].copy())):
            noise = Key(0, torch.tensor([number])).fold("posterior").fold(flip).normal(64).view(1, 4, 4, 4).float()
            with torch.no_grad():
                posterior = theirs.encode(torch.from_numpy(side).permute(2, 0, 1)[None] / 127.5 - 1).latent_dist
            expected = (posterior.mean + posterior.std * noise)[0].permute(1, 2, 0).numpy()
            np.testing.assert_allclose(stored[number, flip], expected, atol=1e-5 * np.abs(expected).max(), rtol=0)
    other = np.abs(stored[:, 0] - stored[:, 1, :, ::-1]).mean(axis=(1, 2, 3))
    assert (other > 0.1).all()  # the mirror image has draws of its own


def test_another_batch_size_gives_the_same_latents(images: Path, vae: Path, latents: Path, tmp_path: Path) -> None:
    again = encode(images, tmp_path / "again", vae, size=16, batch_size=5, device="cpu")
    np.testing.assert_allclose(numbers(again), numbers(latents), atol=1e-5)
    assert not np.allclose(numbers(encode(images, tmp_path / "seed", vae, size=16, seed=1)), numbers(latents))


class StoppedError(BaseException):
    """Like a kill: nothing is tidied up after it."""


@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize("marks", [0.0, 1e9])
def test_a_second_run_ends_as_if_the_first_had_not_been_stopped(
    images: Path, vae: Path, latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int, marks: float
) -> None:
    """Whether progress was marked at every batch or never, and with half a batch written."""
    target, batches = tmp_path / "latents", 0

    def append(path: Path, data: bytes) -> None:
        nonlocal batches
        batches += 1
        if batches == stop:
            append_bytes(path, data[: len(data) // 2 + 1])
            raise StoppedError
        append_bytes(path, data)

    monkeypatch.setattr(latent_store, "_SECONDS_BETWEEN_MARKS", marks)
    with monkeypatch.context() as patch:
        patch.setattr(latent_store, "append_bytes", append)
        with pytest.raises(StoppedError):
            encode(images, target, vae, size=16, batch_size=4, device="cpu")
    with pytest.raises(UserError, match=r"holds the latents of \d of 13 images; the same 'beeline convert'"):
        Latents(str(target)).dataset("train")
    if marks == 0:  # only what is lacking is read again
        read: list[int] = []
        known = latent_encoding._read_ahead

        def read_ahead(*given: Any) -> Any:
            read.append(given[2])
            return known(*given)

        monkeypatch.setattr(latent_encoding, "_read_ahead", read_ahead)
        encode(images, target, vae, size=16, batch_size=4, device="cpu")
        assert read == [4 * (stop - 1)]
    else:
        encode(images, target, vae, size=16, batch_size=4, device="cpu")
    assert digest(target) == digest(latents)


def test_a_file_shorter_than_its_progress_says_is_begun_again(
    images: Path, vae: Path, latents: Path, tmp_path: Path
) -> None:
    """As a power cut may leave it: the rest must not be taken for zeros."""
    target = tmp_path / "latents"
    shutil.copytree(latents, target)
    (target / "latents.npy").rename(target / "latents.partial")
    os.truncate(target / "latents.partial", 1000)
    (target / "progress.json").write_text('{"done": 8}')
    encode(images, target, vae, size=16, batch_size=4, device="cpu")
    assert digest(target) == digest(latents)


def test_a_finished_folder_is_left_as_it_is_and_another_request_is_refused_by_name(
    images: Path, vae: Path, latents: Path, tmp_path: Path
) -> None:
    before = digest(latents)
    encode(images, latents, vae, size=16, device="cpu")
    for options, match in (
        ({"size": 32}, "was begun with size 16x16, not 32x32"),
        ({"size": 16, "flips": False}, "flips True, not False"),
        ({"size": 16, "seed": 3}, "seed 0, not 3"),
        ({"size": 16, "labels": "none"}, "the images, or their labels, have changed"),
    ):
        with pytest.raises(UserError, match=match):
            encode(images, latents, vae, **options)
    with pytest.raises(UserError, match="begun with another autoencoder"):
        encode(images, latents, save_autoencoder(tmp_path / "vae", seed=1), size=16)
    assert digest(latents) == before
    with latent_store.claimed(latents), pytest.raises(UserError, match="another process is filling it"):
        encode(images, latents, vae, size=16)
    with pytest.raises(UserError, match=r"latents\.npy: is a file"):
        encode(images, latents / "latents.npy", vae, size=16)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match=r"holds something else \(thesis\.tex\)"):
        encode(images, tmp_path / "full", vae, size=16)


def test_the_index_says_what_the_latents_are(images: Path, vae: Path, latents: Path) -> None:
    index = latent_store.read_index(latents)
    assert (index.scale, index.names, index.size, index.flips) == (0.25, ("cat", "dog"), (16, 16), True)
    weights = (vae / "diffusion_pytorch_model.safetensors").read_bytes()
    assert (index.vae, index.vae_sha256) == (str(vae), hashlib.sha256(weights).hexdigest())
    columns = latent_store.read_images(latents, index)
    assert list(columns.file[:2]) == ["cat/0000.png", "cat/0001.png"]
    assert columns.label == [0] * 6 + [1] * 7
    assert set(columns.split) == {"none"}


def test_both_flips_train_and_neither_leaves_its_side(images: Path, latents: Path) -> None:
    modality = Latents(str(latents))
    training, held_out = modality.dataset("train"), modality.dataset("held_out")
    assert (len(training), len(held_out)) == (2 * 10, 3)
    stored = numbers(latents)
    names = list(latent_store.read_images(latents, latent_store.read_index(latents)).file)
    for place, example in enumerate(training):
        number = names.index(str(example.group))
        np.testing.assert_array_equal(example.array, stored[number, int(place >= 10)])
        assert example.condition == {"label": int(number >= 6)}
    for example in held_out:
        np.testing.assert_array_equal(example.array, stored[names.index(str(example.group)), 0])
    assert not {each.group for each in training} & {each.group for each in held_out}
    again = pickle.loads(pickle.dumps(training))
    np.testing.assert_array_equal(again[13].array, training[13].array)
    assert len(pickle.dumps(training)) < 5000


def test_latents_are_split_as_their_images_are(images: Path, latents: Path) -> None:
    by_image = Images(str(images)).dataset("held_out")
    expected = [Path(by_image.name(place)).relative_to(images) for place in range(len(by_image))]  # type: ignore[attr-defined]
    assert [str(each) for each in expected] == [each.group for each in Latents(str(latents)).dataset("held_out")]


def test_a_split_that_is_told_is_kept(vae: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "images", {"train/a": 3, "train/b": 3, "test/a": 1, "test/b": 1}, (16, 16))
    modality = Latents(str(encode(folder, tmp_path / "latents", vae, size=16, flips=False)))
    assert [each.group for each in modality.dataset("held_out")] == ["test/a/0000.png", "test/b/0000.png"]
    assert len(modality.dataset("train")) == 6
    with pytest.raises(UserError, match="split already"):
        Latents(str(tmp_path / "latents"), held_out=0.5).dataset("train")


def test_groups_of_a_manifest_stay_together(vae: Path, tmp_path: Path) -> None:
    folder_of(tmp_path / "images", {"": 8}, (16, 16))
    rows = "".join(f"{number:04}.png,{number % 2},g{number // 2}\n" for number in range(8))
    (tmp_path / "images" / "table.csv").write_text(f"file,label,group\n{rows}")
    modality = Latents(str(encode(tmp_path / "images", tmp_path / "latents", vae, size=16, labels="table.csv")))
    groups = [{each.group for each in modality.dataset(split)} for split in ("train", "held_out")]
    assert groups[0] | groups[1] == {"g0", "g1", "g2", "g3"}
    assert not groups[0] & groups[1]


def test_arrays_of_grey_images_are_encoded_too(vae: Path, tmp_path: Path) -> None:
    array = np.stack([pixels(16, 16, 1, seed) for seed in range(5)])
    np.savez(tmp_path / "digits.npz", images=array, labels=np.arange(5) % 2)
    folder = encode(tmp_path / "digits.npz", tmp_path / "latents", vae, size=16)
    assert numbers(folder).shape == (5, 2, 4, 4, 4)
    assert latent_store.read_index(folder).classes == 2
    np.save(tmp_path / "floats.npy", array.astype(np.float32))
    with pytest.raises(UserError, match="holds floats"):
        encode(tmp_path / "floats.npy", tmp_path / "other", vae, size=16)


def test_what_cannot_be_encoded_is_told_in_a_line(images: Path, vae: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="size 18: this autoencoder needs a multiple of 4, such as 16"):
        encode(images, tmp_path / "latents", vae, size=18)
    with pytest.raises(UserError, match="size auto"):
        encode(images, tmp_path / "latents", vae, size="auto")
    with pytest.raises(UserError, match=r"no such folder or file$"):
        encode(tmp_path / "gone", tmp_path / "latents", vae)
    with pytest.raises(UserError, match="did you mean 'flips'"):
        encode(images, tmp_path / "latents", vae, flip=True)
    folder = folder_of(tmp_path / "images", {"a": 4}, (16, 16))
    save(folder / "a" / "torn.png", pixels(64, 64))
    torn = (folder / "a" / "torn.png").read_bytes()
    (folder / "a" / "torn.png").write_bytes(torn[: len(torn) // 2])
    with pytest.raises(UserError, match=r"torn\.png'.* --bad-files leave_out"):
        encode(folder, tmp_path / "latents", vae, size=16)
    assert not (tmp_path / "latents").exists()
    assert numbers(encode(folder, tmp_path / "latents", vae, size=16, bad_files="leave_out")).shape[0] == 4


def test_an_image_that_turns_out_damaged_is_named_and_the_rest_is_kept(
    images: Path, vae: Path, latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latent_store, "_SECONDS_BETWEEN_MARKS", 0.0)
    victim = images / "dog" / "0004.png"
    whole = victim.read_bytes()
    known = image_choice.choose

    def spoil(*given: Any) -> Any:
        victim.write_bytes(whole[:60])
        return known(*given)

    monkeypatch.setattr(latent_encoding, "choose", spoil)
    try:
        with pytest.raises(UserError, match=r"dog/0004\.png"):
            encode(images, tmp_path / "latents", vae, size=16, batch_size=4)
    finally:
        victim.write_bytes(whole)
    monkeypatch.undo()
    assert json.loads((tmp_path / "latents" / "progress.json").read_text()) == {"done": 8}
    encode(images, tmp_path / "latents", vae, size=16, batch_size=4)
    assert numbers(tmp_path / "latents").tobytes() == numbers(latents).tobytes()


def test_the_command_line_encodes(
    images: Path, vae: Path, latents: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ["--vae", str(vae), "--size", "16", "--batch-size", "4", "--device", "cpu"]
    assert run_command(["convert", str(images), str(tmp_path / "latents"), *flags]) == 0
    assert "latents 4x4x4 of 13 images and their mirror images, float32, 6.66 kB" in capfd.readouterr().out
    assert digest(tmp_path / "latents") == digest(latents)
    assert run_command(["convert", str(images), str(tmp_path / "one"), *flags, "--no-flips"]) == 0
    assert numbers(tmp_path / "one").shape[1] == 1
    for words, message in (
        ([str(images), str(tmp_path / "x"), "--size", "16"], "--size: is about encoding images, which needs --vae"),
        ([str(images), "--vae", str(vae)], "say where the latents go"),
        ([str(images), str(tmp_path / "x"), "--vae", str(vae), "--weights", "raw"], "--weights: is about trained"),
        ([str(images), str(tmp_path / "x"), "--vae", str(images)], "is no autoencoder"),
    ):
        capfd.readouterr()
        assert run_command(["convert", *words]) == 2
        assert message in capfd.readouterr().err


def test_scale_brings_latents_to_unit_scale_and_back() -> None:
    scale, array = Scale(0.5, (1.0, -2.0)), np.array([[3.0, 4.0]], dtype=np.float32)
    np.testing.assert_array_equal(scale.apply(array), np.array([[1.0, 3.0]], dtype=np.float32))
    np.testing.assert_array_equal(scale.undo(scale.apply(array)), array)
    assert scale.apply(array).dtype == scale.undo(array).dtype == np.float32
    with pytest.raises(UserError, match="above 0"):
        Scale(0.0)

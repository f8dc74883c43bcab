"""What users bring is taken as it is, or refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from beeline.core.errors import UserError
from beeline.data.normalisers import Pixels, Standardise
from beeline.generate.inputs import read_inputs, read_masks
from beeline.modalities.images import Images
from beeline.modalities.panels import Panels
from beeline.modalities.waves import Waves
from beeline.model.codec import Codec
from beeline.tokenizers.grid import GridTokenizer
from beeline.tokenizers.sets import SetTokenizer

GREY = Codec(Pixels(), GridTokenizer((2, 2)), (), forms=(((8, 8), 3),))
COLOUR = Codec(Pixels(), GridTokenizer((2, 2), channels=3), (), forms=(((8, 8), 3),))
WAVES = Codec(Standardise(mean=(0.0,), deviation=(2.0,)), GridTokenizer((4,)), (), forms=(((16,), 3), ((48,), 1)))
PANELS = Codec(Standardise(False, (0.0,), (1.0,)), SetTokenizer(5), (), forms=(((0, 1, 2, 3, 4), 9),))


def save(path: Path, array: np.ndarray[Any, Any]) -> Path:
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, samples=array)
    else:
        Image.fromarray(array).save(path)
    return path


def pixels(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("codec", "array", "shapes"),
    [
        (GREY, pixels(8, 8), [(8, 8, 1)]),
        (GREY, pixels(8, 8, 1), [(8, 8, 1)]),
        (GREY, pixels(3, 8, 8), [(8, 8, 1)] * 3),
        (GREY, pixels(3, 8, 8, 1), [(8, 8, 1)] * 3),
        (COLOUR, pixels(8, 8, 3), [(8, 8, 3)]),
        (COLOUR, pixels(2, 8, 8, 3), [(8, 8, 3)] * 2),
        (WAVES, np.linspace(-1, 1, 20), [(20, 1)]),
        (WAVES, np.linspace(-1, 1, 40).reshape(2, 20), [(20, 1)] * 2),
        (PANELS, np.array([1.0, np.nan, 2.0, 0.0, 3.0]), [(5,)]),
        (PANELS, np.ones((4, 5)), [(5,)] * 4),
    ],
)
@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_arrays_are_one_sample_or_a_stack(
    codec: Codec, array: np.ndarray[Any, Any], shapes: list[tuple[int, ...]], ending: str, tmp_path: Path
) -> None:
    found = read_inputs([save(tmp_path / f"x{ending}", array)], codec, Waves())
    assert [each.array.shape for each in found] == shapes
    assert np.array_equal(np.concatenate([each.array.ravel() for each in found]), array.ravel(), equal_nan=True)


def test_pictures_and_folders_are_read_as_they_are(tmp_path: Path) -> None:
    for name, shape in (("b.png", (8, 8)), ("a.png", (8, 8))):
        save(tmp_path / name, pixels(*shape))
    (tmp_path / "notes.txt").write_text("not ours")
    found = read_inputs([tmp_path, tmp_path / "b.png"], GREY, Images())
    assert [Path(each.name).name for each in found] == ["a.png", "b.png", "b.png"]
    assert np.array_equal(found[0].array[..., 0], pixels(8, 8))
    save(tmp_path / "samples.npz", pixels(2, 8, 8, 1))
    assert [Path(each.name).name for each in read_inputs([tmp_path], GREY, Images())] == [
        "samples.npz:samples[0]",
        "samples.npz:samples[1]",
    ]


@pytest.mark.parametrize(
    ("codec", "name", "array", "message"),
    [
        (GREY, "x.png", pixels(8, 8, 3), "x.png: is rgb of 8 bits, and grey of 8 bits is wanted; convert it first"),
        (GREY, "x.png", pixels(6, 8), "x.png: is 6x8, and the model was trained on 8x8; bring it to that size first"),
        (GREY, "x.npy", pixels(8, 8) / 255, "x.npy: Pixels are 8-bit (uint8), not float64"),
        (GREY, "x.npy", pixels(8, 8, 3), "x.npy: an array of shape (8, 8, 3) does not fit: need 2 axes"),
        (GREY, "x.npy", np.array(["a"]), "x.npy: need real numbers, found <U1"),
        (COLOUR, "x.png", pixels(8, 8), "x.png: is grey of 8 bits, and rgb of 8 bits is wanted"),
        (WAVES, "x.png", pixels(8, 8), "x.png: is a picture, and this model's data are none; bring them as .npy"),
        (WAVES, "x.npy", np.ones(60), "x.npy: is 60, and the model was trained on 16..48"),
        (WAVES, "x.npy", np.full(20, np.inf), "x.npy: an array holds infinity"),
        (WAVES, "x.npy", np.full(20, np.nan), "x.npy: an array holds NaN"),
        (PANELS, "x.npy", np.ones(4), "x.npy: an array of shape (4,) does not fit: need (5,)"),
        (PANELS, "x.npy", np.full(5, np.nan), "x.npy: a set without a single measured entry"),
    ],
)
def test_what_does_not_fit_is_refused(
    codec: Codec, name: str, array: np.ndarray[Any, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        read_inputs([save(tmp_path / name, array)], codec, Panels())
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(message)


def test_numbers_that_would_come_back_changed_are_refused(tmp_path: Path) -> None:
    class Clipping(Standardise):
        def apply(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            return np.clip(super().apply(array), -1, 1)

    codec = Codec(Clipping(mean=(0.0,), deviation=(1.0,)), GridTokenizer((4,)), ())
    read_inputs([save(tmp_path / "x.npy", np.linspace(-1, 1, 20))], codec, Waves())
    with pytest.raises(UserError, match=r"y\.npy: holds numbers that the model's normaliser would not give back"):
        read_inputs([save(tmp_path / "y.npy", np.linspace(-2, 2, 20))], codec, Waves())


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no picture, .npy or .npz file"),
        ({"x.npy": b"damaged"}, "x.npy: cannot be read"),
        ({"x.npz": b"damaged"}, "x.npz: cannot be read"),
        ({"x.png": b"damaged"}, "x.png: "),
    ],
)
def test_what_cannot_be_read_is_named(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_inputs([tmp_path], GREY, Images())
    assert message in str(caught.value)
    with pytest.raises(UserError, match="gone: no such file or folder"):
        read_inputs([tmp_path / "gone"], GREY, Images())


def test_arrays_among_others_have_to_be_called_samples(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", one=pixels(8, 8), other=pixels(8, 8))
    with pytest.raises(UserError, match=r"x\.npz: holds one, other; call the array of samples 'samples'"):
        read_inputs([tmp_path / "x.npz"], GREY, Images())


def test_masks_are_one_for_all_or_one_for_each(tmp_path: Path) -> None:
    arrays = [pixels(8, 8, 1)] * 3
    left = np.zeros((8, 8), bool)
    left[:, :4] = True
    for name, array in (("m.npy", left), ("f.npy", left[..., None] * 0.5), ("m.png", left * np.uint8(255))):
        found = read_masks(save(tmp_path / name, array), arrays)
        assert [each.shape for each in found] == [(8, 8, 1)] * 3
        assert all(np.array_equal(each[..., 0], left) for each in found)
    several = np.stack([left, ~left, left])
    for name, array in (("s.npy", several), ("s4.npy", several[..., None])):
        found = read_masks(save(tmp_path / name, array), arrays)
        assert np.array_equal(np.stack(found)[..., 0], several)
    for name, array, message in (
        ("two.npy", several[:2], r"a mask of shape 2x8x8 over data of 8x8x1; it needs their extents"),
        ("wide.npy", np.ones((8, 6)), r"a mask of shape 8x6 over data of 8x8x1"),
        ("nan.npy", np.full((8, 8), np.nan), "a mask holds true and false, or numbers"),
        ("rgb.png", pixels(8, 8, 3), "is rgb of 8 bits, and grey of 8 bits is wanted"),
    ):
        with pytest.raises(UserError, match=message):
            read_masks(save(tmp_path / name, array), arrays)
    assert read_masks(save(tmp_path / "set.npy", np.array([1, 0, 1, 0, 0])), [np.ones(5)])[0].tolist() == [
        True, False, True, False, False,
    ]  # fmt: skip

"""Reading one image file: what comes out is what the policy says, bit for bit where it can be."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from beeline.core.errors import UserError
from beeline.data.image_files import Header, UnusableError, look, read_image
from beeline.data.image_reading import Reading, array_as, fitted
from tests.data.images import pixels, save


def test_an_image_of_the_right_size_comes_through_bit_for_bit(tmp_path: Path) -> None:
    for channels in (1, 3, 4):
        array = pixels(6, 9, channels)
        path = save(tmp_path / f"{channels}.png", array)
        assert look(path) == Header(9, 6, channels, 8)
        assert np.array_equal(read_image(path, Reading(6, 9, channels)), array)


def test_a_crop_that_needs_no_scaling_takes_pixels_as_they_are(tmp_path: Path) -> None:
    array = pixels(8, 13, 3)
    read = read_image(save(tmp_path / "a.png", array), Reading(8, 8, 3))
    assert np.array_equal(read, array[:, 2:10])


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(1, 12),
    st.sampled_from(["crop", "stretch", "pad"]),
)  # fmt: skip
def test_every_size_and_fit_gives_the_size_asked_for(
    height: int, width: int, rows: int, columns: int, fit: str
) -> None:
    reading = Reading(rows, columns, 3, fit=fit)  # type: ignore[arg-type]
    grey = Image.fromarray(np.full((height, width, 3), 100, dtype=np.uint8))
    array = np.asarray(fitted(grey, reading))
    assert array.shape == (rows, columns, 3)
    if fit == "pad":
        assert set(np.unique(array).tolist()) <= {0, 100}
        assert (array == 100).any()
    else:
        assert (array == 100).all(), "a constant image stays constant"


def test_making_smaller_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 1), dtype=np.uint8)
    stripes[:, ::2] = 255
    small = array_as(stripes, Reading(8, 8, 1))
    assert np.abs(small[:, 1:-1].astype(int) - 127).max() <= 3, "stripes finer than a pixel become grey"


def test_crop_keeps_the_middle_and_the_aspect(tmp_path: Path) -> None:
    array = np.zeros((10, 40, 1), dtype=np.uint8)
    array[:, 15:25] = 200
    read = read_image(save(tmp_path / "wide.png", array), Reading(5, 5, 1))
    assert read[:, 1:-1].min() > 190


def test_orientation_noted_by_a_camera_is_applied(tmp_path: Path) -> None:
    array = np.zeros((8, 16, 3), dtype=np.uint8)
    array[:, :8] = 255
    exif = Image.Exif()
    for turn, bright in ((1, "left"), (3, "right"), (6, "top"), (8, "bottom")):
        exif[0x0112] = turn
        path = save(tmp_path / f"{turn}.jpg", array, exif=exif, quality=95)
        header = look(path)
        height, width = (16, 8) if turn >= 5 else (8, 16)
        assert (header.height, header.width) == (height, width)
        read = read_image(path, Reading(height, width, 1))[..., 0].astype(float)
        halves = {
            "left": read[:, : width // 2], "right": read[:, width // 2 :],
            "top": read[: height // 2], "bottom": read[height // 2 :],
        }  # fmt: skip
        assert max(halves, key=lambda side: float(halves[side].mean())) == bright


def test_alpha_that_is_not_kept_is_laid_over_white(tmp_path: Path) -> None:
    array = np.zeros((2, 2, 4), dtype=np.uint8)
    array[..., 3] = [[0, 255], [128, 255]]
    path = save(tmp_path / "a.png", array)
    assert look(path).channels == 4
    expected = np.array([[255, 0], [127, 0]])
    assert np.array_equal(read_image(path, Reading(2, 2, 3))[..., 0], expected)
    assert np.array_equal(read_image(path, Reading(2, 2, 1))[..., 0], expected)
    assert np.array_equal(array_as(array, Reading(2, 2, 3))[..., 0], expected), "arrays as files"
    assert np.array_equal(read_image(path, Reading(2, 2, 4)), array)


def test_every_mode_is_read_as_colour_and_as_grey(tmp_path: Path) -> None:
    base = Image.fromarray(np.full((4, 4, 3), (200, 40, 10), dtype=np.uint8))
    for mode, ending, channels in (
        ("1", "png", 1), ("L", "png", 1), ("P", "png", 3), ("P", "gif", 3), ("LA", "png", 4), ("RGBA", "png", 4),
        ("CMYK", "jpg", 3), ("YCbCr", "jpg", 3), ("CMYK", "tif", 3), ("LAB", "tif", 3), ("RGB", "webp", 3),
    ):  # fmt: skip
        path = tmp_path / f"{mode}.{ending}"
        base.convert("RGB" if mode == "LAB" else mode).save(path)
        if mode == "LAB":
            Image.new("LAB", (4, 4), (60, 40, 40)).save(path)
        assert look(path, whole=True).channels == channels, (mode, ending)
        for wanted in (1, 3, 4):
            assert read_image(path, Reading(4, 4, wanted)).shape == (4, 4, wanted)
    palette = read_image(tmp_path / "P.png", Reading(4, 4, 3)).reshape(-1, 3)
    assert np.abs(palette.astype(int) - (200, 40, 10)).max() <= 52


def test_a_palette_with_transparency_raises_no_warning(tmp_path: Path) -> None:
    picture = Image.fromarray(pixels(4, 4, 3)).quantize(8)
    path = tmp_path / "p.png"
    picture.save(path, transparency=bytes([0, 128, 255]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert look(path).channels == 4
        assert read_image(path, Reading(4, 4, 3)).shape == (4, 4, 3)


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((4, 4), level, dtype=np.uint8)) for level in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif", Reading(4, 4, 1)).max() == 10


def test_sixteen_bits_of_grey_are_kept_and_of_colour_are_told(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (5, 7), dtype=np.uint16)
    path = tmp_path / "deep.png"
    Image.fromarray(deep).save(path)
    assert look(path) == Header(7, 5, 1, 16)
    assert np.array_equal(read_image(path, Reading(5, 7, 1, 16))[..., 0], deep)
    eight = read_image(path, Reading(5, 7, 1, 8))[..., 0]
    assert np.array_equal(eight, np.rint(deep / 257).astype(np.uint8))
    half = read_image(path, Reading(3, 3, 1, 16))
    assert half.dtype == np.uint16
    assert half.std() > 256
    shallow = save(tmp_path / "shallow.png", pixels(5, 7, 1))
    assert np.array_equal(read_image(shallow, Reading(5, 7, 1, 16)), pixels(5, 7, 1).astype(np.uint16) * 257)
    (tmp_path / "colour.png").write_bytes(_deep_colour())
    assert look(tmp_path / "colour.png") == Header(1, 1, 3, 8, "16-bit colour, read as 8")


def _deep_colour() -> bytes:
    """A PNG of one 16-bit colour pixel, which Pillow cannot write."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    data = zlib.compress(b"\0" + struct.pack(">HHH", 65535, 256, 0))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_damaged_files_say_what_is_wrong(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.png", pixels(64, 64)).read_bytes()
    photo = io.BytesIO()
    Image.fromarray(pixels(64, 64)).save(photo, "JPEG")
    cases = {
        "text.png": (b"not an image at all", "is no image"),
        "empty.png": (b"", "is empty"),
        "cut.png": (whole[: len(whole) // 2], "is damaged"),
        "cut.jpg": (photo.getvalue()[:-200], "is damaged"),
        "head.png": (whole[:20], "is"),
    }
    for name, (data, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(UnusableError, match=message):
            look(path)
        with pytest.raises(UserError, match=f"{name}: {message}"):
            read_image(path, Reading(8, 8, 3))
    with pytest.raises(UserError, match=r"gone\.png: is not there"):
        read_image(tmp_path / "gone.png", Reading(8, 8, 3))


def test_damage_in_the_middle_is_found_by_decoding_all(tmp_path: Path) -> None:
    data = bytearray(save(tmp_path / "a.png", pixels(64, 64)).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(data)
    look(tmp_path / "a.png")
    with pytest.raises(UnusableError, match="is damaged"):
        look(tmp_path / "a.png", whole=True)


def test_a_jpeg_with_padding_behind_its_end_is_whole(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", pixels(16, 16))
    path.write_bytes(path.read_bytes() + b"\0" * 20 + b"trailer of a camera")
    assert look(path).width == 16


def test_what_pillow_warns_of_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.jpg", pixels(16, 16), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        header = look(path)
        assert read_image(path, Reading(8, 8, 3)).shape == (8, 8, 3)
        assert "EXIF" in header.note
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
        assert look(path).width == 16, "large, and below the limit"
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        with pytest.raises(UnusableError, match="has more than 200 pixels"):
            look(path)
        with pytest.raises(UserError, match="has more than 200 pixels"):
            read_image(path, Reading(8, 8, 3))


def test_a_large_photo_is_decoded_at_a_fraction_of_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = np.repeat(np.linspace(0, 255, 512).astype(np.uint8)[None, :, None], 512, axis=0)
    path = save(tmp_path / "a.jpg", ramp, quality=95)
    drafts: list[Any] = []
    draft = JpegImageFile.draft

    def noted(self: JpegImageFile, *arguments: Any) -> Any:
        drafts.append(draft(self, *arguments))
        return drafts[-1]

    monkeypatch.setattr(JpegImageFile, "draft", noted)
    small = read_image(path, Reading(32, 32, 1))
    assert len(drafts) == 1
    assert drafts[0] is not None, "Pillow took it up"
    exact = array_as(ramp, Reading(32, 32, 1))
    assert np.abs(small.astype(int) - exact).max() <= 3

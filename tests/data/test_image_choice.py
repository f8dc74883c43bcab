"""What is chosen for images after a look at them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from beeline.core.errors import UserError
from beeline.data.image_arrays import Part
from beeline.data.image_choice import Choice, Wishes, choose, sizes_line
from beeline.data.image_files import Header
from beeline.data.image_sets import ArrayPictures, Found, Look
from beeline.data.image_sources import find_images
from tests.data.images import folder_of, pixels, save

NOTHING = Wishes(None, None, None, None, "crop")


def found_of(sizes: list[tuple[int, int]], channels: int = 3) -> Found:
    pictures = ArrayPictures([Part("some", np.zeros((len(sizes), 1, 1, channels), np.uint8))])
    looks = [Look(index, Header(width, height, channels, 8)) for index, (height, width) in enumerate(sizes)]
    return Found("here", pictures, tuple(looks), files=True)


def chosen(sizes: list[tuple[int, int]], tokens: int = 256, wishes: Wishes = NOTHING) -> tuple[int, int, int]:
    choice = choose(found_of(sizes), wishes, tokens)
    return choice.reading.height, choice.reading.width, choice.patch


def test_usual_sizes_are_kept_with_usual_patches() -> None:
    for size, patch in ((8, 2), (16, 2), (28, 4), (32, 4), (48, 6), (64, 8), (96, 8), (128, 8)):
        assert chosen([(size, size)] * 5) == (size, size, patch)
    assert chosen([(32, 64)] * 5) == (32, 64, 4)
    assert chosen([(48, 32)] * 5) == (48, 32, 4)


def test_large_images_are_made_smaller_until_the_tokens_suffice() -> None:
    assert chosen([(512, 512)] * 5, tokens=256) == (128, 128, 8)
    assert chosen([(512, 512)] * 5, tokens=64) == (64, 64, 8)
    assert chosen([(600, 800)] * 5, tokens=192) == (96, 128, 8)
    assert chosen([(32, 32)], tokens=16) == (32, 32, 8)


def test_mixed_sizes_meet_at_the_median_of_the_shorter_sides() -> None:
    assert chosen([(40, 90), (50, 50), (300, 64), (20, 21), (64, 48)]) == (48, 48, 6)
    assert chosen([(60, 80), (90, 120), (120, 160)]) == (90, 120, 6), "an aspect that all share is kept"


@given(
    st.lists(st.tuples(st.integers(1, 700), st.integers(1, 700)), min_size=1, max_size=6),
    st.integers(1, 1024),
)
def test_tokens_are_bounded_whatever_the_sizes(sizes: list[tuple[int, int]], tokens: int) -> None:
    height, width, patch = chosen(sizes, tokens)
    assert 1 <= patch <= min(height, width)
    count = math.ceil(height / patch) * math.ceil(width / patch)
    if max(height, width) <= 4 * min(height, width):
        assert count <= 2 * tokens + 4
    assert height % patch == width % patch == 0 or len(set(sizes)) == 1


def test_what_is_asked_for_is_taken() -> None:
    wishes = Wishes((40, 24), 1, None, None, "pad")
    choice = choose(found_of([(512, 512)]), wishes, 256)
    assert (choice.reading.height, choice.reading.width, choice.reading.channels) == (40, 24, 1)
    assert choice.patch == 4
    assert choice.reading.fit == "pad"
    assert any("1 of 1 images lose their colour" in reason for reason in choice.reasons)
    assert chosen([(512, 512)], 64, Wishes(None, None, None, 16, "crop")) == (128, 128, 16)
    assert chosen([(512, 512)], 64, Wishes((512, 512), None, None, None, "crop")) == (512, 512, 64)
    for patch in (0, 33):
        with pytest.raises(UserError, match=f"patch {patch}: must lie between 1 and the shorter side, 32"):
            chosen([(32, 32)], 64, Wishes((32, 64), None, None, patch, "crop"))


def look_at(path: Path, wishes: Wishes = NOTHING) -> Choice:
    return choose(find_images(path, "folders", "refuse"), wishes, 256)


def test_channels_are_what_the_images_have(tmp_path: Path) -> None:
    assert look_at(folder_of(tmp_path / "grey", {"": 3}, channels=1)).reading.channels == 1
    mixed = folder_of(tmp_path / "mixed", {"": 3}, channels=1)
    save(mixed / "colour.png")
    choice = look_at(mixed)
    assert choice.reading.channels == 3
    assert "channels rgb: 1 of 4 images have colour" in choice.reasons
    alpha = folder_of(tmp_path / "alpha", {"": 3}, channels=4)
    assert look_at(alpha).reading.channels == 4
    opaque = folder_of(tmp_path / "opaque", {})
    for number in range(3):
        array = pixels(8, 8, 4, number)
        array[..., 3] = 255
        save(opaque / f"{number}.png", array)
    choice = look_at(opaque)
    assert choice.reading.channels == 3, "alpha that never varies is no channel"
    assert "the alpha of 3 is laid over white" in choice.reasons[2]


def test_bits_are_what_most_images_have(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"": 1}, channels=1)
    for number in range(2):
        Image.fromarray(pixels(8, 8, 1)[..., 0].astype(np.uint16) * 100).save(tmp_path / f"deep{number}.png")
    choice = look_at(folder)
    assert (choice.reading.bits, choice.reading.dtype) == (16, np.uint16)
    assert "bits 16: 2 of 3 images have them" in choice.reasons
    eight = look_at(folder, Wishes(None, None, 8, None, "crop"))
    assert eight.reading.bits == 8
    assert any("2 of 3 images have 16 bits and are read as 8" in reason for reason in eight.reasons)
    save(tmp_path / "colour.png")
    with pytest.raises(UserError, match="bits 16: files of 16 bits are read in grey only"):
        look_at(folder, Wishes(None, 3, 16, None, "crop"))
    with pytest.raises(UserError, match="bits float: the images hold whole numbers; leave bits at auto"):
        look_at(folder, Wishes(None, None, "float", None, "crop"))
    np.savez(tmp_path / "f.npz", images=np.random.default_rng(0).normal(size=(4, 8, 8)))
    assert look_at(tmp_path / "f.npz").reading.dtype == np.float32
    with pytest.raises(UserError, match="bits 8: the images hold floats"):
        look_at(tmp_path / "f.npz", Wishes(None, None, 8, None, "crop"))


def test_a_panorama_is_read_and_called_odd(tmp_path: Path) -> None:
    folder_of(tmp_path, {"": 4}, size=(16, 16))
    Image.fromarray(np.full((300, 20000, 3), 9, dtype=np.uint8)).save(tmp_path / "wide ß.png")
    found = find_images(tmp_path, "folders", "refuse")
    choice = choose(found, NOTHING, 256)
    (odd,) = [reason for reason in choice.reasons if reason.startswith("note:")]
    assert "1 image (" in odd
    assert "wide ß.png (300x20000)" in odd
    assert "all but their middle is cut away (fit crop)" in odd
    assert (choice.reading.height, choice.reading.width) == (16, 16)
    assert found.pictures.read(4, choice.reading).shape == (16, 16, 3)
    assert sizes_line(found) == "2 sizes, from 16x16 to 300x20000 pixels"


def test_tiny_images_are_called_odd(tmp_path: Path) -> None:
    folder_of(tmp_path, {"": 4}, size=(32, 32))
    save(tmp_path / "tiny.png", pixels(3, 5))
    assert any("tiny.png (3x5)) enlarged more than twofold" in reason for reason in look_at(tmp_path).reasons)

"""Flips and shifts rearrange pixels, and say what they did."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beeline.core.errors import UserError
from beeline.core.offers import Augmentation
from beeline.data.augment import FlipAndShift


def numbered(height: int, width: int) -> np.ndarray:
    return np.arange(height * width * 2).reshape(height, width, 2)


@given(st.booleans(), st.integers(0, 3), st.integers(8, 10), st.integers(8, 10))
def test_ways_make_no_number_and_way_zero_leaves_all(flip: bool, shift: int, height: int, width: int) -> None:
    varied = FlipAndShift(flip, shift)
    assert isinstance(varied, Augmentation)
    array = numbered(height, width)
    assert np.array_equal(varied.rearrange(array, 0), array)
    seen = []
    for way in range(varied.ways):
        moved = varied.rearrange(array, way)
        assert moved.shape == array.shape
        assert set(moved[..., 0].ravel().tolist()) <= set(array[..., 0].ravel().tolist())
        assert np.array_equal(moved[..., 1] - moved[..., 0], np.ones((height, width))), "channels stay together"
        seen.append(moved.tobytes())
    sides = len(varied.offsets) ** 2
    assert len(set(seen)) == (1 + flip) * sides, "every shift is there, mirrored or not"
    assert Counter(seen)[array.tobytes()] == max(1, sides - 1), "half of all are not shifted"
    assert max(Counter(seen[(1 + flip) * (sides - 1) :]).values()) == 1


def test_a_flip_mirrors_left_and_right() -> None:
    varied = FlipAndShift(flip=True)
    assert (varied.ways, varied.condition) == (2, None)
    assert np.array_equal(varied.rearrange(numbered(3, 4), 1), numbered(3, 4)[:, ::-1])


def test_a_shift_is_what_its_label_says() -> None:
    for flip in (False, True):
        varied = FlipAndShift(flip, shift=2)
        assert varied.condition == "shift"
        assert varied.ways == 2 * 24 * (1 + flip)
        array = numbered(8, 8)
        for way in range(varied.ways):
            down, right = (round(2 * part) for part in varied.label(way))
            moved = varied.rearrange(array, way)
            source = array[:, ::-1] if flip and way % 2 else array
            inner = moved[2 + down : 6 + down, 2 + right : 6 + right]
            assert np.array_equal(inner, source[2:6, 2:6])
    assert varied.label(0) == (0.0, 0.0)


def test_edges_are_reflected() -> None:
    row = np.arange(4).reshape(1, 4, 1).repeat(4, axis=0)
    moved = [FlipAndShift(shift=2).rearrange(row, way)[0, :, 0].tolist() for way in range(48)]
    assert [2, 1, 0, 1] in moved
    assert [2, 3, 2, 1] in moved


def test_small_shifts_have_fewer_ways_and_none_has_one() -> None:
    assert [FlipAndShift(shift=shift).ways for shift in (0, 1, 2, 3, 8)] == [1, 16, 48, 48, 48]


def test_a_shift_beyond_the_image_is_refused() -> None:
    with pytest.raises(UserError, match="shift 4: must be smaller than the images, which are 4x9"):
        FlipAndShift(shift=4).rearrange(numbered(4, 9), 1)

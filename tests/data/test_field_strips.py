"""What colours and heights stand for, as the pictures are told it."""

from __future__ import annotations

import numpy as np
import pytest

from beeline.data.field_strips import (
    DRAW,
    LinePanel,
    MapPanel,
    Scale,
    Sheet,
    drawn,
    scale_from_zero,
    scale_of,
    scale_of_lines,
)


def test_a_scale_is_of_all_fields_that_it_is_given() -> None:
    one, other = np.linspace(10.0, 12.0, 1001), np.linspace(11.0, 20.0, 1001)
    both = scale_of([one, other], "K")
    assert (both.low, both.high) == pytest.approx(tuple(np.percentile([one, other], (0.5, 99.5))))
    signs = scale_of([np.linspace(-1.0, 3.0, 1001)])
    assert signs.low == -signs.high == pytest.approx(-2.98), "0 is the middle where both signs occur"
    gaps = scale_of([np.where(one > 11, np.nan, one)])
    assert (gaps.low, gaps.high) == pytest.approx((10.0, 11.0), abs=0.02)
    assert scale_of([np.full(3, np.nan)]) == Scale(0.0, 1.0)
    assert scale_from_zero([one]).low == 0.0
    lines = scale_of_lines([one, other])
    assert (lines.low, lines.high) == (10.0, 20.0), "no line leaves its panel"


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-2.0, 2.0, "-2 to 2 m/s"),
        (98_220.0, 101_980.0, "98,220 to 101,980 m/s"),
        (100_000.0, 100_030.0, "100,000 to 100,030 m/s"),
        (0.0, 1.234e-5, "0 to 1.23e-05 m/s"),
        (7.0, 7.0, "7 to 7 m/s"),
    ],
)
def test_limits_tell_the_ends_of_a_scale_apart(low: float, high: float, text: str) -> None:
    assert Scale(low, high, "m/s").text == text


def test_small_maps_are_enlarged_by_a_whole_factor_and_large_ones_averaged() -> None:
    scale = Scale(0.0, 1.0)
    small = MapPanel("a", np.eye(2), scale).picture()
    assert small.size == (112, 112)
    assert len(small.getcolors() or ()) == 2, "nothing is smoothed"
    assert MapPanel("a", np.zeros((64, 640)), scale).picture().size == (160, 16)
    assert MapPanel("a", np.zeros((2, 640)), scale).picture().size == (160, 8)
    assert MapPanel("a", np.array([[np.nan]]), scale).picture().getpixel((0, 0)) == (170, 170, 170)


def test_a_sheet_has_room_for_its_heads_rows_and_limits() -> None:
    scale, other = Scale(98_000.0, 102_000.0, "m s⁻¹ of a long name"), Scale(0.0, 1.0)
    cells = np.zeros((3, 3))
    rows = [(f"row {row}", [MapPanel("a", cells, scale), MapPanel("b", cells, other)]) for row in range(2)]
    wide, tall = drawn(Sheet(rows)).size
    assert wide > 2 * 111 + 60
    assert tall > 2 * 111 + 30
    assert drawn(Sheet(rows[:1])).size == (wide, tall - 111 - 6)


def test_lines_skip_what_is_missing() -> None:
    line = np.array([0.0, np.nan, 1.0, 1.0])
    panel = LinePanel("a", [line], Scale(0.0, 1.0), [DRAW], (line - 1, line + 1))
    blank = LinePanel("a", [np.full(4, np.nan)], Scale(0.0, 1.0), [DRAW])
    assert panel.picture().size == blank.picture().size
    colours = {colour for _, colour in panel.picture().getcolors(10_000) or ()}
    assert len(colours) > len(blank.picture().getcolors() or ()) == 2


def test_heights_of_lines_are_told_in_words_and_have_room() -> None:
    line = LinePanel("a", [np.zeros(4)], Scale(98_000.0, 102_000.0, "kilograms a cubic metre"), [DRAW])
    short = LinePanel("a", [np.zeros(4)], Scale(0.0, 1.0), [DRAW])
    assert drawn(Sheet([("row", [line])])).width > drawn(Sheet([("row", [short])])).width

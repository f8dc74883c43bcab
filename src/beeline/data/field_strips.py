"""Sheets of panels to scale: fields in rows and columns under their heads, and below what the colours stand for.

What shares a scale is drawn by it, whichever field it is; the scale is told once, under the columns that it is for.

Shapes: H x W cells of a map, L of a line.
"""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from beeline.data.pictures import BLUE_TO_RED, Colours, Picture, scalar_image

Array = np.ndarray[Any, Any]
WHITE_TO_BLUE: Colours = ((250, 250, 250), (120, 150, 200), (25, 45, 110))
TRUTH, DRAW, MEAN = (20, 20, 20), (150, 175, 220), (40, 80, 170)
_BAND, _FRAME, _INK, _PAPER = (222, 230, 244), (205, 205, 205), (40, 40, 40), (255, 255, 255)
_PANEL, _LARGEST, _THINNEST, _LINES_HIGH = 112, 160, 8, 96
_GAP, _LETTERS, _BAR, _FINER = 6, 12, 8, 3
_SHARES = (0.5, 99.5)


@dataclass(frozen=True)
class Scale:
    """Which numbers colours, or heights, stand for.

    Args:
        low: of the first colour; what lies below has it too.
        high: of the last colour; what lies above has it too.
        units: of the numbers; empty where they are not known.
        colours: from low over the middle to high.
    """

    low: float
    high: float
    units: str = ""
    colours: Colours = BLUE_TO_RED

    @property
    def limits(self) -> tuple[str, str]:
        """Its limits, each with three digits of what lies between them."""
        largest, width = max(abs(self.low), abs(self.high)), self.high - self.low
        digits = 3 + (max(0, math.ceil(math.log10(largest / width))) if width > 0 else 0)
        plain = largest == 0 or 1e-3 <= largest < 1e7
        low, high = (
            f"{float(f'{each:.{digits}g}'):,.12g}" if plain else f"{each:.{digits}g}" for each in (self.low, self.high)
        )
        return low, f"{high} {self.units}".strip()

    @property
    def text(self) -> str:
        """Its limits in words."""
        return " to ".join(self.limits)


def scale_of(fields: Sequence[Array], units: str = "") -> Scale:
    """A scale for some fields together: 99 % of their cells, symmetric about 0 where they have both signs.

    Args:
        fields: of any shapes, NaN where nothing is known.
        units: of their numbers.
    """
    return Scale(*colour_range(fields), units)


def scale_from_zero(fields: Sequence[Array], units: str = "") -> Scale:
    """A scale from 0 for what is never negative, up to what 99.5 % of the cells reach.

    Args:
        fields: of any shapes, NaN where nothing is known.
        units: of their numbers.
    """
    return Scale(0.0, max(0.0, colour_range(fields)[1]), units, WHITE_TO_BLUE)


def scale_of_lines(fields: Sequence[Array], units: str = "") -> Scale:
    """A scale from the least to the largest number, which no line leaves.

    Args:
        fields: of any shapes, NaN where nothing is known.
        units: of their numbers.
    """
    values = np.concatenate([np.asarray(each, dtype=np.float64).ravel() for each in fields])
    values = values[np.isfinite(values)]
    return Scale(float(values.min()), float(values.max()), units) if len(values) else Scale(0.0, 1.0, units)


def colour_range(fields: Sequence[Array]) -> tuple[float, float]:
    """What a colour scale spans: 99 % of the cells, symmetric about 0 where the numbers have both signs.

    Args:
        fields: of any shapes, NaN where nothing is known.
    """
    values = np.concatenate([np.asarray(each, dtype=np.float64).ravel() for each in fields])
    if not np.isfinite(values).any():
        return 0.0, 1.0
    low, high = np.nanpercentile(np.where(np.isfinite(values), values, np.nan), _SHARES)
    if low < 0 < high and min(-low, high) > 0.1 * max(-low, high):
        return -float(max(-low, high)), float(max(-low, high))
    return float(low), float(high)


@dataclass(frozen=True)
class MapPanel:
    """A map in colours.

    Args:
        head: what it is.
        cells: (H, W).
        scale: of its colours.
    """

    head: str
    cells: Array
    scale: Scale

    def picture(self) -> Picture:
        """Small maps are enlarged by a whole factor, large ones averaged; never smoothed."""
        image = Image.fromarray(_coloured(self.cells, self.scale))
        longer = max(image.size)
        if longer <= _LARGEST:
            factor = max(1, _PANEL // longer)
            return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
        width, height = (max(_THINNEST, round(extent * _LARGEST / longer)) for extent in image.size)
        return image.resize((width, height), Image.Resampling.BOX)


@dataclass(frozen=True)
class LinePanel:
    """Lines over one axis, and a band behind them.

    Args:
        head: what they are.
        lines: each (L,).
        scale: of their heights.
        inks: colour of each.
        band: lower and upper limit (L,) each; None without.
    """

    head: str
    lines: Sequence[Array]
    scale: Scale
    inks: Sequence[tuple[int, int, int]]
    band: tuple[Array, Array] | None = None

    def picture(self) -> Picture:
        """What is not finite is left out."""
        size = (_LARGEST, _LINES_HIGH)
        fine = Image.new("RGB", (size[0] * _FINER, size[1] * _FINER), _PAPER)  # drawn larger, so that lines are smooth
        pen = ImageDraw.Draw(fine)
        if self.band is not None:
            for (a, b), (c, d) in zip(*(itertools.pairwise(self._points(edge)) for edge in self.band), strict=True):
                if np.isfinite([*a, *b, *c, *d]).all():
                    pen.polygon([a, b, d, c], fill=_BAND)
        for line, ink in zip(self.lines, self.inks, strict=True):
            for a, b in itertools.pairwise(self._points(line)):
                if np.isfinite([*a, *b]).all():
                    pen.line([a, b], fill=ink, width=_FINER + _FINER // 2)
        panel = fine.resize(size, Image.Resampling.BOX)
        ImageDraw.Draw(panel).rectangle((0, 0, size[0] - 1, size[1] - 1), outline=_FRAME)
        return panel

    def _points(self, line: Array) -> list[tuple[float, float]]:
        width = max(self.scale.high - self.scale.low, 1e-12)
        x = np.linspace(4, _LARGEST - 4, len(line)) * _FINER
        heights = (np.asarray(line, dtype=np.float64) - self.scale.low) / width
        y = (_LINES_HIGH - 4 - heights * (_LINES_HIGH - 8)) * _FINER
        return list(zip(x.tolist(), y.tolist(), strict=True))


Panel = MapPanel | LinePanel


@dataclass(frozen=True)
class Sheet:
    """Panels in rows.

    Args:
        rows: names and panels; all rows have as many.
        note: what is shown, in sentences.
    """

    rows: Sequence[tuple[str, Sequence[Panel]]]
    note: str = ""

    @property
    def panels(self) -> list[Panel]:
        """All of them, row by row."""
        return [panel for _, row in self.rows for panel in row]


def drawn(sheet: Sheet) -> Picture:
    """A sheet as one picture: heads above the columns, names before the rows, scales below.

    Args:
        sheet: with at least one panel.
    """
    pictures = [[panel.picture() for panel in row] for _, row in sheet.rows]
    first = sheet.rows[0][1]
    heads, names = [panel.head for panel in first], [name for name, _ in sheet.rows]
    before = max((_long(name) for name in names), default=0)
    widths = [max(_long(head), *(row[place].width for row in pictures)) for place, head in enumerate(heads)]
    below = [list(places) for _, places in itertools.groupby(range(len(heads)), lambda place: first[place].scale)]
    for places in below:
        room = sum(widths[place] + _GAP for place in places)
        scale = first[places[0]].scale
        told = (
            _long(_heights(scale)) if isinstance(first[places[0]], LinePanel) else sum(map(_long, scale.limits)) + _GAP
        )
        widths[places[-1]] += max(0, told + 2 * _GAP - room)
    lefts = list(itertools.accumulate((width + _GAP for width in widths), initial=before + 2 * _GAP))
    heights = [max(picture.height for picture in row) for row in pictures]
    top = _LETTERS + 2 * _GAP
    tops = list(itertools.accumulate((height + _GAP for height in heights), initial=top))
    page = Image.new("RGB", (lefts[-1], tops[-1] + _BAR + _LETTERS + 2 * _GAP), _PAPER)
    for head, left in zip(heads, lefts, strict=False):
        _write(page, (left, _GAP), head)
    for name, row, down, height in zip(names, pictures, tops, heights, strict=False):
        _write(page, (_GAP, down + height // 2 - _LETTERS // 2), name)
        for picture, left in zip(row, lefts, strict=False):
            page.paste(picture, (left, down))
    for places in below:
        span = (lefts[places[0]], lefts[places[-1]] + widths[places[-1]])
        _draw_scale(page, first[places[0]], span, tops[-1])
    return page


def _draw_scale(page: Picture, panel: Panel, span: tuple[int, int], down: int) -> None:
    """Limits from the left to the right, and of maps a bar of colours above them."""
    (left, right), scale = span, panel.scale
    if isinstance(panel, MapPanel):
        ramp = np.linspace(scale.low, scale.high, right - left)[None].repeat(_BAR, axis=0)
        page.paste(Image.fromarray(_coloured(ramp, scale)), (left, down))
    low, high = scale.limits
    if isinstance(panel, LinePanel):
        _write(page, (left, down), _heights(scale))
    else:
        _write(page, (left, down + _BAR + 2), low)
        _write(page, (right - _long(high), down + _BAR + 2), high)


def _heights(scale: Scale) -> str:
    return f"heights {scale.text}"


def _coloured(cells: Array, scale: Scale) -> Array:
    return scalar_image(np.asarray(cells, dtype=np.float64), scale.low, scale.high, scale.colours)


def _write(page: Picture, place: tuple[int, int], text: str) -> None:
    ImageDraw.Draw(page).text(place, _plain(text), _INK, _font())


def _long(text: str) -> int:
    return int(np.ceil(_font().getlength(_plain(text))))


def _plain(text: str) -> str:
    """Text in letters that the font has: raised numbers are set on the line."""
    return unicodedata.normalize("NFKC", text).translate({0x2212: "-", 0x3BC: "u"})


def _font() -> Any:
    return ImageFont.load_default(_LETTERS)

"""Small pictures of samples: grids of images, curves and points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from beeline.data.image_reading import eight_bits, over_white, rounded

Array = np.ndarray[Any, Any]
Picture = Image.Image
Colours = tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]
BLUE_TO_RED: Colours = ((40, 80, 170), (248, 248, 248), (180, 40, 40))
_INK = (30, 60, 110)
_PAPER = (255, 255, 255)
_CLEAR = (0, 0, 0, 0)
_FINER = 3
_FRAME = (205, 205, 205)


def image_grid(images: Sequence[Array], columns: int | None = None, tile: int = 64, gap: int = 4) -> Picture:
    """Images in rows on nothing, small ones enlarged without blurring.

    Args:
        images: uint8 (H, W, C) with 1, 3 or 4 channels.
        columns: images a row; about square when None.
        tile: pixels to which the longer side is enlarged, at least.
        gap: pixels between images.
    """
    columns = columns or math.ceil(math.sqrt(len(images)))
    pictures = [_enlarged(image, tile) for image in images]
    width, height = (max(picture.size[axis] for picture in pictures) for axis in (0, 1))
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGBA", (columns * (width + gap) + gap, rows * (height + gap) + gap), _CLEAR)
    for index, picture in enumerate(pictures):
        place = (gap + index % columns * (width + gap), gap + index // columns * (height + gap))
        sheet.paste(picture, place)
    return sheet


def viewable(images: Sequence[Array]) -> list[Array]:
    """Images of any kind as uint8 (H, W, 1 or 3): 16 bits as 8, floats by the range of them all, alpha over white.

    Args:
        images: (H, W, C) with 1, 3 or 4 channels; floats within [0, 1] are taken to mean black to white.
    """
    floats = [image for image in images if image.dtype.kind == "f"]
    low = min((float(np.nanmin(image)) for image in floats), default=0.0)
    high = max((float(np.nanmax(image)) for image in floats), default=1.0)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return [_as_bytes(image, low, high) for image in images]


def scalar_image(field: Array, low: float, high: float, colours: Colours = BLUE_TO_RED) -> Array:
    """A field (H, W) as uint8 (H, W, 3): blue below the middle of [low, high], white there, red above; NaN is grey.

    Args:
        field: numbers.
        low: number of the first colour.
        high: number of the last colour.
        colours: of low, of the middle and of high.
    """
    absent = np.isnan(field)[..., None]
    level = np.clip((np.nan_to_num(field) - low) / max(high - low, 1e-12), 0, 1)[..., None]
    first, middle, last = (np.array(colour, dtype=np.float64) for colour in colours)
    mixed = np.where(level < 0.5, first + (middle - first) * 2 * level, middle + (last - middle) * (2 * level - 1))
    return np.rint(np.where(absent, 170, mixed)).astype(np.uint8)


def curves(lines: Sequence[Array], columns: int | None = None, size: tuple[int, int] = (160, 80)) -> Picture:
    """One small panel for each (x, y) line (L, 2) or plain line (L,), all on the same scales.

    Args:
        lines: curves.
        columns: panels a row.
        size: pixels of a panel.
    """
    shaped = [np.stack([np.arange(len(line)), line], axis=1) if line.ndim == 1 else np.asarray(line) for line in lines]
    every = np.concatenate(shaped)
    low, high = every.min(axis=0), every.max(axis=0)
    scale = np.where(high > low, high - low, 1.0)
    panels = []
    for line in shaped:
        fine = Image.new("RGB", (size[0] * _FINER, size[1] * _FINER), _PAPER)  # drawn larger, so that lines are smooth
        unit = (line - low) / scale
        x = (4 + unit[:, 0] * (size[0] - 8)) * _FINER
        y = (size[1] - 4 - unit[:, 1] * (size[1] - 8)) * _FINER
        points = list(zip(x.tolist(), y.tolist(), strict=True))
        ImageDraw.Draw(fine).line(points, fill=_INK, width=_FINER + _FINER // 2, joint="curve")
        panel = fine.resize(size, Image.Resampling.BOX)
        ImageDraw.Draw(panel).rectangle((0, 0, size[0] - 1, size[1] - 1), outline=_FRAME)
        panels.append(np.asarray(panel))
    return image_grid(panels, columns, tile=1)


def _enlarged(image: Array, tile: int) -> Picture:
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert("RGBA")
    factor = max(1, round(tile / max(picture.size)))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _as_bytes(image: Array, low: float, high: float) -> Array:
    if image.dtype == np.uint16:
        image = eight_bits(image)
    elif image.dtype.kind == "f":
        image = rounded((np.nan_to_num(image, nan=low) - low) * (255 / max(high - low, 1e-12)), np.dtype(np.uint8))
    return over_white(image) if image.shape[-1] == 4 else image

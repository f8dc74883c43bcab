"""The policy under which images of any size and kind become arrays of one size and kind.

An image of the right size is never resampled: its pixels come through bit for bit. Others are resampled by an
antialiased bicubic filter (the filter is widened with the factor of reduction), with premultiplied alpha.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]
Fit = Literal["crop", "stretch", "pad"]
Bits = Literal[8, 16, "float"]
_BICUBIC = Image.Resampling.BICUBIC
# Rec. 601: what Pillow's grey conversion uses too.
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Reading:
    """What every image becomes.

    Args:
        height: rows of pixels.
        width: columns of pixels.
        channels: 1 grey, 3 red, green and blue, 4 with alpha; alpha that is not wanted is laid over white.
        bits: of a channel; ``"float"`` leaves float32 numbers as they are.
        fit: ``crop``: shorter side to size, the middle of the longer one; ``stretch``: both sides to size; ``pad``:
            longer side to size, black (or transparent) bars beside the shorter one.
    """

    height: int
    width: int
    channels: int
    bits: Bits = 8
    fit: Fit = "crop"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the arrays."""
        return np.dtype({8: np.uint8, 16: np.uint16, "float": np.float32}[self.bits])

    def reduction(self, width: int, height: int) -> float:
        """Pixels of the result for one of an image of that size, along a side; above 1 enlarges."""
        across, down = self.width / width, self.height / height
        return min(across, down) if self.fit == "pad" else max(across, down)


def fitted(picture: Image.Image, reading: Reading) -> Image.Image:
    """A picture brought to size; the same picture where it has that size."""
    size = (reading.width, reading.height)
    if picture.size == size:
        return picture
    if reading.fit == "stretch":
        return _resampled(picture, size, (0, 0, *picture.size))
    scale = reading.reduction(*picture.size)
    if reading.fit == "pad":
        inner = (
            min(size[0], max(1, round(picture.width * scale))),
            min(size[1], max(1, round(picture.height * scale))),
        )
        sheet = Image.new(picture.mode, size, 0)
        sheet.paste(_resampled(picture, inner, (0, 0, *picture.size)), _middle(size, inner))
        return sheet
    if scale == 1:
        whole = _middle(picture.size, size)
        return picture.crop((*whole, whole[0] + size[0], whole[1] + size[1]))
    extent = (min(size[0] / scale, picture.width), min(size[1] / scale, picture.height))
    left, top = (picture.width - extent[0]) / 2, (picture.height - extent[1]) / 2
    box = (left, top, min(left + extent[0], picture.width), min(top + extent[1], picture.height))
    return _resampled(picture, size, box)


def array_as(array: Array, reading: Reading) -> Array:
    """An array (H, W, C) of 8 or 16 bits or of floats under the policy; the same numbers where it meets it."""
    array = _with_bits(_with_channels(array, reading.channels), reading.bits)
    if array.shape[:2] == (reading.height, reading.width):
        return np.ascontiguousarray(array)
    if array.dtype == np.uint8:
        return picture_array(fitted(array_picture(array), reading))
    planes = [array[..., channel].astype(np.float32) for channel in range(array.shape[-1])]
    resized = np.stack([np.asarray(fitted(Image.fromarray(plane), reading)) for plane in planes], axis=-1)
    return resized if array.dtype.kind == "f" else rounded(resized, reading.dtype)


def array_picture(array: Array) -> Image.Image:
    """A uint8 array (H, W, C) with 1, 3 or 4 channels as a picture."""
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else np.ascontiguousarray(array))


def picture_array(picture: Image.Image) -> Array:
    """The pixels of a picture, (H, W, C)."""
    array = np.array(picture)
    return array[..., None] if array.ndim == 2 else array


def rounded(array: Array, dtype: np.dtype[Any]) -> Array:
    """Floats as the nearest whole numbers that the dtype holds."""
    most = np.iinfo(dtype).max
    return np.clip(np.rint(array), 0, most).astype(dtype)


def eight_bits(array: Array) -> Array:
    """16-bit numbers as 8-bit ones, nearest."""
    return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def over_white(array: Array) -> Array:
    """(H, W, 4) of 8 or 16 bits, or of floats up to 1, without its alpha: c a + 1 - a."""
    most = 1.0 if array.dtype.kind == "f" else float(np.iinfo(array.dtype).max)
    alpha = array[..., 3:] / most
    mixed = array[..., :3] * alpha + most * (1 - alpha)
    return mixed.astype(array.dtype) if array.dtype.kind == "f" else rounded(mixed, array.dtype)


def _with_channels(array: Array, channels: int) -> Array:
    if array.shape[-1] == channels:
        return array
    if array.shape[-1] == 4:
        array = over_white(array)
    if array.shape[-1] == 3 and channels == 1:
        grey = array.astype(np.float64) @ _LUMA
        array = (grey.astype(array.dtype) if array.dtype.kind == "f" else rounded(grey, array.dtype))[..., None]
    if array.shape[-1] == 1 and channels > 1:
        array = np.repeat(array, 3, axis=-1)
    if array.shape[-1] == 3 and channels == 4:
        opaque = 1 if array.dtype.kind == "f" else int(np.iinfo(array.dtype).max)
        array = np.concatenate([array, np.full_like(array[..., :1], opaque)], axis=-1)
    return array


def _with_bits(array: Array, bits: Bits) -> Array:
    if bits == "float" or array.dtype.kind == "f":
        return array.astype(np.float32)
    if bits == 8:
        return array if array.dtype == np.uint8 else eight_bits(array)
    return array if array.dtype == np.uint16 else array.astype(np.uint16) * np.uint16(257)


def _resampled(picture: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]) -> Image.Image:
    if picture.size == size == (box[2] - box[0], box[3] - box[1]):
        return picture
    return picture.resize(size, _BICUBIC, box=box, reducing_gap=3.0)


def _middle(outer: tuple[int, int], inner: tuple[int, int]) -> tuple[int, int]:
    return (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2

"""Image files: a look at the header of one, and its pixels under a policy.

Orientation that a camera noted is applied. Of an animation, the first frame is read. Pillow reads colour of 16 bits as
8; grey of 16 bits keeps them. What Pillow warns of comes back as a note or as the reason why a file is unusable.
"""

from __future__ import annotations

import math
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from beeline.core.errors import UserError
from beeline.data.image_reading import Reading, eight_bits, fitted, picture_array, rounded

Array = np.ndarray[Any, Any]
_ENDINGS = "png apng jpg jpeg jpe jfif webp bmp dib gif tif tiff ppm pgm pbm pnm jp2 j2k avif"
ENDINGS = frozenset(f".{ending}" for ending in _ENDINGS.split(" "))
# Formats that begin with a mark of their own and run no other program.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
_ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9", "GIF": b";"}
# catch_warnings changes the whole process: one thread at a time, and never left locked in a forked worker.
_LOCK = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


class UnusableError(Exception):
    """An image cannot be read; the text says why.

    Args:
        reason: what is wrong with it.
        lasting: whether it stays so as long as the file is the same.
    """

    def __init__(self, reason: str, lasting: bool = True) -> None:
        super().__init__(reason)
        self.lasting = lasting


@dataclass(frozen=True)
class Header:
    """What an image file says of itself.

    Args:
        width: columns, as it is looked at.
        height: rows.
        channels: 1 grey, 3 colour, 4 with alpha.
        bits: 8, or 16 where they can be read.
        note: what is odd about it; empty for nothing.
    """

    width: int
    height: int
    channels: int
    bits: int
    note: str = ""


def look(path: Path, whole: bool = False) -> Header:
    """The header of an image file, and whether its end is there.

    Args:
        path: of the file.
        whole: decode all of it too, which finds every damage.

    Raises:
        UnusableError: it cannot be read.
    """
    with _opened(path) as (file, image, note):
        channels = 4 if _has_alpha(image) else 1 if image.mode in ("1", "L", "F") or image.mode.startswith("I") else 3
        deep = ";16" in _raw_mode(image)
        bits = 16 if channels == 1 and (deep or image.mode.startswith("I")) else 8
        if deep and bits == 8:
            note = note or "16-bit colour, read as 8"
        size = image.size if _turn(image, loaded=False) < 5 else image.size[::-1]
        if image.mode == "F":
            raise UnusableError("holds float pixels; bring them as a .npy array")
        if whole or not _ends_well(file, image):
            image.load()
        return Header(*size, channels, bits, note)


def read_image(path: Path, reading: Reading, name: str | None = None) -> Array:
    """The pixels of an image file, (height, width, channels).

    Args:
        path: of the file.
        reading: what it is to become.
        name: what to call it in a message; its path when None.

    Raises:
        UserError: it cannot be read, saying why.
    """
    try:
        with _opened(path) as (_, image, _note):
            swapped = _turn(image, loaded=False) >= 5
            scale = reading.reduction(*(image.size[::-1] if swapped else image.size))
            if image.format == "JPEG" and scale < 0.5:
                image.draft(None, (math.ceil(2 * scale * image.width), math.ceil(2 * scale * image.height)))
            image.load()
            turn = _turn(image, loaded=True)
            upright = image.transpose(_TURNS[turn]) if turn in _TURNS else image
            if reading.bits == 16:
                return _deep(upright, reading)
            return picture_array(fitted(_eight_bit(upright, reading.channels), reading))
    except UnusableError as error:
        raise UserError(f"{name or path}: {error}") from error


def _deep(image: Image.Image, reading: Reading) -> Array:
    """16-bit grey pixels; 8-bit ones are spread over the 16."""
    if image.mode.startswith("I"):
        plane = _grey16(image)
    else:
        plane = np.array(_eight_bit(image, 1)).astype(np.uint16) * np.uint16(257)
    if plane.shape != (reading.height, reading.width):
        resized = fitted(Image.fromarray(plane.astype(np.float32)), reading)
        plane = rounded(np.asarray(resized), reading.dtype)
    return plane[..., None]


def _grey16(image: Image.Image) -> Array:
    plane = np.array(image)
    if plane.min() < 0 or plane.max() > 65535:
        raise UnusableError("holds whole numbers beyond 16 bits; bring them as a .npy array")
    return plane.astype(np.uint16)


def _eight_bit(image: Image.Image, channels: int) -> Image.Image:
    """The picture in the mode of that many channels; alpha that is not wanted is laid over white."""
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    if image.mode.startswith("I"):
        image = Image.fromarray(eight_bits(_grey16(image)))
    if image.mode == mode and "transparency" not in image.info:
        return image
    if _has_alpha(image):
        image = image.convert("RGBA")
        if channels < 4:
            white = Image.new("RGBA", image.size, (255, 255, 255, 255))
            image = Image.alpha_composite(white, image)
    elif image.mode in ("LAB", "HSV", "YCbCr", "CMYK"):
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, Image.Image, str]]:
    """An open file, its image and what Pillow had to say; whatever fails inside makes the file unusable."""
    try:
        with open(path, "rb") as file:
            image, note = _image_in(file)
            with image:
                if 0 in image.size:
                    raise UnusableError("has no pixel")
                yield file, image, note
    except UnusableError:
        raise
    except UnidentifiedImageError:
        empty = path.stat().st_size == 0
        raise UnusableError("is empty" if empty else "is no image, whatever its name says") from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise UnusableError(f"has more than {limit:,} pixels; make it smaller") from None
    except FileNotFoundError as error:
        raise UnusableError("is not there", lasting=False) from error
    except PermissionError as error:
        raise UnusableError("may not be read", lasting=False) from error
    except OSError as error:
        # Pillow's own carry no number; those of the system do, and may pass.
        raise UnusableError(
            f"is damaged ({error})" if error.errno is None else str(error), error.errno is None
        ) from error
    except MemoryError as error:
        raise UnusableError("does not fit into memory", lasting=False) from error
    except Exception as error:  # foreign bytes may break a decoder in any way
        raise UnusableError(f"is damaged ({type(error).__name__}: {' '.join(str(error).split())})") from error


def _image_in(file: BinaryIO) -> tuple[Image.Image, str]:
    with _LOCK, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image = Image.open(file, formats=_formats())
        if "exif" in image.info:
            _turn(image, loaded=False)
    said = [each for each in caught if not issubclass(each.category, Image.DecompressionBombWarning)]
    return image, " ".join(str(said[0].message).split()) if said else ""


@cache
def _formats() -> tuple[str, ...]:
    """Those of ours that this build of Pillow knows."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _turn(image: Image.Image, loaded: bool) -> int:
    """How a camera noted it was held, 1 to 8; 1 where that cannot be read.

    Args:
        image: open.
        loaded: whether its pixels have been read, so that asking costs nothing more.
    """
    if not loaded and "exif" not in image.info and image.format != "TIFF":
        return 1
    try:
        turn = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged notes do not spoil the pixels
        return 1
    return turn if turn in _TURNS else 1


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info


def _raw_mode(image: Image.Image) -> str:
    tiles = getattr(image, "tile", None)
    arguments = tiles[0].args if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _ends_well(file: BinaryIO, image: Image.Image) -> bool:
    """Whether the file ends as its format does; False where that cannot be told so cheaply."""
    mark = _ENDS.get(image.format or "")
    if mark is None:
        return False
    place = file.tell()
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - 64))
    tail = file.read()
    file.seek(place)
    return mark in tail if image.format == "PNG" else tail.rstrip(b"\0").endswith(mark)

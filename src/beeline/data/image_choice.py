"""Choosing size, channels, bits and patch for images after a look at them.

Patches are about an eighth of the shorter side and at most 8 pixels; where the chosen size allows it they divide both
sides. Images larger than about ``tokens`` such patches are made smaller. A patch of 2 pixels on 28x28 images was worse
at equal time than one of 4, by a factor of three in Frechet distance: small patches are not chosen for their own sake.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from beeline.core.errors import UserError
from beeline.data.image_files import Header
from beeline.data.image_reading import Bits, Fit, Reading
from beeline.data.image_sets import Found, Look

CHANNELS = {"grey": 1, "rgb": 3, "rgba": 4}
_LARGEST_PATCH = 8
_PATCHES_A_SIDE = 8
_MOST_OPENED = 32
_NAMED = 3
_EXTREME_ASPECT = 4.0
_SIZE = re.compile(r"(\d+)(?:[xX](\d+))?")


@dataclass(frozen=True)
class Wishes:
    """What was asked for; None where it is to be chosen.

    Args:
        size: rows and columns.
        channels: 1, 3 or 4.
        bits: of a channel.
        patch: pixels along each side of a token.
        fit: how other sizes are brought to that one.
    """

    size: tuple[int, int] | None
    channels: int | None
    bits: Bits | None
    patch: int | None
    fit: Fit


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Args:
        reading: of every image.
        patch: pixels along each side of a token.
        reasons: what was chosen and why, and what is odd about the data, a line each.
    """

    reading: Reading
    patch: int
    reasons: tuple[str, ...]


def asked_size(size: int | str) -> tuple[int, int] | None:
    """Rows and columns as they are asked for, None for ``auto``.

    Args:
        size: auto, one number for squares, or rows x columns such as 48x64.

    Raises:
        UserError: it is none of these.
    """
    if size == "auto":
        return None
    match = _SIZE.fullmatch(str(size).strip())
    if match is None or not int(match[1]) or not int(match[2] or match[1]):
        raise UserError(f"size '{size}': needs auto, a number of pixels, or rows x columns such as 48x64")
    return int(match[1]), int(match[2] or match[1])


def choose(found: Found, wishes: Wishes, tokens: int) -> Choice:
    """Choose what is not asked for.

    Args:
        found: the images.
        wishes: what is asked for.
        tokens: of a sample, about, at most.

    Raises:
        UserError: what is asked for does not fit the images.
    """
    size, patch, why_size = _size_and_patch(found, wishes, max(1, tokens))
    channels, why_channels = _channels(found, wishes)
    bits, why_bits = _bits(found, wishes, channels)
    reading = Reading(*size, channels, bits, wishes.fit)
    oddities = _oddities(found, reading)
    return Choice(reading, patch, (*why_size, *why_channels, *why_bits, *oddities))


def sizes_line(found: Found) -> str:
    """The sizes of the images, in words."""
    sizes = {(look.header.height, look.header.width) for look in found.looks}
    seen = sum(look.count for look in found.looks)
    rest = "" if seen >= len(found.pictures) else f" (of {seen:,} looked at)"
    if len(sizes) == 1:
        return f"all {_by(next(iter(sizes)))} pixels{rest}"
    smallest, largest = (edge(sizes, key=lambda size: size[0] * size[1]) for edge in (min, max))
    return f"{len(sizes):,} sizes, from {_by(smallest)} to {_by(largest)} pixels{rest}"


def _size_and_patch(found: Found, wishes: Wishes, tokens: int) -> tuple[tuple[int, int], int, list[str]]:
    heights, widths = (_each(found, side) for side in ("height", "width"))
    same = len(set(zip(heights.tolist(), widths.tolist(), strict=True))) == 1
    if wishes.size is not None:
        return wishes.size, *_patch(wishes.size, wishes.patch, tokens)
    shorter = float(np.median(np.minimum(heights, widths)))
    aspect = _common_aspect(heights, widths)
    high, wide = shorter * max(1.0, aspect), shorter * max(1.0, 1 / aspect)
    largest = math.sqrt(tokens) * (wishes.patch or _LARGEST_PATCH)
    scale = min(1.0, largest / math.sqrt(high * wide))
    natural = (max(1, round(high)), max(1, round(wide)))
    within = (max(1, round(high * scale)), max(1, round(wide * scale)))
    patch, why_patch = _patch(within, wishes.patch, tokens)
    if scale == 1 and same:
        size, why = natural, "that of every image, so that none is resampled"
        if wishes.patch is None and (size[0] % patch or size[1] % patch):
            size = _multiple(size, patch)
            why = f"every image has {_by(natural)}; rounded to a multiple of the patch"
    else:
        size = _multiple(within, patch)
        what = "that of every image" if same else "the median of the shorter sides"
        why = f"{what} is {_by(natural) if same else f'{shorter:g}'}"
        why += f"; larger ones would have more than about {tokens} tokens" if scale < 1 else ""
        why += "; most images have this aspect" if not same and aspect != 1 else ""
    return size, patch, [f"size {_by(size)}: {why}", *why_patch]


def _each(found: Found, side: str) -> np.ndarray:
    """One number a look; looks at arrays count once, for their images are all alike."""
    return np.array([getattr(look.header, side) for look in found.looks], dtype=np.float64)


def _common_aspect(heights: np.ndarray, widths: np.ndarray) -> float:
    """Height over width where nine images in ten share it, else 1."""
    aspects = heights / widths
    middle = float(np.median(aspects))
    return middle if float(np.mean(np.abs(np.log(aspects / middle)) < 0.02)) >= 0.9 else 1.0


def _multiple(size: tuple[int, int], patch: int) -> tuple[int, int]:
    return max(1, round(size[0] / patch)) * patch, max(1, round(size[1] / patch)) * patch


def _patch(size: tuple[int, int], asked: int | None, tokens: int) -> tuple[int, list[str]]:
    """Pixels along each side of a token, and why."""
    shorter = min(size)
    if asked is not None:
        if asked < 1 or asked > shorter:
            raise UserError(f"patch {asked}: must lie between 1 and the shorter side, {shorter} pixels")
        return asked, []
    fewest = math.sqrt(size[0] * size[1] / tokens)
    wanted = min(max(min(shorter / _PATCHES_A_SIDE, _LARGEST_PATCH), fewest, min(2, shorter)), shorter)
    common = math.gcd(*size)
    least, most = 0.85 * max(fewest, 2), _LARGEST_PATCH if fewest <= _LARGEST_PATCH else math.inf
    divisors = [each for each in range(1, common + 1) if common % each == 0 and least <= each <= most]
    near = [each for each in divisors if abs(math.log(each / wanted)) <= math.log(1.6)]
    chosen = min(near, key=lambda each: abs(math.log(each / wanted))) if near else math.floor(wanted + 0.5)
    count = math.ceil(size[0] / chosen) * math.ceil(size[1] / chosen)
    why = f"about an eighth of the side, 2 to {_LARGEST_PATCH} pixels, for up to about {tokens} tokens"
    return chosen, [f"patch {chosen}: {count} tokens a sample; {why}"]


def _channels(found: Found, wishes: Wishes) -> tuple[int, list[str]]:
    counts = {kind: _count(found, kind) for kind in (1, 3, 4)}
    total = sum(counts.values())
    if wishes.channels is not None:
        lost = counts[3] + counts[4] if wishes.channels == 1 else counts[4] if wishes.channels == 3 else 0
        what = "colour or alpha" if wishes.channels == 1 else "alpha, which is laid over white"
        return wishes.channels, [f"note: {lost:,} of {total:,} images lose their {what}"] if lost else []
    if counts[4] > total / 2 and _alpha_varies(found):
        return 4, [f"channels rgba: {counts[4]:,} of {total:,} images have alpha"]
    if counts[1] == total:
        return 1, ["channels grey: no image has colour"]
    why = f"{counts[3] + counts[4]:,} of {total:,} images have colour"
    if counts[4]:
        why += f"; the alpha of {counts[4]:,} is laid over white"
    return 3, [f"channels rgb: {why}"]


def _count(found: Found, channels: int) -> int:
    return sum(look.count for look in found.looks if look.header.channels == channels)


def _alpha_varies(found: Found) -> bool:
    """Whether some of the images with alpha are not opaque, by opening a few."""
    looks = [look for look in found.looks if look.header.channels == 4]
    each = -(-_MOST_OPENED // len(looks))
    for look in looks[:: -(-len(looks) // _MOST_OPENED)]:
        reading = _native(look)
        for index in range(look.index, look.index + look.count, max(1, look.count // each)):
            alpha = found.pictures.read(index, reading)[..., 3]
            if (alpha < (1 if look.floats else np.iinfo(alpha.dtype).max)).any():
                return True
    return False


def _native(look: Look) -> Reading:
    bits: Bits = "float" if look.floats else 16 if look.header.bits == 16 else 8
    return Reading(look.header.height, look.header.width, look.header.channels, bits)


def _bits(found: Found, wishes: Wishes, channels: int) -> tuple[Bits, list[str]]:
    floats = any(look.floats for look in found.looks)
    deep = sum(look.count for look in found.looks if look.header.bits == 16)
    total = sum(look.count for look in found.looks)
    if wishes.bits is None:
        if floats:
            return "float", ["bits float: the arrays hold floats, whose range is measured"]
        if deep > total / 2 and (channels == 1 or not found.files):
            return 16, [f"bits 16: {deep:,} of {total:,} images have them"]
        return 8, ["bits 8: as most images have" if deep else "bits 8: as every image has", *_lost(deep, total)]
    if floats != (wishes.bits == "float"):
        held = "floats" if floats else "whole numbers"
        raise UserError(f"bits {wishes.bits}: the images hold {held}; leave bits at auto")
    if wishes.bits == 16 and found.files and channels != 1:
        raise UserError("bits 16: files of 16 bits are read in grey only; choose --data.channels grey, or bring arrays")
    return wishes.bits, _lost(deep, total) if wishes.bits == 8 else []


def _lost(deep: int, total: int) -> list[str]:
    return [f"note: {deep:,} of {total:,} images have 16 bits and are read as 8"] if deep else []


def _oddities(found: Found, reading: Reading) -> list[str]:
    """What a person would want to know about some images before training on them."""
    lines = []
    long = [look for look in found.looks if _off_aspect(look.header, reading) > _EXTREME_ASPECT]
    if long:
        what = {"crop": "all but their middle is cut away", "stretch": "they are squeezed", "pad": "most is bars"}
        lines.append(f"note: {_some(found, long)} of an extreme aspect: {what[reading.fit]} (fit {reading.fit})")
    tiny = [look for look in found.looks if reading.reduction(look.header.width, look.header.height) > 2]
    if tiny:
        lines.append(f"note: {_some(found, tiny)} enlarged more than twofold")
    return lines


def _off_aspect(header: Header, reading: Reading) -> float:
    ratio = (header.width / header.height) / (reading.width / reading.height)
    return max(ratio, 1 / ratio)


def _some(found: Found, looks: Sequence[Look]) -> str:
    count = sum(look.count for look in looks)
    called = [f"{found.pictures.name(look.index)} ({_by((look.header.height, look.header.width))})" for look in looks]
    more = ", ..." if len(called) > _NAMED else ""
    return f"{count:,} image{'s' if count > 1 else ''} ({', '.join(called[:_NAMED])}{more})"


def _by(size: tuple[int, int]) -> str:
    """Rows x columns."""
    return f"{size[0]}x{size[1]}"

"""Arrays in idx files, the format of MNIST and its kin, plain or compressed (.gz).

Two zero bytes, a byte for the type of a number, a byte for the number of axes, the extent of each axis as a big-endian
32-bit number, then the numbers, row-major and big-endian. Source: LeCun, Cortes & Burges, "The MNIST database".
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from beeline.core.errors import UserError

Array = np.ndarray[Any, Any]
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_LARGE = 2**24
_IMAGES = re.compile(
    r"(?P<before>.*)images(?P<between>[-._]?)(?:idx(?P<axes>[34]))?(?P<after>[-._]?(?:ubyte)?(?:\.gz)?)"
)


def image_files(names: list[str]) -> dict[str, str]:
    """Which of some file names are idx images, each with the name its labels have or would have.

    A name such as ``train-images-idx3-ubyte.gz`` or ``t10k-images.idx3-ubyte``; labels: ``train-labels-idx1-ubyte.gz``.
    """
    found = {}
    for name in sorted(names):
        match = _IMAGES.fullmatch(name)
        if match and (match["axes"] or "ubyte" in name):
            middle = "idx1" if match["axes"] else ""
            found[name] = f"{match['before']}labels{match['between']}{middle}{match['after']}"
    return found


def read_idx(path: Path) -> Array:
    """The array in an idx file; a plain file of more than a few MB is mapped, not read.

    Raises:
        UserError: it is no idx file, or is cut short.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as file:
                return _array(path, file.read())
        if path.stat().st_size > _LARGE:
            return _array(path, np.memmap(path, dtype=np.uint8, mode="r"))
        return _array(path, path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: not readable ({error})") from None


def _array(path: Path, data: Any) -> Array:
    """The array in the bytes of an idx file."""
    head = bytes(data[:4])
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES:
        raise UserError(f"{path}: is no idx file (begins with {head.hex() or 'nothing'})")
    dtype, axes = np.dtype(_TYPES[head[2]]), head[3]
    start = 4 + 4 * axes
    extents = bytes(data[4:start])
    if len(extents) < 4 * axes:
        raise UserError(f"{path}: is cut short")
    shape = struct.unpack(f">{axes}I", extents)
    if len(data) != start + math.prod(shape) * dtype.itemsize:
        raise UserError(f"{path}: holds {len(data) - start} bytes of numbers, and its header promises {shape}")
    if isinstance(data, np.memmap):
        return np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape)
    return np.frombuffer(data, dtype=dtype, offset=start).reshape(shape)

"""Images in arrays: idx files, .npz and .npy, memory-mapped where they are large and not compressed."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from beeline.core.errors import UserError
from beeline.data.idx import image_files, read_idx

Array = np.ndarray[Any, Any]
# Usual names of arrays: of images and of their labels, in pairs, the likeliest first.
_TRAINING = "train_images x_train X_train images x X data samples arr_0"
_TRAINING_LABELS = "train_labels y_train Y_train labels label y Y targets arr_1"
_HELD_OUT = "test_images x_test X_test val_images x_val X_val valid_images held_out_images"
_HELD_OUT_LABELS = "test_labels y_test Y_test val_labels y_val Y_val valid_labels held_out_labels"
_AWAY = ("t10k", "test", "val", "held_out")
_LARGE = 2**24


@dataclass(frozen=True)
class Part:
    """Images of one array.

    Args:
        name: where they come from.
        images: (N, H, W, C) of whole numbers of 8 or 16 bits, or of floats.
        labels: (N,) whole numbers or text, None where none are known.
        groups: (N,) of what each belongs to, None where that is not told.
        held_out: whether they are held out; None where that is not told.
        note: what was done to them; empty for nothing.
    """

    name: str
    images: Array
    labels: Array | None = None
    groups: Array | None = None
    held_out: bool | None = None
    note: str = ""


def find_arrays(path: Path) -> list[Path]:
    """The files that hold arrays of images: the path itself, or what lies directly in that folder; none elsewhere.

    Raises:
        UserError: the path is a file of another kind.
    """
    if path.is_file():
        if path.suffix not in (".npz", ".npy") and not image_files([path.name]):
            raise UserError(f"{path}: is neither a folder nor an .npz, .npy or idx file of images")
        return [path]
    names = sorted(each.name for each in path.iterdir() if each.is_file() and not each.name.startswith("."))
    idx = list(image_files(names))
    packed = [name for name in names if name.endswith(".npz")]
    plain = [name for name in names if name.endswith(".npy") and _partner(name) != name]
    return [path / name for name in idx or packed or plain or [n for n in names if n.endswith(".npy")]]


def read_parts(files: Sequence[Path]) -> list[Part]:
    """The images in files that ``find_arrays`` found.

    Raises:
        UserError: they cannot be read, hold no images, or it is not clear which to take.
    """
    if len({file.suffix for file in files if file.suffix in (".npz", ".npy")}) and len(files) > 1:
        listed = ", ".join(file.name for file in files)
        raise UserError(f"{files[0].parent}: holds several arrays ({listed}); name one of them as the path")
    if files[0].suffix == ".npz":
        parts = _from_npz(files[0])
    elif files[0].suffix == ".npy":
        parts = [_from_npy(files[0])]
    else:
        parts = [_from_idx(file, sure=len(files) > 1) for file in files]
        if len({part.held_out for part in parts}) < len(parts):
            listed = ", ".join(file.name for file in files)
            raise UserError(f"{files[0].parent}: need one idx file of training images and one of others, not {listed}")
    return [_checked(part) for part in parts]


def _from_idx(path: Path, sure: bool) -> Part:
    plain = image_files([path.name])[path.name].removesuffix(".gz")
    beside = [path.with_name(name) for name in (plain, f"{plain}.gz")]
    found = next((read_idx(labels) for labels in beside if labels.is_file()), None)
    held_out = any(word in path.name.lower() for word in _AWAY) if sure else None
    return Part(path.name, read_idx(path), found, held_out=held_out)


def _from_npy(path: Path) -> Part:
    labels = path.with_name(_partner(path.name))
    found = None
    if labels != path and labels.is_file():
        found = _load(labels)
    elif (beside := path.with_name("labels.npy")).is_file() and beside != path:
        found = _load(beside)
    return Part(path.name, _load(path, mapped=True), found)


def _from_npz(path: Path) -> list[Part]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            first = _first(names, _TRAINING)
            if first is None:
                raise UserError(f"{path}: holds {', '.join(names) or 'nothing'}, and none is called 'images'")
            second = _first(names, _HELD_OUT)
            sides = [(first, _first(names, _TRAINING_LABELS), "groups", None if second is None else False)]
            if second is not None:
                sides.append((second, _first(names, _HELD_OUT_LABELS), "held_out_groups", True))
            return [
                Part(
                    f"{path.name}:{images}",
                    read_member(path, archive, images),
                    archive[labels] if labels else None,
                    archive[groups] if groups in names else None,
                    held_out,
                )
                for images, labels, groups, held_out in sides
            ]
    except UserError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: not a readable .npz file ({error})") from None


def _first(names: Sequence[str], usual: str) -> str | None:
    return next((name for name in usual.split() if name in names), None)


def _partner(name: str) -> str:
    """The name that the labels of an array have: labels in place of images, or before the ending."""
    if "labels" in name:
        return name
    named = re.sub("(?:image)s", "labels", name)
    return named if named != name else name.replace(".npy", "_labels.npy")


def _load(path: Path, mapped: bool = False) -> Array:
    try:
        large = mapped and path.stat().st_size > _LARGE
        return np.asanyarray(np.load(path, mmap_mode="r" if large else None, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: not a readable .npy file ({error})") from None


def read_member(path: Path, archive: Any, name: str) -> Array:
    """An array of an opened .npz: mapped where it is large and not compressed, else read."""
    with zipfile.ZipFile(path) as packed:
        entry = packed.getinfo(f"{name}.npy")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size < _LARGE:
            return np.asarray(archive[name])
        with open(path, "rb") as file:
            # The local header, APPNOTE 4.3.7: 30 bytes, of which the last four tell how long name and extra field are.
            file.seek(entry.header_offset + 26)
            file.seek(sum(struct.unpack("<HH", file.read(4))), 1)
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            if fortran:
                return np.asarray(archive[name])
            return np.memmap(path, dtype=dtype, mode="r", offset=file.tell(), shape=shape)


def _checked(part: Part) -> Part:
    """A part as (N, H, W, C) of a type that can be an image.

    Raises:
        UserError: it is something else.
    """
    images, note = part.images, part.note
    if images.dtype == np.bool_:
        images, note = images.astype(np.uint8) * np.uint8(255), "true and false become 255 and 0"
    if images.dtype.kind not in "uf" or images.dtype.itemsize > (2 if images.dtype.kind == "u" else 8):
        raise UserError(f"{part.name}: {images.dtype} numbers are no pixels; need uint8, uint16 or floats")
    if images.ndim == 4 and images.shape[-1] not in (1, 3, 4) and images.shape[1] in (1, 3, 4):
        images, note = np.moveaxis(images, 1, -1), "channels stand before rows and columns, and are put last"
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3, 4) or 0 in images.shape:
        raise UserError(f"{part.name}: shape {part.images.shape} is not (images, rows, columns[, 1, 3 or 4 channels])")
    labels, groups = (None if column is None else np.asarray(column) for column in (part.labels, part.groups))
    if labels is not None and labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    for what, column in (("labels", labels), ("groups", groups)):
        if column is not None and (column.shape != images.shape[:1] or column.dtype.kind not in "iuU"):
            raise UserError(
                f"{part.name}: {what} of shape {column.shape} and type {column.dtype}; need a whole number or a word "
                f"for each of {len(images)} images"
            )
    return Part(part.name, images, labels, groups, part.held_out, note)

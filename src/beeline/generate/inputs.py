"""Data that users bring to a trained model: pictures, .npy and .npz files, those of its field, or folders of them.

Nothing is resized, converted or rounded: what does not fit the model as it is, is refused.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from beeline.core.data import Example
from beeline.core.errors import UserError
from beeline.core.files import sha256
from beeline.core.offers import Bringing, Completing, Decoding
from beeline.core.protocols import Array, Modality
from beeline.data.image_files import ENDINGS, UnusableError, look, read_image
from beeline.data.image_reading import Reading
from beeline.data.normalisers import Pixels
from beeline.model.codec import Codec

_CHANNELS = {1: "grey", 3: "rgb", 4: "rgba"}
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Input:
    """One sample that the user has brought.

    Args:
        name: its file, and which of the file it is.
        array: native array.
        sha256: hash of the file.
        condition: what the file says of it.
    """

    name: str
    array: Array
    sha256: str
    condition: Mapping[str, Any] = field(default_factory=dict)


def read_inputs(paths: Sequence[str | Path], codec: Codec, modality: Modality) -> list[Input]:
    """Native arrays, in the order of the paths; those of a folder by name.

    Args:
        paths: files or folders, at least one.
        codec: of the model.
        modality: the kind of data.

    Raises:
        UserError: a file cannot be read or does not fit the model.
    """
    found: list[Input] = []
    for path in map(Path, paths):
        for file in _files(path, modality):
            digest = sha256(file)
            for name, example in _samples(file, codec, modality):
                if (reason := _reason(example.array, codec)) is not None:
                    raise UserError(f"{name}: {reason}")
                found.append(Input(name, example.array, digest, example.condition))
    return found


def read_masks(path: str | Path, arrays: Sequence[Array]) -> list[Array]:
    """A mask for each array: True where a picture is lighter than half, or a number is not 0.

    Args:
        path: a picture, .npy or .npz file with one mask for all, or an array or a folder with one for each.
        arrays: native arrays that they are aligned with, with or without their channels.

    Raises:
        UserError: a file cannot be read, or a mask has another shape than its array.
    """
    masks: list[tuple[str, Array]] = []
    for file in _files(Path(path), None):
        if file.suffix.lower() in ENDINGS:
            masks.append((str(file), _picture(file, 1)[..., 0] >= 128))
            continue
        for name, array in _arrays(file):
            if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and np.isnan(array).any()):
                raise UserError(f"{name}: a mask holds true and false, or numbers")
            stacked = array.ndim > 1 and array.shape != arrays[0].shape and array.shape != arrays[0].shape[:-1]
            several = stacked and array.shape[0] == len(arrays)
            masks += [(f"{name}[{i}]", each != 0) for i, each in enumerate(array)] if several else [(name, array != 0)]
    if len(masks) not in (1, len(arrays)):
        raise UserError(f"{path}: holds {len(masks)} masks for {len(arrays)} inputs; bring one, or one for each")
    every = masks * len(arrays) if len(masks) == 1 else masks
    return [_aligned(name, mask, array) for (name, mask), array in zip(every, arrays, strict=True)]


def _aligned(name: str, mask: Array, array: Array) -> Array:
    if mask.shape in (array.shape, (*array.shape[:-1], 1)):
        return mask
    if array.ndim > 1 and mask.shape == array.shape[:-1]:
        return mask[..., None]
    raise UserError(f"{name}: a mask of shape {_shape(mask)} over data of {_shape(array)}; it needs their extents")


def _files(path: Path, modality: Modality | None) -> list[Path]:
    """The files under a path. Of a folder of samples of ours, that with their arrays."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder")
    ours = ("latents.npz", "samples.npz") if isinstance(modality, Decoding) else ("samples.npz",)
    for name in ours:
        if (path / name).is_file():
            return [path / name]
    inside = sorted(each for each in path.iterdir() if each.is_file() and not each.name.startswith("."))
    for endings in (_brought(modality), ENDINGS, {".npy", ".npz"}):
        if chosen := [each for each in inside if each.suffix.lower() in endings]:
            return chosen
    wanted = ", ".join((*_brought(modality), "picture", ".npy"))
    raise UserError(f"{path}: holds no {wanted} or .npz file")


def _brought(modality: Modality | None) -> Collection[str]:
    """Endings of the files of its field that a modality reads samples from."""
    return modality.endings if isinstance(modality, Bringing) else ()


def _samples(file: Path, codec: Codec, modality: Modality) -> Iterator[tuple[str, Example]]:
    """The samples in a file."""
    if isinstance(modality, Bringing) and file.suffix.lower() in modality.endings:
        yield from ((f"{file}[{i}]", each) for i, each in enumerate(modality.brought(file)))
    elif file.suffix.lower() in ENDINGS:
        yield str(file), Example(_native_picture(file, codec))
    else:
        yield from ((name, Example(array)) for name, array in _stacked(file, codec))


def _stacked(file: Path, codec: Codec) -> Iterator[tuple[str, Array]]:
    """The samples in an .npy or .npz file."""
    for name, array in _arrays(file):
        # One sample or a stack of them, and grey pictures with or without an axis for their one channel.
        every = [[array], list(array) if array.ndim else [], [array[..., None]], list(array[..., None])]
        ways = [way for way in every if way and way[0].ndim == codec.tokenizer.axes + 1] or every[:1]
        reasons = [_reason(way[0], codec) for way in ways]
        if None not in reasons:
            raise UserError(f"{name}: {reasons[0]}")
        samples = ways[reasons.index(None)]
        yield from (
            [(name, samples[0])] if len(samples) == 1 else [(f"{name}[{i}]", each) for i, each in enumerate(samples)]
        )


def _arrays(file: Path) -> list[tuple[str, Array]]:
    """The arrays of a .npy or .npz file.

    Raises:
        UserError: it is neither, is damaged, or it is not clear which arrays are samples.
    """
    if file.suffix.lower() not in (".npy", ".npz"):
        raise UserError(f"{file}: is neither a picture nor an .npy or .npz file")
    try:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return [(str(file), loaded)]
        with loaded as archive:
            ours = [name for name in archive.files if name == "samples" or name.startswith("sample_")]
            names = ours or list(archive.files)
            if len(names) != 1 and not ours:
                raise UserError(f"{file}: holds {', '.join(names) or 'nothing'}; call the array of samples 'samples'")
            return [(f"{file}:{name}", archive[name]) for name in names]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{file}: cannot be read ({error})") from None


def _native_picture(file: Path, codec: Codec) -> Array:
    """A picture of the model's channels and bits, as it is."""
    tokenizer, normaliser = codec.tokenizer, codec.normaliser
    channels = tokenizer.width // tokenizer.lift_width(1)
    if not isinstance(normaliser, Pixels) or tokenizer.axes != 2 or channels not in _CHANNELS:
        raise UserError(f"{file}: is a picture, and this model's data are none; bring them as .npy or .npz arrays")
    return _picture(file, channels, normaliser.bits)


def _picture(file: Path, channels: int, bits: int = 8) -> Array:
    try:
        header = look(file)
    except UnusableError as error:
        raise UserError(f"{file}: {error}") from None
    if (header.channels, header.bits) != (channels, bits):
        raise UserError(
            f"{file}: is {_CHANNELS[header.channels]} of {header.bits} bits, and {_CHANNELS[channels]} of {bits} bits "
            "is wanted; convert it first"
        )
    return read_image(file, Reading(header.height, header.width, channels, 16 if bits == 16 else 8))


def _reason(array: Array, codec: Codec) -> str | None:
    """Why an array is no sample of the model, None where it is one."""
    if array.dtype.kind not in "biuf":
        return f"need real numbers, found {array.dtype}"
    try:
        codec.tokens(Example(array))
    except UserError as error:
        return str(error)
    if codec.tokenizer.axes and codec.forms:
        extents = codec.form(array)
        ranges = [(min(axis), max(axis)) for axis in zip(*(form for form, _ in codec.forms), strict=True)]
        if any(not low <= extent <= high for extent, (low, high) in zip(extents, ranges, strict=True)):
            known = "x".join(str(low) if low == high else f"{low}..{high}" for low, high in ranges)
            size = "x".join(map(str, extents))
            return f"is {size}, and the model was trained on {known}; bring it to that size first"
    normaliser = codec.normaliser
    tokens = normaliser.apply(array)
    back = normaliser.undo_beside(tokens, array) if isinstance(normaliser, Completing) else normaliser.undo(tokens)
    largest = float(np.nanmax(np.abs(array.astype(np.float64)), initial=0.0))
    if not np.allclose(back, array, rtol=_ROUNDING, atol=_ROUNDING * largest, equal_nan=True):
        return "holds numbers that the model's normaliser would not give back; it changes them"
    return None


def _shape(array: Array) -> str:
    return "x".join(map(str, array.shape))

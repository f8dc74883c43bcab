"""Writing samples: pictures for people, arrays for programs, provenance for both."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from beeline.core.data import Example, Examples
from beeline.core.errors import InputWarning, RunError, UserError
from beeline.core.files import check_writable, write_bytes, write_json, written
from beeline.core.offers import Bounded, Native
from beeline.core.protocols import Modality
from beeline.core.random import Key
from beeline.generate.engine import Engine, Request, Samples

OWN_ENDINGS = (".png", ".npz")
_OTHER_ENDINGS = (
    ".jpg",
    ".jpeg",
    ".gif",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
    ".npy",
    ".zip",
    ".json",
    ".csv",
    ".pt",
    ".nc",
    ".nc4",
    ".cdf",
    ".h5",
    ".hdf5",
    ".zarr",
)


def picture(modality: Modality, examples: Examples) -> Image:
    """A modality's picture of some samples.

    Raises:
        RunError: ``preview`` failed or gave no picture.
    """
    try:
        drawn = modality.preview(examples)
    except Exception as error:
        raise RunError(f"preview() failed ({type(error).__name__}: {error})") from error
    if not isinstance(drawn, Image):
        raise RunError(f"preview() gave a {type(drawn).__name__}, not a PIL image")
    return drawn


def picture_bytes(modality: Modality, examples: Examples) -> bytes:
    """The same as PNG.

    Raises:
        RunError: ``preview`` failed or gave no picture.
    """
    buffer = io.BytesIO()
    picture(modality, examples).save(buffer, format="PNG")
    return buffer.getvalue()


def array_bytes(examples: Examples) -> bytes:
    """Native arrays as npz: one array ``samples`` where all have the same shape, else ``sample_00000`` and so on."""
    arrays = [example.array for example in examples]
    buffer = io.BytesIO()
    if len({array.shape for array in arrays}) == 1:
        np.savez(buffer, samples=np.stack(arrays))
    else:
        np.savez(buffer, **{f"sample_{index:05}": array for index, array in enumerate(arrays)})  # type: ignore[arg-type]
    return buffer.getvalue()


def write_npz(
    path: Path, arrays: Mapping[str, tuple[tuple[int, ...], np.dtype[Any], Iterable[np.ndarray[Any, Any]]]]
) -> None:
    """Write an npz of arrays that never lie in memory as a whole.

    Args:
        path: of the file.
        arrays: shape, type, and pieces along the first axis, by name.

    Raises:
        OSError: the place cannot be written to.
    """
    with written(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, (shape, dtype, pieces) in arrays.items():
            header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            with archive.open(f"{name}.npy", mode="w", force_zip64=True) as member:
                np.lib.format.write_array_header_2_0(member, header)
                for piece in pieces:
                    member.write(np.ascontiguousarray(piece, dtype=dtype).data)


def endings_of(modality: Modality) -> Sequence[str]:
    """Endings of the files that samples of a modality can be written as."""
    return (*OWN_ENDINGS, *modality.endings) if isinstance(modality, Native) else OWN_ENDINGS


def check_output(out: Path, endings: Sequence[str] = OWN_ENDINGS) -> None:
    """Refuse a place where samples cannot be written, before they are drawn.

    Args:
        out: the place.
        endings: of the files that they can be written as.

    Raises:
        UserError: it has an ending that is none of ours, or cannot be written to.
    """
    ending = out.suffix.lower()
    if ending not in endings and (ending in _OTHER_ENDINGS or out.is_file()):
        raise UserError(f"{out}: samples are written as {', '.join(endings)} or into a folder")
    if ending in endings and out.is_dir():
        raise UserError(f"{out}: is a folder, and its ending is that of a file; choose another --out")
    check_writable(out)


def check_size(engine: Engine, requests: Sequence[Request], seed: int, out: Path | None) -> None:
    """Refuse samples that the file which was asked for will not hold, before they are drawn.

    Args:
        engine: that will draw them.
        requests: what is asked for.
        seed: of the samples.
        out: where they go; a folder, None among them, also holds them as arrays, and is warned of alone.

    Raises:
        UserError: they are too many, or too large.
    """
    if not isinstance(engine.modality, Bounded) or (out is not None and out.suffix.lower() in OWN_ENDINGS):
        return
    try:
        engine.modality.check_files(_outline(engine, requests, seed))
    except UserError as error:
        if out is not None and out.suffix.lower() in engine.modality.endings:
            raise
        warnings.warn(f"{error}; they are written as .npz alone", InputWarning, stacklevel=2)


def _outline(engine: Engine, requests: Sequence[Request], seed: int) -> list[Example]:
    """What will be drawn: arrays of its shapes and dtypes that take no memory, with the conditions asked for."""
    natives: dict[tuple[int, ...], np.ndarray[Any, Any]] = {}
    found = []
    for item, request in enumerate(requests):
        form = engine.form_of(request, Key.range(seed, item, 1))
        if form not in natives:
            (native,) = engine.codec.decode(engine.codec.tokenizer.blank(form))
            natives[form] = np.broadcast_to(np.zeros((), native.dtype), native.shape)
        found.append(Example(natives[form], request.condition))
    return found


def write_samples(modality: Modality, samples: Samples, out: Path, latents: Examples | None = None) -> list[Path]:
    """Write samples where the user wants them.

    Args:
        modality: draws the picture.
        samples: what was generated, decoded where it can be.
        out: a .png for a picture, an .npz for arrays, an ending of the modality's own for such a file, else a folder
            for all; provenance lies beside as JSON.
        latents: what they were decoded from, written into a folder as latents.npz; None where nothing was decoded.

    Returns:
        the files written.

    Raises:
        OSError: the place cannot be written to.
        RunError: the modality's picture failed.
    """
    one_file = out.suffix.lower() in endings_of(modality)
    arrays = out if one_file else out / "samples.npz"
    sheet = out if one_file else out / "samples.png"
    record = out.with_suffix(".provenance.json") if one_file else out / "samples.json"
    files = [sheet, arrays]
    if arrays.suffix.lower() == ".npz":
        write_bytes(arrays, array_bytes(samples.examples))
    if latents is not None and not one_file:
        files.append(out / "latents.npz")
        write_bytes(files[-1], array_bytes(latents))
    if sheet.suffix.lower() == ".png":
        write_bytes(sheet, picture_bytes(modality, samples.examples))
    write_json(record, samples.provenance)
    if isinstance(modality, Native) and out.suffix.lower() not in OWN_ENDINGS:
        files += _write_native(modality, samples, out, one_file)
    return list(dict.fromkeys((*files, record)))


def _write_native(modality: Native, samples: Samples, out: Path, one_file: bool) -> list[Path]:
    """The files of the modality's own kind, or the one that was asked for; none of samples that no file holds."""
    try:
        contents = modality.files(samples.examples, samples.provenance)
    except UserError as error:
        if one_file:  # what was drawn is not thrown away
            write_bytes(out.with_suffix(".npz"), array_bytes(samples.examples))
            raise UserError(f"{error}; the samples are in {out.with_suffix('.npz')}") from None
        return []
    if one_file:
        contents = {ending: data for ending, data in contents.items() if ending == out.suffix.lower()}
    files = [out if one_file else out / f"samples{ending}" for ending in contents]
    for path, data in zip(files, contents.values(), strict=True):
        write_bytes(path, data)
    return files

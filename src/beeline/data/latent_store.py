"""A folder of latents: what they are (latents.json), of which images (images.json), and their numbers (latents.npy).

The numbers grow in ``latents.partial`` while they are made; what is sure to be there is told by ``progress.json``, and
the file takes its name when it is whole. A kill at any moment costs the images since the last line of progress.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from beeline.core.config import build, plain
from beeline.core.errors import UserError
from beeline.core.files import (
    append_bytes,
    is_leftover,
    make_folder,
    read_json,
    remove_leftovers,
    sync_file,
    sync_folder,
    write_bytes,
    write_json,
    write_text,
)
from beeline.core.units import size

Array = np.ndarray[Any, Any]
Split = Literal["train", "held_out", "none"]
INDEX, _IMAGES, ARRAY, _PARTIAL, _PROGRESS = (
    "latents.json", "images.json", "latents.npy", "latents.partial", "progress.json",
)  # fmt: skip
_FORMAT = 1
NUMBER = np.dtype("<f4")
_SECONDS_BETWEEN_MARKS = 2.0
_MAY_DIFFER = ("library", "vae")


@dataclass(frozen=True)
class LatentIndex:
    """What some latents are.

    Args:
        format: of the folder.
        library: version that began it.
        images: where the images lay.
        files: whether they were files rather than arrays.
        images_sha256: hash of images.json.
        count: how many images.
        classes: how many classes they have, 0 for none.
        names: of the classes; empty where they have numbers alone.
        size: rows and columns of pixels.
        flips: whether the mirror image of each is there too.
        seed: of the draws from the posterior.
        shape: of a latent, (rows, columns, channels).
        scale: by which models see latents multiplied; the stored numbers are raw.
        shift: that models take off before, one for each channel; empty for none.
        vae: folder of the autoencoder.
        vae_sha256: hash of its weights file.
    """

    format: int
    library: str
    images: str
    files: bool
    images_sha256: str
    count: int
    classes: int
    names: tuple[str, ...]
    size: tuple[int, int]
    flips: bool
    seed: int
    shape: tuple[int, int, int]
    scale: float
    shift: tuple[float, ...]
    vae: str
    vae_sha256: str

    @property
    def array_shape(self) -> tuple[int, ...]:
        """Of the stored array: (images, 1 or 2 flips, rows, columns, channels)."""
        return (self.count, 1 + self.flips, *self.shape)

    @property
    def bytes_an_image(self) -> int:
        """Of the stored array."""
        return int(np.prod(self.array_shape[1:])) * NUMBER.itemsize


@dataclass(frozen=True)
class LatentImages:
    """The images that some latents are of; each column has one value an image, or is None where nothing is told.

    Args:
        file: where it lay below the folder of the images, or its number in an array.
        label: its class.
        group: what it belongs to.
        split: ``train``, ``held_out`` or ``none`` where that was not told.
    """

    file: Sequence[str]
    label: Sequence[int] | None
    group: Sequence[Hashable] | None
    split: Sequence[Split]

    def text(self) -> str:
        """As JSON, a line a column."""
        columns = [
            f"{json.dumps(field.name)}: {json.dumps(getattr(self, field.name))}" for field in dataclasses.fields(self)
        ]
        return "{" + ",\n ".join(columns) + "}\n"

    @property
    def sha256(self) -> str:
        """Hash of what is written of them."""
        return hashlib.sha256(self.text().encode()).hexdigest()


def is_latents(folder: Path) -> bool:
    """Whether a folder is one of latents."""
    return (folder / INDEX).is_file()


def read_index(folder: Path) -> LatentIndex:
    """What the latents in a folder are.

    Raises:
        UserError: there are none, or their description is damaged.
    """
    if not is_latents(folder):
        raise UserError(
            f"{folder}: holds no latents ({INDEX}); 'beeline convert IMAGES {folder} --vae FOLDER' makes them"
        )
    values = read_json(folder / INDEX)
    if not isinstance(values, dict) or values.get("format") != _FORMAT:
        raise UserError(f"{folder / INDEX}: damaged, or not of format {_FORMAT}, which this version reads")
    try:
        return build(LatentIndex, values)
    except (UserError, TypeError) as error:
        raise UserError(f"{folder / INDEX}: damaged ({error})") from None


def read_images(folder: Path, index: LatentIndex) -> LatentImages:
    """The images that the latents in a folder are of.

    Raises:
        UserError: they are missing or damaged.
    """
    values = read_json(folder / _IMAGES)
    try:
        images = LatentImages(**values)
    except TypeError:
        raise UserError(f"{folder / _IMAGES}: damaged") from None
    if images.sha256 != index.images_sha256:
        raise UserError(f"{folder / _IMAGES}: is not the one that {INDEX} was written with")
    return images


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make a folder and keep it for this process while the block lasts.

    Raises:
        UserError: it is a file, or another process has it.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a folder for the latents")
    make_folder(folder)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(f"{folder}: another process is filling it; wait for it, or choose another folder") from None
    finally:
        os.close(handle)


class LatentWriter:
    """Fills a folder of latents, from where an earlier attempt was stopped.

    Args:
        folder: of the latents, claimed.
        index: what they are.
        images: that they are of.

    Raises:
        UserError: the folder holds something else, or latents made otherwise, or there is no room.
    """

    def __init__(self, folder: Path, index: LatentIndex, images: LatentImages) -> None:
        self.folder = folder
        self.index = index
        self.done = 0
        self._marked = time.monotonic()
        if is_latents(folder):
            _refuse_changes(folder, read_index(folder), index)
            self.done = self._kept()
        else:
            _refuse_others(folder)
        if self.done == 0:
            _check_room(folder, index)
            write_text(folder / _IMAGES, images.text())
            write_bytes(folder / _PARTIAL, _header(index))
            write_json(folder / INDEX, plain(index))

    @property
    def array(self) -> Path:
        """The file of the numbers, once it is whole."""
        return self.folder / ARRAY

    def append(self, latents: Array) -> None:
        """Add the latents of the next images, (N, flips, h, w, C); every few seconds what is there is made sure of."""
        append_bytes(self.folder / _PARTIAL, np.ascontiguousarray(latents, dtype=NUMBER).tobytes())
        self.done += len(latents)
        if time.monotonic() - self._marked >= _SECONDS_BETWEEN_MARKS:
            sync_file(self.folder / _PARTIAL)
            write_json(self.folder / _PROGRESS, {"done": self.done})
            self._marked = time.monotonic()

    def finish(self) -> None:
        """Give the file its name."""
        if not self.array.is_file():
            sync_file(self.folder / _PARTIAL)
            os.replace(self.folder / _PARTIAL, self.array)
            sync_folder(self.folder)
        (self.folder / _PROGRESS).unlink(missing_ok=True)

    def _kept(self) -> int:
        """How many images an earlier attempt has done; what it wrote beyond them is cut away."""
        remove_leftovers(self.folder)
        if self.array.is_file():
            return self.index.count
        done = latents_done(self.folder)
        partial, header = self.folder / _PARTIAL, len(_header(self.index))
        wanted = header + done * self.index.bytes_an_image
        if not done or not partial.is_file() or partial.stat().st_size < wanted:
            return 0
        os.truncate(partial, wanted)
        return done


def latents_done(folder: Path) -> int:
    """Of how many images an unfinished folder holds the latents for sure."""
    path = folder / _PROGRESS
    done = read_json(path) if path.is_file() else {}
    return int(done.get("done", 0)) if isinstance(done, dict) else 0


def _header(index: LatentIndex) -> bytes:
    buffer = io.BytesIO()
    described = {"descr": NUMBER.str, "fortran_order": False, "shape": index.array_shape}
    np.lib.format.write_array_header_2_0(buffer, described)
    return buffer.getvalue()


def _refuse_changes(folder: Path, before: LatentIndex, now: LatentIndex) -> None:
    for field in dataclasses.fields(LatentIndex):
        old, new = (getattr(index, field.name) for index in (before, now))
        if field.name in _MAY_DIFFER or old == new:
            continue
        if field.name == "images_sha256":
            raise UserError(f"{folder}: the images, or their labels, have changed since; choose another folder")
        if field.name == "vae_sha256":
            raise UserError(f"{folder}: was begun with another autoencoder, {before.vae}; choose another folder")
        raise UserError(f"{folder}: was begun with {field.name} {_say(old)}, not {_say(new)}; choose another folder")


def _say(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _refuse_others(folder: Path) -> None:
    for name in sorted(path.name for path in folder.iterdir()):
        if name not in (_IMAGES, _PARTIAL) and not is_leftover(folder / name):
            raise UserError(f"{folder}: holds something else ({name}); name an empty folder for the latents")


def _check_room(folder: Path, index: LatentIndex) -> None:
    above = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    needed, free = index.count * index.bytes_an_image, shutil.disk_usage(above).free
    if needed > free:
        raise UserError(f"{folder}: the latents need {size(needed)}, and {size(free)} are free there")

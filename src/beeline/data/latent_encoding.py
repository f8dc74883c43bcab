"""Encoding a set of images into latents, once, so that training never meets a pixel.

Image number i and its mirror image are read, brought to [-1, 1] and encoded; the latent is drawn from the posterior,
z = m + s n, as DiT does, with n named by (seed, image number, flip): any batch size meets the same n, and a folder
that was stopped half-way ends as if it had not been.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from beeline.core.errors import UserError, whole_number
from beeline.core.random import Key
from beeline.data.autoencoder import Autoencoder, AutoencoderFiles
from beeline.data.image_choice import Wishes, asked_size, choose
from beeline.data.image_reading import Reading
from beeline.data.image_sets import Found, Pictures
from beeline.data.image_sources import BadFiles
from beeline.data.latent_store import LatentImages, LatentIndex, LatentWriter, Split

Array = np.ndarray[Any, Any]
_PIXELS_A_BATCH = 2**19
_READERS = 4


@dataclass(frozen=True)
class Encoding:
    """What is to become of images.

    Args:
        size: pixels of every image: one number for squares, or rows x columns such as 256x384; both multiples of the
            autoencoder's factor. Others are brought to it as ``fit: crop`` of images does: shorter side to size by an
            antialiased bicubic filter, and the middle of the longer one; ADM's centre crop halves large images by a
            box filter first, which differs in the last grey levels.
        flips: whether the mirror image is encoded too.
        labels: where classes come from: folders, none, or a manifest.
        bad_files: what becomes of files that cannot be used: refuse or leave_out.
        seed: of the draws from the posterior.
    """

    size: int | str = 256
    flips: bool = True
    labels: str = "folders"
    bad_files: BadFiles = "refuse"
    seed: int = 0

    def __post_init__(self) -> None:
        whole_number("seed", self.seed, 0)


def plan_latents(
    found: Found, files: AutoencoderFiles, encoding: Encoding, library: str
) -> tuple[LatentIndex, LatentImages, Reading, Sequence[str]]:
    """What the latents of some images will be, before any is made.

    Args:
        found: the images.
        files: the autoencoder.
        encoding: what is asked for.
        library: version of this library.

    Returns:
        description, columns, the policy under which images are read, and what there is to say of that.

    Raises:
        UserError: the size does not fit the autoencoder, or the images are not of 8 or 16 bits.
    """
    size = asked_size(encoding.size)
    if size is None:
        raise UserError("size auto: an autoencoder takes one size; say for example --size 256")
    factor = files.factor
    for side in size:
        if side % factor:
            near = max(factor, round(side / factor) * factor)
            raise UserError(f"size {side}: this autoencoder needs a multiple of {factor}, such as {near}")
    if any(look.floats for look in found.looks):
        raise UserError(f"{found.where}: holds floats; bring images of 8 bits, 0 to 255")
    choice = choose(found, Wishes(size, files.pixel_channels, 8, 1, "crop"), math.prod(size))
    images = _columns(found)
    index = LatentIndex(
        format=1,
        library=library,
        images=found.where,
        files=found.files,
        images_sha256=images.sha256,
        count=len(found.pictures),
        classes=found.classes,
        names=found.names,
        size=size,
        flips=encoding.flips,
        seed=encoding.seed,
        shape=(size[0] // factor, size[1] // factor, files.channels),
        scale=files.scale,
        shift=files.shift,
        vae=str(files.folder),
        vae_sha256=files.sha256,
    )
    return index, images, choice.reading, choice.reasons


def _columns(found: Found) -> LatentImages:
    every = range(len(found.pictures))
    splits: list[Split] = ["none"] * len(every)
    if found.held_out is not None:
        splits = ["held_out" if away else "train" for away in found.held_out.tolist()]
    return LatentImages(
        file=[found.pictures.name(number).removeprefix(f"{found.where}/") for number in every],
        label=None if found.labels is None else found.labels.tolist(),
        group=None if found.groups is None else list(found.groups),
        split=splits,
    )


def encode_images(
    pictures: Pictures,
    reading: Reading,
    autoencoder: Autoencoder,
    writer: LatentWriter,
    batch_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Encode the images that a folder of latents still lacks.

    Args:
        pictures: the images.
        reading: the policy under which they are read.
        autoencoder: encodes them.
        writer: takes the latents; begins where it stopped.
        batch_size: images at a time; as many as memory can be trusted with when None.
        progress: called with (images done, images in all).

    Raises:
        UserError: an image cannot be read; its name is in the message.
    """
    index = writer.index
    batch_size = batch_size or max(1, _PIXELS_A_BATCH // math.prod(index.size))
    rows, columns, channels = index.shape
    for start, images in _read_ahead(pictures, reading, writer.done, index.count, batch_size):
        key = Key.range(index.seed, start, len(images)).fold("posterior")
        sides = [images, images[:, :, ::-1]][: 1 + index.flips]
        drawn = [
            autoencoder.encode(side, key.fold(flip).normal(channels * rows * columns).view(-1, channels, rows, columns))
            for flip, side in enumerate(sides)
        ]
        writer.append(np.stack(drawn, axis=1))
        if progress is not None:
            progress(writer.done, index.count)
    writer.finish()


def _read_ahead(
    pictures: Pictures, reading: Reading, first: int, count: int, batch_size: int
) -> Iterator[tuple[int, Array]]:
    """Batches of images behind one another, the next one being read while one is worked on."""
    with ThreadPoolExecutor(min(_READERS, torch.get_num_threads())) as pool:

        def begin(start: int) -> list[Future[Array]]:
            return [
                pool.submit(pictures.read, number, reading) for number in range(start, min(start + batch_size, count))
            ]

        ahead = begin(first)
        for start in range(first, count, batch_size):
            waiting, ahead = ahead, begin(start + batch_size)
            try:
                images = np.stack([each.result() for each in waiting])
            except BaseException:
                for each in (*waiting, *ahead):
                    each.cancel()
                raise
            yield start, images

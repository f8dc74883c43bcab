"""Latents of images, made by ``beeline convert IMAGES LATENTS --vae FOLDER``; samples are decoded to images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from beeline.conditioning.label import ClassLabel
from beeline.core.data import Example, Examples, Metric
from beeline.core.device import find_device
from beeline.core.errors import UserError
from beeline.core.protocols import Array, Condition
from beeline.data.autoencoder import Autoencoder, AutoencoderFiles, find_autoencoder
from beeline.data.image_reading import Reading
from beeline.data.image_sets import Found, SplitBy
from beeline.data.image_sources import class_counts
from beeline.data.latent_sets import LatentSet
from beeline.data.latent_store import LatentImages, LatentIndex, read_images, read_index
from beeline.data.normalisers import Scale
from beeline.data.pictures import Picture, image_grid, viewable
from beeline.metrics.neighbours import nearest_distance_ratio
from beeline.metrics.references import pixels_and_labels
from beeline.tokenizers.grid import GridTokenizer

_HELD_OUT = 0.2
_NO_VAE = "none"


@dataclass(frozen=True)
class Latents:
    """Latents of images, raw, as arrays (rows, columns, channels); without a path there is a decoder and no data.

    Args:
        path: a folder that ``beeline convert IMAGES LATENTS --vae FOLDER`` made.
        vae: folder of the autoencoder that decodes samples, or none for showing them as they are; the one that made
            the latents, where it still is, when null.
        patch: cells of a latent along each side of a token.
        held_out: share of images kept from training, between 0 and 1; 0.2 when null; not to be given where the images
            were split already.
        split: what is held out whole: a group, or each image by itself, which training refuses where images share a
            group (train.force_split).
        labelled: whether the label is a condition; without it the model is unconditional.
        label_dropout: share of training examples whose label is hidden, so that guidance works; at least 0, below 1.
    """

    path: str | None = None
    vae: str | None = None
    patch: int = 2
    held_out: float | None = None
    split: SplitBy = "group"
    labelled: bool = True
    label_dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.path == "":
            raise UserError("path: missing; say where the latents are, --data.path FOLDER")
        if self.vae == "":
            raise UserError("vae: is empty; name a folder, or none, or leave it out")
        if self.patch < 1:
            raise UserError(f"patch {self.patch}: must be at least 1")
        if self.held_out is not None and not 0 < self.held_out < 1:
            raise UserError(f"held_out {self.held_out}: must lie between 0 and 1")

    def settle(self, tokens: int) -> tuple[Latents, Sequence[str]]:
        """The same modality with its autoencoder found, and what was found, a line each.

        Raises:
            UserError: the autoencoder is not one of these latents.
        """
        index, files = self._index, self._files
        if files is not None and (files.channels, files.factor) != (index.shape[2], index.size[0] // index.shape[0]):
            raise UserError(
                f"vae {files.folder}: has latents of {files.channels} channels, one cell for {files.factor} pixels; "
                f"those in {self.path} have {index.shape[2]}, one for {index.size[0] // index.shape[0]}"
            )
        settled = dataclasses.replace(
            self,
            path=str(self._folder),
            vae=_NO_VAE if files is None else str(files.folder),
            held_out=self._share,
            labelled=self._has_labels,
        )
        rows, columns, channels = index.shape
        flips = ", each with its mirror image" if index.flips else ""
        told = "as the images were" if self._share is None else f"a share of {self._share:g} held out"
        training, held_out = (len(side) for side in self._sides)
        decoder = "no autoencoder: samples stay latents" if files is None else f"samples are decoded by {files.folder}"
        return settled, [
            f"found latents of {class_counts(self._found)}: {rows}x{columns}x{channels} of "
            f"{index.size[0]}x{index.size[1]} pixels{flips}",
            f"split: {training:,} training images, {held_out:,} held out ({told})",
            decoder,
        ]

    def dataset(self, split: str) -> Examples:
        """The latents of a split; those of training images with their mirror images, where there are any."""
        index = self._index
        training, held_out = self._sides
        numbers, flips = (training, index.flips) if split == "train" else (held_out, False)
        name = "label" if self._has_labels else None
        return LatentSet(self._folder, index, self._images, numbers, flips, name)

    def normaliser(self) -> Scale:
        """The autoencoder's own factor."""
        told = self._of_data_or_decoder
        return Scale(told.scale, told.shift)

    def tokenizer(self) -> GridTokenizer:
        """Square patches."""
        told = self._of_data_or_decoder
        channels = told.shape[2] if isinstance(told, LatentIndex) else told.channels
        return GridTokenizer((self.patch, self.patch), channels)

    def conditions(self) -> Sequence[Condition]:
        """The class, unless the model is to be unconditional."""
        if self.path is None or not self._has_labels:
            return []
        return [ClassLabel("label", self._index.classes, self.label_dropout, self._index.names)]

    def metrics(self) -> Sequence[Metric]:
        """Distance from the training latents."""
        return [
            Metric(
                "nearest distance ratio",
                "median distance to the nearest training latent, samples / held-out images; at most 2,000 of each set",
                lambda training, held_out, generated: nearest_distance_ratio(
                    *(pixels_and_labels(each)[0] for each in (training, held_out, generated))
                ),
            )
        ]

    def decoded(self, samples: Examples, device: str = "auto", batch_size: int | None = None) -> Examples | None:
        """Images (H, W, channels) uint8 of latents; None without an autoencoder.

        Args:
            samples: raw latents.
            device: where to compute: cpu, cuda or auto.
            batch_size: latents at a time; as many as memory can be trusted with when None.

        Raises:
            UserError: the autoencoder is gone or damaged, or diffusers is missing.
        """
        if self._is_gone:
            raise UserError(f"vae {self.vae}: is not there; name its folder anew, or none for latents as they are")
        if self._files is None:
            return None
        where = find_device(device)
        autoencoder = self._opened.get(where) or Autoencoder(self._files, where)
        self._opened[where] = autoencoder
        images: list[Array] = []
        for stack in _stacks([sample.array for sample in samples], autoencoder, batch_size):
            images.extend(autoencoder.decode(stack))
        return [Example(image, each.condition, each.group) for image, each in zip(images, samples, strict=True)]

    def decoder(self) -> Mapping[str, Any]:
        """Folder and hash of the autoencoder; empty without one."""
        return {} if self._files is None else {"vae": str(self._files.folder), "vae_sha256": self._files.sha256}

    def preview(self, samples: Examples) -> Picture:
        """The images in a grid; without an autoencoder, the first three channels of the latents as colours."""
        shown = None
        if samples[0].array.dtype == np.uint8:
            shown = samples
        elif not self._is_gone:
            shown = self.decoded(samples)
        if shown is not None:
            return image_grid(viewable([each.array for each in shown]))
        colours = 3 if samples[0].array.shape[-1] >= 3 else 1
        return image_grid(viewable([sample.array[..., :colours] for sample in samples]))

    @cached_property
    def _opened(self) -> dict[str, Autoencoder]:
        """Autoencoders that were opened, by device."""
        return {}

    @cached_property
    def _files(self) -> AutoencoderFiles | None:
        """The autoencoder; None where there is none."""
        if self.vae is not None:
            return None if self.vae == _NO_VAE else find_autoencoder(Path(self.vae))
        if self.path is None or not Path(self._index.vae).is_dir():
            return None
        files = find_autoencoder(Path(self._index.vae))
        if files.sha256 != self._index.vae_sha256:
            raise UserError(
                f"{files.folder}: has changed since it made {self.path}; name another, --data.vae FOLDER, or none"
            )
        return files

    @property
    def _is_gone(self) -> bool:
        return self.vae not in (None, _NO_VAE) and not Path(str(self.vae)).expanduser().is_dir()

    @property
    def _of_data_or_decoder(self) -> LatentIndex | AutoencoderFiles:
        if self.path is None and self._files is not None:
            return self._files
        return self._index

    @property
    def _folder(self) -> Path:
        if self.path is None:
            raise UserError(
                "path: missing; 'beeline convert IMAGES LATENTS --vae FOLDER' makes latents: --data.path LATENTS"
            )
        return Path(self.path).expanduser().absolute()

    @cached_property
    def _index(self) -> LatentIndex:
        return read_index(self._folder)

    @cached_property
    def _images(self) -> LatentImages:
        return read_images(self._folder, self._index)

    @cached_property
    def _found(self) -> Found:
        """The images that the latents are of, as far as splitting and counting them goes."""
        index, images = self._index, self._images
        told = [each == "held_out" for each in images.split] if "none" not in images.split else None
        return Found(
            index.images,
            _Names(index.images, images.file),
            (),
            None if images.label is None else np.asarray(images.label, dtype=np.int32),
            index.names,
            None if told is None else np.array(told),
            None if images.group is None else tuple(images.group),
            files=index.files,
        )

    @property
    def _has_labels(self) -> bool:
        return self.labelled and self._index.classes > 0

    @property
    def _share(self) -> float | None:
        """Share of images to hold out; None where they are split already."""
        if self._found.held_out is None:
            return _HELD_OUT if self.held_out is None else self.held_out
        if self.held_out is not None:
            raise UserError(f"held_out {self.held_out:g}: the images were split already; leave it out")
        return None

    @cached_property
    def _sides(self) -> tuple[Array, Array]:
        return self._found.split(self._share or 0.0, self.split)


class _Names:
    """Images of which nothing but the names is at hand.

    Args:
        where: they lay.
        names: below it.
    """

    def __init__(self, where: str, names: Sequence[str]) -> None:
        self._where = where
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def read(self, index: int, reading: Reading) -> Array:
        """Cannot be done."""
        raise NotImplementedError(f"{self.name(index)}: only its latent is here")

    def name(self, index: int) -> str:
        """Where one of them lay."""
        return f"{self._where}/{self._names[index]}"


def _stacks(arrays: Sequence[Array], autoencoder: Autoencoder, batch_size: int | None) -> Iterator[Array]:
    """Consecutive latents of one extent, as many as are decoded at a time."""
    start = 0
    while start < len(arrays):
        shape = arrays[start].shape
        most = batch_size or autoencoder.fitting(*shape[:2])
        stop = start + 1
        while stop < min(start + most, len(arrays)) and arrays[stop].shape == shape:
            stop += 1
        yield np.stack(arrays[start:stop])
        start = stop


MODALITY = Latents

"""Images: a folder of files, idx files, an .npz or .npy, or scikit-learn's handwritten digits."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from beeline.conditioning.augmentation import AugmentationLabel
from beeline.conditioning.label import ClassLabel
from beeline.core.data import Examples, Metric
from beeline.core.errors import UserError
from beeline.core.protocols import Array, Condition
from beeline.data.augment import FlipAndShift
from beeline.data.image_choice import CHANNELS, Wishes, asked_size, choose, sizes_line
from beeline.data.image_labels import find_manifest
from beeline.data.image_reading import Reading
from beeline.data.image_sets import Found, ImageSet, SplitBy
from beeline.data.image_sources import class_counts, digits, find_images
from beeline.data.normalisers import Pixels, Range
from beeline.data.pictures import Picture, image_grid, viewable
from beeline.metrics.neighbours import label_agreement, nearest_distance_ratio, within_class_variance_ratio
from beeline.metrics.references import pixels_and_labels
from beeline.tokenizers.grid import GridTokenizer

_HELD_OUT = 0.2
_TOKENS = 256


@dataclass(frozen=True)
class Images:
    """Images, with a class label where one is known.

    Args:
        path: a folder of images, in class sub-folders or flat, and in train and test folders where they are split
            already; or a folder or file of arrays: idx, .npz or .npy. The digits bundled with scikit-learn when null.
        size: pixels of every image: auto, one number for squares, or rows x columns such as 48x64.
        fit: how other sizes are brought to it: crop (shorter side to size, the middle of the longer one), stretch, or
            pad (longer side to size, black bars).
        channels: auto, grey, rgb or rgba; alpha that is not kept is laid over white.
        bits: of a channel: auto, 8, 16, or float for arrays of floats.
        patch: pixels along each side of a token; chosen when null.
        held_out: share of images kept from training, between 0 and 1; 0.2 when null; not to be given where the data
            are split already.
        split: what is held out whole: a group, or each image by itself, which training refuses where images share a
            group (train.force_split).
        labels: where classes come from: folders, none, or the path of a .csv or .jsonl manifest with the columns file,
            label and, where images belong together, group.
        labelled: whether the label is a condition; without it the model is unconditional.
        label_dropout: share of training images whose label is hidden, so that guidance works; at least 0, below 1.
        flip: whether training images are mirrored left-right at random, as samples then are too.
        shift: pixels by which training images are moved at random, at most; samples are not.
        bad_files: what becomes of files that cannot be used: refuse or leave_out.
    """

    path: str | None = None
    size: int | str = "auto"
    fit: Literal["crop", "stretch", "pad"] = "crop"
    channels: Literal["auto", "grey", "rgb", "rgba"] = "auto"
    bits: Literal["auto", 8, 16, "float"] = "auto"
    patch: int | None = None
    held_out: float | None = None
    split: SplitBy = "group"
    labels: str = "folders"
    labelled: bool = True
    label_dropout: float = 0.1
    flip: bool = False
    shift: int = 0
    bad_files: Literal["refuse", "leave_out"] = "refuse"

    def __post_init__(self) -> None:
        if self.path == "":
            raise UserError("path: missing; say where the images are, --data.path FOLDER")
        if self.path is None and self.bad_files != "refuse":
            raise UserError(f"bad_files {self.bad_files}: needs a folder of images, --data.path FOLDER")
        if self.path is None and self.labels not in ("folders", "none"):
            raise UserError(f"labels {self.labels}: needs a folder of images, --data.path FOLDER")
        if self.held_out is not None and not 0 < self.held_out < 1:
            raise UserError(f"held_out {self.held_out}: must lie between 0 and 1")
        if self.patch is not None and self.patch < 1:
            raise UserError(f"patch {self.patch}: must be at least 1")
        if self.shift < 0:
            raise UserError(f"shift {self.shift}: must be at least 0")
        size = self._asked_size
        if size is not None and self.shift >= min(size):
            raise UserError(f"shift {self.shift}: must be smaller than the images, {size[0]}x{size[1]}")

    def settle(self, tokens: int) -> tuple[Images, Sequence[str]]:
        """Choose what is left open after a look at the images.

        Args:
            tokens: how many tokens a sample can be afforded, about.

        Returns:
            the same modality with nothing left to choose, and what was found and chosen, a line each.
        """
        found = self._found
        wishes = Wishes(
            self._asked_size,
            CHANNELS.get(self.channels),
            None if self.bits == "auto" else self.bits,
            self.patch,
            self.fit,
        )
        choice = choose(found, wishes, tokens)
        reading = choice.reading
        names: dict[int, Literal["grey", "rgb", "rgba"]] = {1: "grey", 3: "rgb", 4: "rgba"}
        square = reading.height == reading.width
        settled = dataclasses.replace(
            self,
            path=None if self.path is None else str(Path(self.path).expanduser().absolute()),
            labels=_absolute(self.labels, self.path),
            size=reading.height if square else f"{reading.height}x{reading.width}",
            channels=names[reading.channels],
            bits=reading.bits,
            patch=choice.patch,
            held_out=self._share,
            labelled=self._has_labels,
        )
        told = "as the data say" if self._share is None else f"a share of {self._share:g} held out"
        training, held_out = (len(side) for side in self._sides)
        lines = [
            f"found {class_counts(found)} in {found.where}: {sizes_line(found)}",
            f"split: {training:,} training images, {held_out:,} held out ({told})",
        ]
        return settled, [*lines, *choice.reasons, *(f"note: {note}" for note in found.notes)]

    def dataset(self, split: str) -> Examples:
        """The images of a split."""
        training, held_out = self._sides
        indices = training if split == "train" else held_out
        return ImageSet(self._found, indices, self._settled._reading, "label" if self._has_labels else None)

    def normaliser(self) -> Pixels | Range:
        """Pixels to [-1, 1]; floats by their measured range."""
        bits = self._settled.bits
        return Range() if bits == "float" else Pixels(16 if bits == 16 else 8)

    def tokenizer(self) -> GridTokenizer:
        """Square patches."""
        settled = self._settled
        assert settled.patch is not None
        return GridTokenizer((settled.patch, settled.patch), channels=CHANNELS[settled.channels])

    def conditions(self) -> Sequence[Condition]:
        """The class, unless the model is to be unconditional; the shift, where images are shifted."""
        found: list[Condition] = []
        if self._has_labels:
            found.append(ClassLabel("label", self._found.classes, self.label_dropout, self._found.names))
        if (varied := self.augmentation()) is not None and varied.condition is not None:
            found.append(AugmentationLabel(varied.condition, size=2))
        return found

    def augmentation(self) -> FlipAndShift | None:
        """How training images are varied; None where they are not."""
        varied = FlipAndShift(self.flip, self.shift)
        if varied.ways == 1:
            return None
        # Settled options are checked when they are made: a shift beyond the size is refused here.
        return varied if self._settled else None

    def metrics(self) -> Sequence[Metric]:
        """Distance from the training images; with labels, agreement and variety too."""
        of_digits = self.path is None
        distance = Metric(
            "nearest distance ratio",
            "median distance to the nearest training image, samples / held-out images",
            lambda training, held_out, generated: nearest_distance_ratio(
                *(pixels_and_labels(each)[0] for each in (training, held_out, generated))
            ),
            low=0.9 if of_digits else float("-inf"),
        )
        metrics = [distance]
        if self._has_labels:
            agreement = Metric(
                "label agreement",
                "share of samples that 3 nearest training images give the requested label",
                lambda training, held_out, generated: label_agreement(
                    *pixels_and_labels(training), *pixels_and_labels(generated)
                ),
                low=0.95 if of_digits else float("-inf"),
            )
            variance = Metric(
                "variance ratio",
                "variance within classes, samples / training images",
                lambda training, held_out, generated: within_class_variance_ratio(
                    *pixels_and_labels(training), *pixels_and_labels(generated)
                ),
                low=0.7 if of_digits else float("-inf"),
                high=1.3 if of_digits else float("inf"),
            )
            metrics = [agreement, variance, distance]
        if of_digits:
            return metrics
        capped = "pixels of at most 2,000 images of each set"
        return [dataclasses.replace(each, formula=f"{each.formula}; {capped}") for each in metrics]

    def preview(self, samples: Examples) -> Picture:
        """The images in a grid."""
        return image_grid(viewable([sample.array for sample in samples]))

    @cached_property
    def _found(self) -> Found:
        if self.path is None:
            found = digits()
            return found if self.labels == "folders" else dataclasses.replace(found, labels=None)
        return find_images(Path(self.path).expanduser(), self.labels, self.bad_files)

    @cached_property
    def _settled(self) -> Images:
        """This modality where nothing is left to choose, else with choices made for a few hundred tokens."""
        open_options = "auto" in (self.size, self.channels, self.bits) or self.patch is None
        return self.settle(_TOKENS)[0] if open_options else self

    @property
    def _has_labels(self) -> bool:
        return self.labelled and self._found.labels is not None

    @property
    def _share(self) -> float | None:
        """Share of images to hold out; None where the data are split already."""
        if self._found.held_out is None:
            return _HELD_OUT if self.held_out is None else self.held_out
        if self.held_out is not None:
            raise UserError(f"held_out {self.held_out:g}: the images are split already; leave it out")
        return None

    @cached_property
    def _sides(self) -> tuple[Array, Array]:
        return self._found.split(self._share or 0.0, self.split)

    @property
    def _reading(self) -> Reading:
        size = self._asked_size
        assert size is not None
        assert self.bits != "auto"
        return Reading(*size, CHANNELS[self.channels], self.bits, self.fit)

    @property
    def _asked_size(self) -> tuple[int, int] | None:
        return asked_size(self.size)


def _absolute(labels: str, folder: str | None) -> str:
    """A manifest by its own path, lest another be found from another folder."""
    return (
        labels
        if labels in ("folders", "none") or folder is None
        else str(find_manifest(Path(folder).expanduser(), labels))
    )


MODALITY = Images

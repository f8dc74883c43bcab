"""Labelled images. Today their source is scikit-learn's handwritten digits: 1,797 real images of 8x8 grey pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from beeline.conditioning.label import ClassLabel
from beeline.core.data import Example, Examples, Metric
from beeline.core.errors import UserError
from beeline.data.normalisers import Pixels
from beeline.data.pictures import Picture, image_grid
from beeline.data.splits import split_by_group
from beeline.metrics.neighbours import label_agreement, nearest_distance_ratio, within_class_variance_ratio
from beeline.tokenizers.grid import GridTokenizer


@dataclass(frozen=True)
class Images:
    """Images with a class label.

    Args:
        source: where the images come from: digits (bundled with scikit-learn).
        patch: pixels along each side of a token.
        held_out: share of images kept from training, between 0 and 1.
        labelled: whether the label is a condition; without it the model is unconditional.
        label_dropout: share of training images whose label is hidden, so that guidance works; at least 0, below 1.
    """

    source: Literal["digits"] = "digits"
    patch: int = 2
    held_out: float = 0.2
    labelled: bool = True
    label_dropout: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 1:
            raise UserError(f"held_out {self.held_out}: must lie between 0 and 1")

    def dataset(self, split: str) -> Examples:
        """The images of a split. Writers are not recorded, so every image is a group of its own."""
        pixels, labels = _digits()
        training, held_out = split_by_group(range(len(pixels)), self.held_out)
        chosen = training if split == "train" else held_out
        return [
            Example(pixels[index], {"label": int(labels[index])} if self.labelled else {}, group=index)
            for index in chosen
        ]

    def normaliser(self) -> Pixels:
        """8-bit pixels to [-1, 1]."""
        return Pixels()

    def tokenizer(self) -> GridTokenizer:
        """Square patches."""
        return GridTokenizer((self.patch, self.patch), channels=1)

    def conditions(self) -> Sequence[ClassLabel]:
        """The digit, unless the model is to be unconditional."""
        return [ClassLabel("label", classes=10, dropout=self.label_dropout)] if self.labelled else []

    def metrics(self) -> Sequence[Metric]:
        """Distance from the training images; with labels, agreement and variety too."""
        distance = Metric(
            "nearest distance ratio",
            "median distance to the nearest training image, samples / held-out images",
            lambda training, held_out, generated: nearest_distance_ratio(
                _pixels(training), _pixels(held_out), _pixels(generated)
            ),
            low=0.9,
        )
        if not self.labelled:
            return [distance]
        return [
            Metric(
                "label agreement",
                "share of samples that 3 nearest training images give the requested label",
                lambda training, held_out, generated: label_agreement(
                    _pixels(training), _labels(training), _pixels(generated), _labels(generated)
                ),
                low=0.95,
            ),
            Metric(
                "variance ratio",
                "variance within classes, samples / training images",
                lambda training, held_out, generated: within_class_variance_ratio(
                    _pixels(training), _labels(training), _pixels(generated), _labels(generated)
                ),
                low=0.7,
                high=1.3,
            ),
            distance,
        ]

    def preview(self, samples: Examples) -> Picture:
        """The images in a grid."""
        return image_grid([sample.array for sample in samples])


def _digits() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    # 17 grey levels, 0 to 16, spread over 8 bits.
    return np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None], digits.target


def _pixels(examples: Examples) -> np.ndarray[Any, Any]:
    return np.stack([example.array.ravel() for example in examples]).astype(np.float64)


def _labels(examples: Examples) -> np.ndarray[Any, Any]:
    return np.array([example.condition["label"] for example in examples])


MODALITY = Images

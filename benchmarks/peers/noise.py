"""The data that nets are measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from beeline.conditioning.label import ClassLabel
from beeline.core.data import Example, Examples, Metric
from beeline.data.normalisers import Standardise
from beeline.tokenizers.grid import GridTokenizer
from benchmarks.peers.nets import LABEL

if TYPE_CHECKING:
    from PIL import Image

_EXAMPLES = {"train": 256, "held_out": 2}


@dataclass(frozen=True)
class Noise:
    """Images of noise with labels: what a step takes does not depend on what the images show.

    Args:
        size: cells along each side.
        channels: numbers a cell.
        patch: cells along each side of a token.
        classes: of the labels.
    """

    size: int
    channels: int
    patch: int
    classes: int

    def dataset(self, split: str) -> Examples:
        """Independent normal numbers."""
        count, random = _EXAMPLES[split], np.random.default_rng(split == "train")
        arrays = random.standard_normal((count, self.size, self.size, self.channels)).astype(np.float32)
        return [Example(array, {LABEL: number % self.classes}) for number, array in enumerate(arrays)]

    def normaliser(self) -> Standardise:
        """As for any numbers."""
        return Standardise()

    def tokenizer(self) -> GridTokenizer:
        """Square patches."""
        return GridTokenizer((self.patch, self.patch), channels=self.channels)

    def conditions(self) -> list[ClassLabel]:
        """The label, dropped for a tenth of the samples, as the peer does."""
        return [ClassLabel(LABEL, self.classes)]

    def metrics(self) -> list[Metric]:
        """None."""
        return []

    def preview(self, samples: Examples) -> Image.Image:
        """Nothing to look at."""
        from PIL import Image  # trainers by themselves do without it

        return Image.new("L", (1, 1))

"""Synthetic clips (time, height, width) of unequal length. Truth: a spot on a torus moves a pixel a frame as told."""

from dataclasses import dataclass

import numpy as np

from beeline.conditioning.label import ClassLabel
from beeline.core.data import Example, Examples, Metric
from beeline.data.normalisers import Pixels
from beeline.data.pictures import Picture, image_grid
from beeline.tokenizers.grid import GridTokenizer


@dataclass(frozen=True)
class Clips:
    """Spots that move right, down, left or up over 4 to 8 frames of 8 x 8 pixels.

    Args:
        patch: frames, rows and columns of a token.
    """

    patch: tuple[int, int, int] = (2, 4, 4)

    def dataset(self, split: str) -> Examples:
        random = np.random.default_rng([split == "train"])
        kinds = random.integers(0, 4, 1024 if split == "train" else 128).tolist()
        return [Example(clip(kind, *random.integers((4, 0, 0), (9, 8, 8))), {"move": kind}) for kind in kinds]

    def normaliser(self) -> Pixels:
        return Pixels()

    def tokenizer(self) -> GridTokenizer:
        return GridTokenizer(self.patch)

    def conditions(self) -> list[ClassLabel]:
        return [ClassLabel("move", classes=4)]

    def metrics(self) -> list[Metric]:
        return [Metric("likeness", "median best correlation with true clips", lambda *sets: likeness(sets[2]), low=0.8)]

    def preview(self, samples: Examples) -> Picture:
        return image_grid([np.concatenate(list(sample.array), axis=1) for sample in samples], columns=2, tile=200)


def clip(kind: int, frames: int, row: int, column: int) -> np.ndarray:
    """A spot that starts at (row, column) and moves as ``kind`` says."""
    centre = np.array((row, column)) + np.arange(frames)[:, None] * ((0, 1), (1, 0), (0, -1), (-1, 0))[kind]
    away = (np.arange(8) - centre[..., None] + 4) % 8 - 4.0
    return np.rint(255 * np.exp(-(away[:, 0, :, None] ** 2 + away[:, 1, None] ** 2) / 3)).astype(np.uint8)[..., None]


def likeness(clips: Examples) -> float:
    """Median over clips of the best correlation with a true clip."""
    starts = [divmod(start, 8) for start in range(64)]
    truths = [[clip(c.condition["move"], len(c.array), *start).ravel() for start in starts] for c in clips]
    best = [np.corrcoef(c.array.ravel(), truth)[0, 1:].max() for c, truth in zip(clips, truths, strict=True)]
    return float(np.median(best))


MODALITY = Clips

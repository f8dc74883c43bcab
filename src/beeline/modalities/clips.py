"""Synthetic clips (time, height, width) of unequal length. Truth: a bar of any brightness crosses the frame as told."""

from dataclasses import dataclass

import numpy as np

from beeline.conditioning.label import ClassLabel
from beeline.core.data import Example, Examples, Metric
from beeline.data.normalisers import Pixels
from beeline.data.pictures import Picture, image_grid
from beeline.tokenizers.grid import GridTokenizer


@dataclass(frozen=True)
class Clips:
    """Bars that move right, down, left or up, one pixel a frame, over 4 to 8 frames of 8 x 8 pixels.

    Args:
        patch: frames, rows and columns of a token.
    """

    patch: tuple[int, int, int] = (2, 4, 4)

    def dataset(self, split: str) -> Examples:
        random = np.random.default_rng([split == "train"])
        moves = random.integers(0, 4, 1024 if split == "train" else 128).tolist()
        bars = [random.uniform(100, 255) * clip(move, int(random.integers(4, 9))) for move in moves]
        return [Example(np.rint(bar).astype(np.uint8), {"move": move}) for bar, move in zip(bars, moves, strict=True)]

    def normaliser(self) -> Pixels:
        return Pixels()

    def tokenizer(self) -> GridTokenizer:
        return GridTokenizer(self.patch)

    def conditions(self) -> list[ClassLabel]:
        return [ClassLabel("move", classes=4)]

    def metrics(self) -> list[Metric]:
        return [Metric("likeness", "median correlation with the true clip", lambda *sets: likeness(sets[2]), low=0.9)]

    def preview(self, samples: Examples) -> Picture:
        return image_grid([np.concatenate(list(sample.array), axis=1) for sample in samples], columns=2, tile=200)


def clip(move: int, frames: int) -> np.ndarray:
    """The bar of brightness 1, (frames, 8, 8, 1)."""
    places = np.arange(8)[:: 1 if move < 2 else -1][:frames]
    bar = np.exp(-((np.arange(8) - places[:, None]) ** 2) / 2)
    return np.broadcast_to(bar[:, None, :, None] if move % 2 == 0 else bar[:, :, None, None], (frames, 8, 8, 1))


def likeness(clips: Examples) -> float:
    """Median correlation of clips with the true one of their move and length."""
    pairs = [(each.array.ravel(), clip(each.condition["move"], len(each.array)).ravel()) for each in clips]
    return float(np.median([np.corrcoef(*pair)[0, 1] for pair in pairs]))


MODALITY = Clips

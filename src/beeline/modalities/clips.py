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
        random, odd = np.random.default_rng([split == "train"]), split == "train"  # no brightness is in both splits
        moves = random.integers(0, 4, 1024 if split == "train" else 128).tolist()
        bars = [random.choice(np.arange(100 + odd, 256, 2)) * clip(move, int(random.integers(4, 9))) for move in moves]
        return [Example(np.rint(bar).astype(np.uint8), {"move": move}) for bar, move in zip(bars, moves, strict=True)]

    def normaliser(self) -> Pixels:
        return Pixels()

    def tokenizer(self) -> GridTokenizer:
        return GridTokenizer(self.patch)

    def conditions(self) -> list[ClassLabel]:
        return [ClassLabel("move", classes=4)]

    def metrics(self) -> list[Metric]:
        wide = "deviation of the brightest pixel, over that of the truth"
        like = Metric("likeness", "median correlation with the truth", lambda *s: fit(s[2])[0], 0.9, truth=(1.0, 0.01))
        return [like, Metric("variety", wide, lambda *s: fit(s[2])[1], low=0.6, high=1.4, truth=(1.0, 0.2))]

    def preview(self, samples: Examples) -> Picture:
        return image_grid([np.concatenate(list(sample.array), axis=1) for sample in samples], columns=2, tile=200)


def clip(move: int, frames: int) -> np.ndarray:
    """The bar of brightness 1, (frames, 8, 8, 1)."""
    bar = np.exp(-((np.arange(8) - np.arange(8)[:: 1 if move < 2 else -1][:frames, None]) ** 2) / 2)
    return np.broadcast_to(bar[:, None, :, None] if move % 2 == 0 else bar[:, :, None, None], (frames, 8, 8, 1))


def fit(clips: Examples) -> tuple[float, float]:
    """How like the true clips they are, and how much their brightness varies."""
    alike = [np.corrcoef(c.array.ravel(), clip(c.condition["move"], len(c.array)).ravel())[0, 1] for c in clips]
    return float(np.median(alike)), float(np.std([c.array.max() for c in clips]) * 12**0.5 / 155)


MODALITY = Clips

"""Synthetic waves of unequal length. Truth: class k is a sine of k + 1 periods in 32 samples, of amplitude 1."""

from dataclasses import dataclass

import numpy as np

from beeline.conditioning.label import ClassLabel
from beeline.core.data import Example, Examples, Metric
from beeline.data.normalisers import Standardise
from beeline.data.pictures import Picture, curves
from beeline.tokenizers.grid import GridTokenizer


@dataclass(frozen=True)
class Waves:
    """Sines of random phase, 16 to 48 samples long.

    Args:
        count: training examples.
        patch: samples a token.
    """

    count: int = 1024
    patch: int = 4

    def dataset(self, split: str) -> Examples:
        random = np.random.default_rng([split == "train"])
        examples = []
        for kind in random.integers(0, 3, self.count if split == "train" else 256).tolist():
            turns = (kind + 1) * np.arange(random.integers(16, 49)) / 32 + random.random()
            examples.append(Example(np.sin(2 * np.pi * turns)[:, None], {"kind": kind}))
        return examples

    def normaliser(self) -> Standardise:
        return Standardise()

    def tokenizer(self) -> GridTokenizer:
        return GridTokenizer((self.patch,))

    def conditions(self) -> list[ClassLabel]:
        return [ClassLabel("kind", classes=3)]

    def metrics(self) -> list[Metric]:
        formula = "median of 1 - mean (x - s)^2 / 0.5, s the nearest sine of amplitude 1 and the requested period"
        return [Metric("explained", formula, lambda training, held_out, waves: explained(waves), low=0.9)]

    def preview(self, samples: Examples) -> Picture:
        return curves([sample.array[:, 0] for sample in samples])


def explained(waves: Examples) -> float:
    """Median share of a wave's power that the nearest true sine explains."""
    scores = []
    for wave in waves:
        turns = (wave.condition["kind"] + 1) * np.arange(len(wave.array))[:, None] / 32 + np.arange(64) / 64
        scores.append(1 - ((wave.array - np.sin(2 * np.pi * turns)) ** 2).mean(axis=0).min() / 0.5)
    return float(np.median(scores))


MODALITY = Waves

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
        patch: samples a token.
    """

    patch: int = 4

    def dataset(self, split: str) -> Examples:
        random, examples = np.random.default_rng([split == "train"]), []
        for kind in random.integers(0, 3, 1024 if split == "train" else 256).tolist():
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
        near = Metric("explained", formula, lambda *sets: fit(sets[2])[0], low=0.9, truth=(1.0, 0.01))
        wide = "1 - |mean of exp(2 pi i phase)|"
        return [near, Metric("phase spread", wide, lambda *sets: fit(sets[2])[1], low=0.7, truth=(1.0, 0.15))]

    def preview(self, samples: Examples) -> Picture:
        return curves([sample.array[:, 0] for sample in samples])


def fit(waves: Examples) -> tuple[float, float]:
    """How well the nearest true sines explain the waves, and how evenly their phases are spread."""
    found, phases = [], np.arange(64) / 64
    for wave in waves:
        turns = (wave.condition["kind"] + 1) * np.arange(len(wave.array))[:, None] / 32 + phases
        found.append(1 - ((wave.array - np.sin(2 * np.pi * turns)) ** 2).mean(axis=0) / 0.5)
    spread = 1 - abs(np.exp(2j * np.pi * phases[np.argmax(found, axis=1)]).mean())
    return float(np.median(np.max(found, axis=1))), float(spread)


MODALITY = Waves

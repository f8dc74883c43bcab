"""Synthetic panels, sets of numbers with identities. Truth: number g is mean_g + load_g z + 0.3 n, one z a panel."""

from dataclasses import dataclass

import numpy as np

from beeline.core.data import Example, Examples, Metric
from beeline.data.normalisers import Standardise
from beeline.data.pictures import Picture, image_grid, scalar_image
from beeline.tokenizers.sets import SetTokenizer

SIZE = 12
MEAN = np.linspace(-2, 2, SIZE)
LOAD = np.where(np.arange(SIZE) % 2, 1.0, -1.0)


@dataclass(frozen=True)
class Panels:
    """Vectors of 12 correlated numbers of which each is missing with probability 1/4.

    Args:
        count: training examples.
    """

    count: int = 2048

    def dataset(self, split: str) -> Examples:
        random = np.random.default_rng([split == "train"])
        count = self.count if split == "train" else 512
        values = MEAN + LOAD * random.normal(size=(count, 1)) + 0.3 * random.normal(size=(count, SIZE))
        values[random.random((count, SIZE)) < 0.25] = np.nan
        return [Example(vector) for vector in values if not np.isnan(vector).all()]

    def normaliser(self) -> Standardise:
        return Standardise(channels=False)

    def tokenizer(self) -> SetTokenizer:
        return SetTokenizer(SIZE)

    def conditions(self) -> tuple[()]:
        return ()

    def metrics(self) -> list[Metric]:
        near = (0.0, 0.2)  # from the truth, on 512 panels
        mean = Metric("mean error", "max |mean_g - truth_g|", lambda *s: errors(s[2])[0], high=0.3, truth=near)
        return [mean, Metric("covariance error", "|C - C*| / |C*|", lambda *s: errors(s[2])[1], high=0.25, truth=near)]

    def preview(self, samples: Examples) -> Picture:
        return image_grid([scalar_image(np.stack([sample.array for sample in samples]), -4, 4)], tile=480)


def errors(panels: Examples) -> tuple[float, float]:
    """Errors of the mean and of the covariance, over pairs measured together."""
    values = np.ma.masked_invalid(np.stack([panel.array for panel in panels]))
    truth = np.outer(LOAD, LOAD) + 0.09 * np.eye(SIZE)
    distance = np.linalg.norm(np.ma.cov(values, rowvar=False) - truth) / np.linalg.norm(truth)
    return float(abs(values.mean(axis=0) - MEAN).max()), float(distance)


MODALITY = Panels

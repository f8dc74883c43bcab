"""Synthetic fields, a map to a map under two numbers. Truth: y = gain x + offset + 0.2 n, x smooth, n white noise."""

from dataclasses import dataclass

import numpy as np

from beeline.conditioning.map import AlignedMap
from beeline.conditioning.vector import Vector
from beeline.core.data import Example, Examples, Metric
from beeline.data.normalisers import Standardise
from beeline.data.pictures import Picture, image_grid, scalar_image
from beeline.tokenizers.grid import GridTokenizer


@dataclass(frozen=True)
class Fields:
    """Maps of 12 x 16 cells that answer to an input map, a gain and an offset.

    Args:
        patch: cells along each side of a token.
    """

    patch: tuple[int, int] = (4, 4)

    def dataset(self, split: str) -> Examples:
        random = np.random.default_rng([split == "train"])
        return [self._draw(random) for _ in range(1024 if split == "train" else 128)]

    def _draw(self, random: np.random.Generator) -> Example:
        rows, columns = np.meshgrid(np.arange(12) / 12, np.arange(16) / 16, indexing="ij")
        waves = [np.cos(2 * np.pi * (i * rows + j * columns + random.random())) for i in (0, 1) for j in (1, 2)]
        under, law = np.tensordot(random.normal(size=4), waves, 1)[..., None], random.uniform([0.5, -1], [1.5, 1])
        return Example(law[0] * under + law[1] + 0.2 * random.normal(size=(12, 16, 1)), {"under": under, "law": law})

    def normaliser(self) -> Standardise:
        return Standardise()

    def tokenizer(self) -> GridTokenizer:
        return GridTokenizer(self.patch)

    def conditions(self) -> list[AlignedMap | Vector]:
        return [AlignedMap("under"), Vector("law", size=2)]

    def metrics(self) -> list[Metric]:
        formula = "root mean square of y - gain x - offset, which is 0.2 for the truth"
        return [Metric("residual", formula, lambda training, held_out, fields: residual(fields), low=0.1, high=0.45)]

    def preview(self, samples: Examples) -> Picture:
        return image_grid([scalar_image(sample.array[..., 0], -4, 4) for sample in samples])


def residual(fields: Examples) -> float:
    """Root mean square distance from the noiseless answer to each field's own conditions."""
    truths = [y.condition["law"][0] * y.condition["under"] + y.condition["law"][1] for y in fields]
    rest = [y.array - truth for y, truth in zip(fields, truths, strict=True)]
    return float(np.sqrt(np.mean(np.square(rest))))


MODALITY = Fields

"""Synthetic Gaussian random fields: a map under a map. Truth: P(k) = b^2 P_input(k) and r(k), see data/gaussian.py."""

from dataclasses import dataclass

import numpy as np

from beeline.conditioning.map import AlignedMap
from beeline.conditioning.vector import Vector
from beeline.core.data import Example, Examples, Geometry, Metric
from beeline.data.field_pictures import field_sheet
from beeline.data.gaussian import GaussianBox
from beeline.data.normalisers import Standardise
from beeline.data.pictures import Picture
from beeline.tokenizers.grid import GridTokenizer

BOX, SHELLS = GaussianBox(), 4


@dataclass(frozen=True)
class GaussianFields:
    """Answers to input maps on a periodic box of 16 x 16 cells whose power spectra have an amplitude and a slope.

    Args:
        patch: cells along each side of a token.
        periodic: whether the network is told that the box closes upon itself.
    """

    patch: tuple[int, int] = (4, 4)
    periodic: bool = True

    def dataset(self, split: str) -> Examples:
        count, random = (1024 if split == "train" else 128), np.random.default_rng([split == "train"])
        return [Example(y, {"under": x, "law": law}) for x, y, law in BOX.pairs(count, random)]

    def normaliser(self) -> Standardise:
        return Standardise()

    def tokenizer(self) -> GridTokenizer:
        return GridTokenizer(self.patch, periodic=(self.periodic, self.periodic))

    def conditions(self) -> list[AlignedMap | Vector]:
        return [AlignedMap("under"), Vector("law", size=2)]

    def geometry(self) -> Geometry:
        return Geometry(("field",), ("",), (BOX.box / BOX.shape[0],) * 2, "", (True, True))

    def metrics(self) -> list[Metric]:
        power = Metric("power error", "largest |ln (P / truth)| over shells", lambda *s: errors(s[2])[0], high=0.6)
        return [power, Metric("correlation error", "largest |r(k) - truth|", lambda *s: errors(s[2])[1], high=0.15)]

    def preview(self, samples: Examples) -> Picture:
        return field_sheet(samples, ["under"])


def errors(fields: Examples) -> tuple[float, float]:
    """How far power and cross-correlation are from the truth of each field's own conditions."""
    return BOX.errors([(each.condition["under"], each.array, each.condition["law"]) for each in fields], SHELLS)


MODALITY = GaussianFields

"""How much of the samples is real, and how much of the real data is sampled, by nearest neighbours.

With B_k(x, S) the ball around x whose radius is the distance to its k-th nearest neighbour among the *other* points of
its own set S (E38: a radius is measured, never a threshold chosen by hand, and a point is no neighbour of itself):

precision-knn3-1   share of samples that lie in B_3(x, real) of any real x       (Kynkaanniemi et al. 2019, equation 1)
recall-knn3-1      share of real points that lie in B_3(y, samples) of any sample y
density-knn5-1     mean over samples of the number of B_5(x, real) it lies in, over 5     (Naeem et al. 2020, section 3)
coverage-knn5-1    share of real points whose B_5(x, real) holds a sample

Values depend on both sizes: compare at equal sizes only.

Shapes: M real samples, N generated samples, D numbers a sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from beeline.metrics.distances import squared_distances
from beeline.metrics.intervals import Estimate, bootstrap

Array = np.ndarray[Any, Any]
PRECISION_NEIGHBOURS, COVERAGE_NEIGHBOURS = 3, 5


def squared_radii(points_MD: Array, *neighbours: int) -> tuple[Array, ...]:
    """Squared distance of every point to its k-th nearest other point, for each k.

    Args:
        points_MD: the set.
        neighbours: each k, at least 1.

    Raises:
        ValueError: a point has fewer than k others.
    """
    if len(points_MD) <= max(neighbours):
        raise ValueError(f"{max(neighbours)} nearest neighbours need at least {max(neighbours) + 1} samples")
    radii = tuple(np.empty(len(points_MD)) for _ in neighbours)
    places = [k - 1 for k in neighbours]
    for rows, squared in squared_distances(points_MD, points_MD):
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = np.inf
        squared.partition(places, axis=1)
        for radius, place in zip(radii, places, strict=True):
            radius[rows] = squared[:, place]
    return radii


class Neighbourhoods:
    """Precision, recall, density and coverage of samples against a real set, whose radii are computed once.

    Args:
        real_MD: at least 6 samples.

    Raises:
        ValueError: there are fewer.
    """

    def __init__(self, real_MD: Array) -> None:
        self.real_MD = real_MD
        self._precision_M, self._coverage_M = squared_radii(real_MD, PRECISION_NEIGHBOURS, COVERAGE_NEIGHBOURS)

    def __call__(self, generated_ND: Array, seed: int | None = None) -> dict[str, Estimate]:
        """The four numbers by name.

        Intervals are bootstraps of the points that are averaged over (samples for precision and density, real points
        for recall and coverage), against neighbourhoods held fixed: a redrawn copy would be its original's nearest
        neighbour and shrink its ball. They leave out how the balls themselves vary.

        Args:
            generated_ND: at least 4 samples.
            seed: of the intervals; None leaves them out.

        Raises:
            ValueError: there are fewer samples.
        """
        (own_N,) = squared_radii(generated_ND, PRECISION_NEIGHBOURS)
        precise_N, dense_N = np.empty(len(generated_ND)), np.empty(len(generated_ND))
        recalled_M, covered_M = np.zeros(len(self.real_MD), dtype=bool), np.zeros(len(self.real_MD), dtype=bool)
        for rows, squared in squared_distances(generated_ND, self.real_MD):
            precise_N[rows] = (squared <= self._precision_M).any(axis=1)
            inside = squared <= self._coverage_M
            dense_N[rows] = inside.sum(axis=1) / COVERAGE_NEIGHBOURS
            covered_M |= inside.any(axis=0)
            recalled_M |= (squared <= own_N[rows, None]).any(axis=0)
        points = {"precision": precise_N, "recall": recalled_M, "density": dense_N, "coverage": covered_M}
        return {name: bootstrap([each.astype(np.float64)], np.mean, seed) for name, each in points.items()}

"""How much of the samples is real, and how much of the real data is sampled, by nearest neighbours.

With B_k(x, S) the ball around x whose radius is the distance to its k-th nearest neighbour among the *other* points of
its own set S (E38: a radius is measured, never a threshold chosen by hand, and a point is no neighbour of itself):

precision-knn3-1   share of samples that lie in B_3(x, real) of any real x       (Kynkaanniemi et al. 2019, equation 1)
recall-knn3-1      share of real points that lie in B_3(y, samples) of any sample y
density-knn5-1     mean over samples of the number of B_5(x, real) it lies in, over 5     (Naeem et al. 2020, section 3)
coverage-knn5-1    share of real points whose B_5(x, real) holds a sample

Values depend on both sizes: compare at equal sizes only. Intervals leave out a twentieth of either set in turn and
measure every ball again; a bootstrap with balls held fixed would be too narrow by up to a half.

Shapes: M real samples, N generated samples, D numbers a sample, G groups that are left out, K neighbours asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from beeline.metrics.distances import squared_distances
from beeline.metrics.intervals import Estimate, group_of, groups_of_answers, jackknife

Array = np.ndarray[Any, Any]
PRECISION_NEIGHBOURS, COVERAGE_NEIGHBOURS = 3, 5
_NOTHING = -1.0  # no squared distance is as small: the ball of a point that is left out


def squared_radii(points_MD: Array, *neighbours: int, codes: Array | None = None) -> Array:
    """Squared distance of every point to its k-th nearest other point: of all points, then without each group.

    Args:
        points_MD: the set.
        neighbours: each k, at least 1.
        codes: number of the group that each point belongs to, left out whole; each its own when None.

    Returns:
        (K, 1 + G, M); -1 for a point whose own group is left out, infinity where too few points are left.

    Raises:
        ValueError: a point has fewer than k others.
    """
    count = len(points_MD)
    if count <= max(neighbours):
        raise ValueError(f"{max(neighbours)} nearest neighbours need at least {max(neighbours) + 1} samples")
    group_M = group_of(count, codes)
    groups, depth = int(group_M.max()) + 1, max(neighbours)
    radii = np.empty((len(neighbours), 1 + groups, count))
    places, members = [k - 1 for k in neighbours], [np.flatnonzero(group_M == group) for group in range(groups)]
    for rows, squared in squared_distances(points_MD, points_MD):
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = np.inf
        of_groups = np.full((len(squared), groups, max(depth, *map(len, members))), np.inf)
        for group, own in enumerate(members):
            columns = squared[:, own]
            of_groups[:, group, : columns.shape[1]] = columns
        of_groups.partition(depth - 1, axis=2)
        nearest = of_groups[:, :, :depth]  # those of all groups together are among them
        for left_out in range(-1, groups):
            kept = np.delete(nearest, left_out, axis=1) if left_out >= 0 and groups > 1 else nearest
            ordered = np.partition(kept.reshape(len(squared), -1), places, axis=1)
            radii[:, 1 + left_out, rows] = ordered[:, places].T
    radii[:, 1 + group_M, np.arange(count)] = _NOTHING
    return radii


class Neighbourhoods:
    """Precision, recall, density and coverage of samples against a real set, whose radii are computed once.

    Args:
        real_MD: at least 6 samples.
        group_M: number of the group that each belongs to, left out whole for the interval; each its own when None.

    Raises:
        ValueError: there are fewer.
    """

    def __init__(self, real_MD: Array, group_M: Array | None = None) -> None:
        self.real_MD = real_MD
        self._codes, self._group_M = group_M, group_of(len(real_MD), group_M)
        wanted = (PRECISION_NEIGHBOURS, COVERAGE_NEIGHBOURS)
        self._precision_GM, self._coverage_GM = squared_radii(real_MD, *wanted, codes=group_M)

    def __call__(self, generated_ND: Array, interval: bool = False, codes: Array | None = None) -> dict[str, Estimate]:
        """The four numbers by name.

        Args:
            generated_ND: at least 4 samples.
            interval: whether to leave out a twentieth of either set in turn, for an interval of both; there is none
                where what remains of either is too few for its neighbours.
            codes: number of the group of real samples that each sample answers (its place, where each is its own),
                left out with it; None where samples answer none.

        Raises:
            ValueError: there are fewer samples.
        """
        m, n = len(self.real_MD), len(generated_ND)
        group_M = self._group_M
        group_N = group_of(n) if codes is None else groups_of_answers(self._codes, group_M, codes)
        present, compact_N = np.unique(group_N, return_inverse=True)
        (own_GN,) = squared_radii(generated_ND, PRECISION_NEIGHBOURS, codes=compact_N)
        if codes is not None:  # a row for each group of real samples, that of all where no sample answers it
            row_G = np.zeros(int(group_M.max()) + 1, dtype=np.int64)
            row_G[present] = 1 + np.arange(len(present))
            own_GN = own_GN[np.concatenate([[0], row_G])]
        kept_G = m - np.bincount(group_M)
        enough = kept_G.min() > COVERAGE_NEIGHBOURS and (n - np.bincount(group_N)).min() > PRECISION_NEIGHBOURS
        interval = interval and bool(enough)
        real, own = (len(each) if interval else 1 for each in (self._precision_GM, own_GN))
        precise_GN, dense_GN = np.empty((real, n)), np.empty((real, n))
        recalled_GM, covered_GM = np.zeros((own, m), dtype=bool), np.zeros((real, m), dtype=bool)
        touched_GM = np.zeros((int(group_N.max()) + 1, m), dtype=bool)  # balls that hold a sample of each group
        for rows, squared in squared_distances(generated_ND, self.real_MD):
            for each in range(real):
                precise_GN[each, rows] = (squared <= self._precision_GM[each]).any(axis=1)
                inside = squared <= self._coverage_GM[each]
                dense_GN[each, rows] = inside.sum(axis=1) / COVERAGE_NEIGHBOURS
                seen = inside if codes is None or each == 0 else inside[group_N[rows] != each - 1]
                covered_GM[each] |= seen.any(axis=0)
                if each == 0 and interval:
                    for group in range(len(touched_GM)):
                        touched_GM[group] |= inside[group_N[rows] == group].any(axis=0)
            for each in range(own):
                recalled_GM[each] |= (squared <= own_GN[each, rows, None]).any(axis=0)
        uncovered_GM = touched_GM.sum(axis=0) <= touched_GM
        values = [each[0].mean() for each in (precise_GN, recalled_GM, dense_GN, covered_GM)]
        if not interval:
            return {name: Estimate(float(value)) for name, value in zip(_NAMES, values, strict=True)}
        if codes is not None:
            kept_GN, kept_GM = (np.arange(len(kept_G))[:, None] != each for each in (group_N, group_M))
            left_out: list[tuple[Array, ...]] = [
                (np.average(precise_GN[1:], axis=1, weights=kept_GN),),
                (np.average(recalled_GM[1:], axis=1, weights=kept_GM),),
                (np.average(dense_GN[1:], axis=1, weights=kept_GN),),
                (covered_GM[1:].sum(axis=1) / kept_G,),
            ]
            return _estimates(values, left_out)
        left_out = [
            (precise_GN[1:].mean(axis=1), _means_without_each(precise_GN[0], group_N)),
            (_means_without_each(recalled_GM[0], group_M), recalled_GM[1:].mean(axis=1)),
            (dense_GN[1:].mean(axis=1), _means_without_each(dense_GN[0], group_N)),
            (covered_GM[1:].sum(axis=1) / kept_G, 1.0 - uncovered_GM.mean(axis=1)),
        ]
        return _estimates(values, left_out)


_NAMES = ("precision", "recall", "density", "coverage")


def _estimates(values: Sequence[float], left_out: Sequence[tuple[Array, ...]]) -> dict[str, Estimate]:
    return {
        name: jackknife(float(value), without, 0.0, math.inf if name == "density" else 1.0)
        for name, value, without in zip(_NAMES, values, left_out, strict=True)
    }


def _means_without_each(values_N: Array, group_N: Array) -> Array:
    sums, counts = np.bincount(group_N, weights=values_N), np.bincount(group_N)
    return (sums.sum() - sums) / (len(values_N) - counts)

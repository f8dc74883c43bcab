"""What a perturbation does to the mean of a population, and how much of it is predicted.

    delta_p = mean of the cells under perturbation p - mean of a reference

delta-correlation-1        r over genes of predicted and real delta
discrimination-score-1     1 - (real deltas nearer to the predicted one than its own) / Q, in l1, l2 or cosine distance,
                           without the genes that p acts on: 1 where each prediction is told from all others, about
                           1/2 by chance
overlap-at-k-1             of the first k significant genes of both, the share in common; k at most the real ones
precision-at-k-1           of the first k predicted ones, the share that is significant in truth; k at most their number
direction-match-1          share of the significant genes whose predicted change has the right sign
delta-spread-1             mean distance between predicted deltas over that between real ones: near 0 where a model
                           answers the same to every question

Significant genes are those whose false discovery rate is below 0.05 (Benjamini & Hochberg 1995) by the rank sum test
of Mann & Whitney, in order of the size of their fold change, log2 of a ratio of means of expm1(x) for x = log1p of
normalised counts. The reference of a delta is either the control cells or the mean over all perturbations: against
control, what every perturbation does alike (a response to stress) is rewarded too.

Sources: Adduri et al. 2025 and cell-eval 0.8 for discrimination, overlap and precision; Roohani et al. 2023 (GEARS) for
correlations over the genes that change most; Ahlmann-Eltze et al. 2025 for the baselines that these must beat.

Shapes: P perturbations predicted, Q known ones, N cells, G genes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from scipy import stats
from scipy.spatial.distance import cdist

Array = np.ndarray[Any, Any]
Distance = Literal["l1", "l2", "cosine"]
_NAMES = {"l1": "cityblock", "l2": "euclidean", "cosine": "cosine"}
_LEVEL, _SMALL = 0.05, 1e-9


def delta_correlation(predicted_PG: Array, real_PG: Array, genes: Array | None = None) -> Array:
    """r over genes of predicted and real deltas.

    Args:
        predicted_PG: deltas, each against its own reference.
        real_PG: the same of real cells.
        genes: (P, K) places of the genes that count for each, such as those that change most; all when None.

    Returns:
        (P,); NaN where a delta does not vary over the genes.
    """
    if genes is not None:
        predicted_PG, real_PG = (np.take_along_axis(each, genes, axis=1) for each in (predicted_PG, real_PG))
    one, two = (each - each.mean(axis=1, keepdims=True) for each in (predicted_PG, real_PG))
    size = np.sqrt((one**2).sum(axis=1) * (two**2).sum(axis=1))
    return np.divide((one * two).sum(axis=1), size, out=np.full(len(one), np.nan), where=size > 0)


def discrimination_score(
    predicted_PG: Array,
    real_QG: Array,
    distance: Distance = "cosine",
    targets: Sequence[Sequence[int]] | None = None,
    own: Sequence[int] | None = None,
) -> Array:
    """1 - rank / Q, rank being how many real deltas lie nearer to a predicted one than its own does.

    Ties count by half: a model that answers nothing at all is at chance, not at the top.

    Args:
        predicted_PG: deltas, at least one perturbation.
        real_QG: those of real cells from which each is to be told, its own among them.
        distance: l1, l2 or cosine.
        targets: places of the genes that each acts on, which are left out; none when None.
        own: place of each one's own among the real ones; in the same order when None.

    Returns:
        (P,) in (0, 1].

    Raises:
        ValueError: there is no such distance, or shapes differ.
    """
    if distance not in get_args(Distance):
        raise ValueError(f"distance {distance}: need one of {', '.join(get_args(Distance))}")
    if predicted_PG.shape[1:] != real_QG.shape[1:] or (own is None and len(predicted_PG) != len(real_QG)):
        raise ValueError(f"predicted deltas of shape {predicted_PG.shape}, real ones of {real_QG.shape}")
    count, found = len(real_QG), np.empty(len(predicted_PG))
    for place in range(len(predicted_PG)):
        mine = place if own is None else own[place]
        without = () if targets is None else targets[place]
        found[place] = 1.0 - (ranks(predicted_PG[place], real_QG, distance, without)[mine] - 1.0) / count
    return found


def ranks(predicted_G: Array, real_QG: Array, distance: Distance = "cosine", targets: Sequence[int] = ()) -> Array:
    """Which real delta is nearest to a predicted one: 1 + how many are nearer than each, ties by half.

    Args:
        predicted_G: one delta.
        real_QG: deltas of real cells.
        distance: l1, l2 or cosine.
        targets: places of the genes that are left out.

    Returns:
        (Q,) from 1 to Q.
    """
    kept = np.ones(real_QG.shape[1], dtype=bool)
    kept[list(targets)] = False
    return np.asarray(stats.rankdata(_distances(predicted_G[None, kept], real_QG[:, kept], distance)))


@dataclass(frozen=True)
class Changes:
    """What sets a population apart from a reference, gene by gene.

    Args:
        fold: (G,) log2 of the ratio of means of expm1(x).
        rate: (G,) false discovery rate.
    """

    fold: Array
    rate: Array

    @property
    def significant(self) -> Array:
        """Places of the genes whose rate is below 0.05, those of the largest change first."""
        places = np.flatnonzero(self.rate < _LEVEL)
        return places[np.argsort(-np.abs(self.fold[places]), kind="stable")]


def changes(cells_NG: Array, reference_MG: Array) -> Changes:
    """Which genes differ between two populations of log1p-normalised counts.

    Args:
        cells_NG: dense, at least two cells.
        reference_MG: the same of the reference.

    Raises:
        ValueError: a side has fewer than two cells.
    """
    if min(len(cells_NG), len(reference_MG)) < 2:
        raise ValueError("genes can be compared between populations of two cells or more")
    # In single precision the smallest chances would be 0.
    cells_NG, reference_MG = (np.asarray(each, dtype=np.float64) for each in (cells_NG, reference_MG))
    own, other = (np.expm1(each).mean(axis=0) for each in (cells_NG, reference_MG))
    fold = np.log2((np.maximum(own, 0) + _SMALL) / (np.maximum(other, 0) + _SMALL))
    vary = (cells_NG.min(axis=0) != cells_NG.max(axis=0)) | (reference_MG.min(axis=0) != reference_MG.max(axis=0))
    vary |= cells_NG[0] != reference_MG[0]
    chance = np.ones(cells_NG.shape[1])
    if vary.any():
        chance[vary] = stats.mannwhitneyu(cells_NG[:, vary], reference_MG[:, vary], axis=0, method="asymptotic").pvalue
    return Changes(fold, stats.false_discovery_control(chance))


def most_changed(cells_NG: Array, reference_MG: Array, count: int = 20) -> Array:
    """Places of the genes of the largest |t| (Welch) among those that are expressed in the cells at all.

    These are the non-zero differentially expressed genes of GEARS, there by scanpy's t-test.

    Args:
        cells_NG: dense, at least two cells.
        reference_MG: the same of the reference.
        count: how many; fewer where fewer are expressed.
    """
    one, other = (np.asarray(each, dtype=np.float64) for each in (cells_NG, reference_MG))
    apart = np.abs(one.mean(axis=0) - other.mean(axis=0))
    error = np.sqrt(one.var(axis=0, ddof=1) / len(one) + other.var(axis=0, ddof=1) / len(other))
    t = np.divide(apart, error, out=np.where(apart > 0, np.inf, 0.0), where=error > 0)
    t[one.mean(axis=0) == 0] = -1.0
    return np.argsort(-t, kind="stable")[: min(count, int((t >= 0).sum()))]


def overlap_at(predicted: Changes, real: Changes, k: int | None = None) -> float:
    """Share in common of the first k significant genes of both; 0 where there are none.

    Args:
        predicted: changes of samples.
        real: of real cells.
        k: at most the number of significant real genes, which it is when None.
    """
    wanted = real.significant
    k = min(len(wanted) if k is None else k, len(wanted))
    return len(np.intersect1d(predicted.significant[:k], wanted[:k])) / k if k else 0.0


def precision_at(predicted: Changes, real: Changes, k: int | None = None) -> float:
    """Share of the first k predicted genes among the significant real ones; 0 where none is predicted.

    Args:
        predicted: changes of samples.
        real: of real cells.
        k: at most the number of genes predicted, which it is when None.
    """
    found = predicted.significant
    k = min(len(found) if k is None else k, len(found))
    return len(np.intersect1d(found[:k], real.significant)) / k if k else 0.0


def direction_match(predicted: Changes, real: Changes) -> float:
    """Share of the significant real genes whose predicted change has their sign; NaN where there are none."""
    wanted = real.significant
    same = np.sign(predicted.fold[wanted]) == np.sign(real.fold[wanted])
    return float(same.mean()) if len(wanted) else float("nan")


def delta_spread(predicted_PG: Array, real_PG: Array) -> float:
    """Mean Euclidean distance between predicted deltas over that between real ones.

    Raises:
        ValueError: there are fewer than two perturbations.
    """
    if len(real_PG) < 2:
        raise ValueError("answers to different perturbations need at least two of them")
    pairs = np.triu_indices(len(real_PG), 1)
    own, wanted = (cdist(each, each)[pairs].mean() for each in (predicted_PG, real_PG))
    return float(own / wanted) if wanted > 0 else float("nan")


def _distances(one_1G: Array, many_PG: Array, distance: Distance) -> Array:
    if distance != "cosine":
        return np.asarray(cdist(one_1G, many_PG, _NAMES[distance])[0])
    sizes = np.linalg.norm(many_PG, axis=1) * np.linalg.norm(one_1G)
    alike = np.divide(many_PG @ one_1G[0], sizes, out=np.zeros(len(many_PG)), where=sizes > 0)
    return np.asarray(1.0 - alike)  # a delta of zero points nowhere: like nothing, and like every other

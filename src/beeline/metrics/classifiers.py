"""What a classifier makes of samples: whether it tells them from real data, and whether it can learn from them.

two-sample-auc-trees-1       AUC = P(score of a sample > score of a real example) + 1/2 P(equal), on held-out folds,
                             of a classifier that learns to tell samples from real examples: 1/2 where it cannot, 1
                             where it always can
train-on-synthetic-trees-1   share of real held-out examples whose label is found by a classifier trained on samples
                             and the labels that were asked for; beside it the same trained on real examples

Sources: Lopez-Paz & Oquab 2017, "Revisiting classifier two-sample tests"; Hanley & McNeil 1982 for the AUC as a
probability; Esteban et al. 2017, "Real-valued (medical) time series generation", section 4.1 (train on synthetic,
test on real).

The classifier is the same for all data: 100 extremely randomised trees with leaves of 5 examples or more (Geurts et
al. 2006), which see spread and dependence as well as means. They are shown (x - mean) / deviation of each number over
the real set, so that nothing depends on units: what varies by less than 1e-7, they would take for constant. A weaker
classifier finds less: an AUC of 1/2 says that these trees see no difference. It is averaged over 5 folds, each with
its own trees, whose scores are never mixed. Groups are never split over folds: of one simulation or one input, what is
learned from a part would tell the rest.

Shapes: M real examples, N generated samples, K held-out real examples, D numbers a sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from beeline.metrics.intervals import Estimate, group_bootstrap

Array = np.ndarray[Any, Any]
_FOLDS, _TREES = 5, 100
_ROUNDED, _LARGEST = 1e-12, 1e30  # of its mean a constant may vary by rounding; what float32, as trees see it, holds


def area_under_curve(positive_N: Array, negative_M: Array) -> float:
    """P(positive > negative) + 1/2 P(equal), over all pairs of scores.

    Args:
        positive_N: scores of what should score higher.
        negative_M: scores of the others.

    Raises:
        ValueError: a side is empty.
    """
    if not len(positive_N) or not len(negative_M):
        raise ValueError("an area under the curve needs a score on either side")
    ordered_M = np.sort(negative_M)
    below, up_to = (np.searchsorted(ordered_M, positive_N, side=side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(ordered_M)))


def two_sample_area(
    real_MD: Array,
    generated_ND: Array,
    group_M: Array | None = None,
    group_N: Array | None = None,
    seed: int = 0,
    interval: bool = False,
) -> Estimate:
    """AUC of trees that tell samples from real examples, mean over 5 held-out folds.

    Args:
        real_MD: real examples.
        generated_ND: samples.
        group_M: which group each real example belongs to; each its own when None.
        group_N: which group each sample belongs to; the same name on both sides is the same group (an input and its
            draws, a simulation), and both or neither are given.
        seed: of folds, trees and the interval.
        interval: whether to redraw the held-out scores, group by group; the trees are held fixed.

    Raises:
        ValueError: there are fewer than 5 samples or groups on a side, or one side has groups alone.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # a second to import, which sampling need not wait for

    if (group_M is None) != (group_N is None):
        raise ValueError("groups are named for both sets or for neither")
    m, n = len(real_MD), len(generated_ND)
    if group_M is None or group_N is None:
        group_M, group_N = np.arange(m), m + np.arange(n)
    if min(len(np.unique(group_M)), len(np.unique(group_N))) < _FOLDS:
        raise ValueError(f"{_FOLDS} folds need at least {_FOLDS} groups of real examples and of samples")
    features = np.concatenate(_standardised(real_MD, generated_ND))
    group = np.concatenate([group_M, group_N])
    is_generated = np.arange(m + n) >= m
    scores, fold = np.empty(m + n), np.empty(m + n, dtype=np.int64)
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed).split(features, is_generated, group)
    for number, (learned, held_out) in enumerate(folds):
        scores[held_out] = _trees(features[learned], is_generated[learned], seed).predict_proba(features[held_out])[
            :, 1
        ]
        fold[held_out] = number
    values = [scores, is_generated, fold]
    return group_bootstrap(values, _mean_area, group, seed if interval else None)


def train_on_synthetic(
    generated: tuple[Array, Array],
    real: tuple[Array, Array],
    held_out: tuple[Array, Array],
    group_K: Array | None = None,
    seed: int | None = 0,
) -> tuple[Estimate, Estimate]:
    """Share of held-out labels found after training on samples, and after training on real examples.

    Args:
        generated: (N, D) samples and the (N,) labels that were asked for.
        real: (M, D) training examples and their labels; take as many as there are samples, else it learns more for
            their number alone.
        held_out: (K, D) real examples of which no model has seen any, and their labels.
        group_K: which group each held-out example belongs to, for the interval; each its own when None.
        seed: of the trees and of the interval over held-out examples; None leaves the interval out.

    Returns:
        Trained on samples, trained on real examples.
    """
    return labels_found(generated, held_out, group_K, seed), labels_found(real, held_out, group_K, seed)


def labels_found(
    trained: tuple[Array, Array], held_out: tuple[Array, Array], group_K: Array | None = None, seed: int | None = 0
) -> Estimate:
    """Share of held-out labels found after training on one set.

    Args:
        trained: (N, D) samples or real examples and their (N,) labels.
        held_out: (K, D) real examples of which no model has seen any, and their labels.
        group_K: which group each held-out example belongs to, for the interval; each its own when None.
        seed: of the trees and of the interval over held-out examples; None leaves the interval out.
    """
    labels = held_out[1]
    features, learned = _standardised(held_out[0], trained[0])
    guesses = _trees(learned, trained[1], seed or 0).predict(features)
    group = np.arange(len(labels)) if group_K is None else group_K
    return group_bootstrap([guesses == labels], np.mean, group, seed)


def _standardised(real_MD: Array, other_ND: Array) -> tuple[Array, Array]:
    """Both sets less the mean and over the deviation of the real one; of the other where the real one never varies."""
    mean_D = real_MD.mean(axis=0, dtype=np.float64)
    scale_D = np.ones_like(mean_D)
    for each in (other_ND, real_MD):
        deviation_D = each.std(axis=0, dtype=np.float64)
        scale_D = np.where(deviation_D > _ROUNDED * np.abs(mean_D), deviation_D, scale_D)

    def shown(rows: Array) -> Array:
        return np.stack([np.clip((row - mean_D) / scale_D, -_LARGEST, _LARGEST).astype(np.float32) for row in rows])

    return shown(real_MD), shown(other_ND)


def _trees(features: Array, labels: Array, seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(_TREES, min_samples_leaf=5, random_state=seed).fit(features, labels)


def _mean_area(scores: Array, is_generated: Array, fold: Array) -> float:
    """Mean over folds in which both kinds are found: groups drawn again may leave one empty."""
    areas = []
    for number in np.unique(fold):
        here = fold == number
        positive, negative = scores[here & is_generated], scores[here & ~is_generated]
        if len(positive) and len(negative):
            areas.append(area_under_curve(positive, negative))
    return float(np.mean(areas)) if areas else float("nan")

"""Frechet distance between the Gaussians that have the moments of two samples (id ``frechet-gaussian-1``).

    d^2 = |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1^(1/2) C2 C1^(1/2))^(1/2)

Sources: Dowson & Landau 1982; Heusel et al. 2017, who take it between Inception features and call it FID. It is named
after its features here. Means and unbiased covariances in float64, no shrinkage. The last trace is the sum of the
singular values of C1^(1/2) C2^(1/2), each root by eigendecomposition, so that singular covariances need no special
care. The value of finite samples is biased upwards: compare at equal n only.

Shapes: M real samples, N generated samples, D numbers a sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from beeline.metrics.intervals import Estimate, group_of, groups_of_answers, jackknife

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian.

    Args:
        mean: (D,).
        covariance: (D, D).
    """

    mean: Array
    covariance: Array

    @cached_property
    def root(self) -> Array:
        """Symmetric square root of the covariance; eigenvalues that rounding made negative are 0."""
        values, vectors = np.linalg.eigh(self.covariance)
        return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def moments(samples_ND: Array) -> Gaussian:
    """The Gaussian with the mean and the unbiased covariance of samples.

    Raises:
        ValueError: there are fewer than two samples.
    """
    if len(samples_ND) < 2:
        raise ValueError("a covariance needs at least 2 samples")
    samples_ND = np.asarray(samples_ND, dtype=np.float64)
    mean_D = samples_ND.mean(axis=0)
    centred_ND = samples_ND - mean_D
    return Gaussian(mean_D, centred_ND.T @ centred_ND / (len(samples_ND) - 1))


def gaussian_frechet(one: Gaussian, other: Gaussian) -> float:
    """d^2 between two Gaussians, at least 0."""
    shared = np.linalg.svd(one.root @ other.root, compute_uv=False).sum()
    means = np.square(one.mean - other.mean).sum()
    return max(0.0, float(means + np.trace(one.covariance) + np.trace(other.covariance) - 2.0 * shared))


def frechet_distance(
    real_MD: Array,
    generated_ND: Array,
    interval: bool = False,
    group_M: Array | None = None,
    group_N: Array | None = None,
) -> Estimate:
    """d^2 between two samples.

    Args:
        real_MD: real samples, at least two.
        generated_ND: samples, at least two.
        interval: whether to leave out a twentieth of either sample in turn, for an interval of both.
        group_M: number of the group that each real sample belongs to, left out whole; each its own when None.
        group_N: number of the group of real samples that each sample answers (its place, where each is its own), left
            out with it; None where samples answer none.

    Raises:
        ValueError: there are fewer than two samples.
    """
    real, generated = moments(real_MD), moments(generated_ND)
    value = gaussian_frechet(real, generated)
    own = group_of(len(real_MD), group_M)
    other = group_of(len(generated_ND)) if group_N is None else groups_of_answers(group_M, own, group_N)
    codes = [own, other]
    if not interval or min(len(each) - np.bincount(each).max() for each in codes) < 2:
        return Estimate(value)
    groups = int(own.max()) + 1
    parts = _without_each_group(real_MD, own, groups)
    if group_N is not None:
        pairs = zip(parts, _without_each_group(generated_ND, other, groups), strict=True)
        return jackknife(value, [np.array([gaussian_frechet(*both) for both in pairs])], low=0.0)
    without_real = [gaussian_frechet(part, generated) for part in parts]
    others = _without_each_group(generated_ND, other, int(other.max()) + 1)
    without_generated = [gaussian_frechet(real, part) for part in others]
    return jackknife(value, [np.array(without_real), np.array(without_generated)], low=0.0)


def _without_each_group(samples_ND: Array, group_N: Array, groups: int) -> list[Gaussian]:
    return [moments(samples_ND[group_N != group]) for group in range(groups)]

"""Whether stated probabilities of a yes or no are frequencies, for binary fields (id ``reliability-ece10-1``).

    ECE = sum over bins b of n_b / n |mean o - mean p|,   both means over the n_b pairs (p, o) in the bin

with p in [0, 1] stated and o in {0, 1} observed, in bins of equal width over [0, 1]. Sources: Murphy & Winkler 1977
(reliability diagram); Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning" (ECE).

ECE of n pairs is biased upwards, by about the mean of sqrt(2 f (1 - f) / (pi n_b)), f the bin's frequency, for
independent pairs that are calibrated. A share of m draws k / m is no calibrated probability even of a perfect
ensemble: where all p are equally likely the frequency given k is (k + 1) / (m + 2), so that ECE is about 1 / (2 m).

Shapes: N examples, ... elements, B bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram.

    Args:
        edges: (B + 1,) of the bins.
        counts: (B,) pairs in each.
        probability: (B,) mean stated probability; NaN in an empty bin.
        frequency: (B,) share of observed ones; NaN in an empty bin.
    """

    edges: Array
    counts: Array
    probability: Array
    frequency: Array

    @property
    def expected_error(self) -> float:
        """ECE."""
        filled = self.counts > 0
        gaps = np.abs(self.frequency - self.probability)[filled]
        return float(self.counts[filled] @ gaps / self.counts.sum())


def reliability(probability: Array, observed: Array, bins: int = 10, mask: Array | None = None) -> Reliability:
    """Frequencies of ones by stated probability.

    Args:
        probability: (N, ...) in [0, 1], as the share of draws that are 1.
        observed: (N, ...) 0 or 1.
        bins: B, of equal width; a probability on an inner edge belongs to the bin above it.
        mask: True where an element counts, of a shape that broadcasts; None keeps all.

    Raises:
        ValueError: shapes do not fit, nothing is kept, or a value that counts is NaN or out of range.
    """
    if probability.shape != observed.shape:
        raise ValueError(f"probabilities of shape {probability.shape} do not fit observed {observed.shape}")
    kept = np.broadcast_to(True if mask is None else np.asarray(mask, dtype=bool), observed.shape)
    stated, seen = (np.asarray(each, dtype=np.float64)[kept] for each in (probability, observed))
    if not stated.size:
        raise ValueError("the mask keeps nothing")
    if not ((stated >= 0) & (stated <= 1)).all():
        raise ValueError("a probability lies outside [0, 1], or is NaN")
    if not ((seen == 0) | (seen == 1)).all():
        raise ValueError("what is observed is not 0 or 1 everywhere: name the threshold and compare before")
    counts, of_stated, of_seen = bin_sums(stated, seen, bins)
    with np.errstate(invalid="ignore"):
        return Reliability(
            np.linspace(0.0, 1.0, bins + 1), counts.astype(np.int64), of_stated / counts, of_seen / counts
        )


def bin_sums(probability: Array, observed: Array, bins: int = 10) -> Array:
    """(3, B) how many pairs each bin holds, their probabilities in sum, and how many are ones.

    Args:
        probability: in [0, 1], of any shape.
        observed: 0 or 1, of that shape.
        bins: B.
    """
    stated, seen = (np.asarray(each, dtype=np.float64).ravel() for each in (probability, observed))
    place = np.minimum((stated * bins).astype(np.int64), bins - 1)
    return np.stack([np.bincount(place, each, bins) for each in (np.ones_like(seen), stated, seen)])

"""Nearest-neighbour measures of class agreement, variety and memorising.

Shapes: M reference samples, N generated samples, D numbers a sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from beeline.metrics.distances import centre

Array = np.ndarray[Any, Any]


def label_agreement(reference_MD: Array, labels_M: Array, generated_ND: Array, requested_N: Array) -> float:
    """Share of samples whose label, voted by their 3 nearest reference samples, is the one asked for.

    Args:
        reference_MD: training samples.
        labels_M: their labels.
        generated_ND: samples.
        requested_N: labels that were asked for.
    """
    from sklearn.neighbors import KNeighborsClassifier  # a second to import, which sampling need not wait for

    classifier = KNeighborsClassifier(n_neighbors=min(3, len(reference_MD))).fit(reference_MD, labels_M)
    return float(np.mean(classifier.predict(generated_ND) == requested_N))


def within_class_variance_ratio(reference_MD: Array, labels_M: Array, generated_ND: Array, requested_N: Array) -> float:
    """Variance within classes of the samples over that of the reference; below 1 means too little variety.

    mean over classes of sum_d var(x_d | class), generated / reference.

    Args:
        reference_MD: training samples.
        labels_M: their labels.
        generated_ND: samples, some of every class that was asked for.
        requested_N: labels that were asked for.
    """
    classes = np.unique(requested_N)

    def spread(samples: Array, labels: Array) -> float:
        return float(np.mean([samples[labels == one].var(axis=0).sum() for one in classes]))

    return _ratio(spread(generated_ND, requested_N), spread(reference_MD, labels_M))


def nearest_distances(training_MD: Array, samples_ND: Array) -> Array:
    """(N,) distance of every sample to the nearest training sample.

    Args:
        training_MD: what the model has seen.
        samples_ND: samples.
    """
    from sklearn.neighbors import NearestNeighbors

    centre_D, sets = centre(training_MD), (training_MD, samples_ND)
    known, asked = ((each - centre_D).astype(np.result_type(each, np.float32)) for each in sets)
    return NearestNeighbors(n_neighbors=1).fit(known).kneighbors(asked)[0][:, 0]


def nearest_distance_ratio(training_MD: Array, held_out_KD: Array, generated_ND: Array) -> float:
    """Median distance to the nearest training sample, generated / held out; well below 1 means memorising.

    Args:
        training_MD: what the model has seen.
        held_out_KD: real samples that it has not.
        generated_ND: samples.
    """
    generated, held_out = (np.median(nearest_distances(training_MD, each)) for each in (generated_ND, held_out_KD))
    return _ratio(float(generated), float(held_out))


def _ratio(numerator: float, denominator: float) -> float:
    """NaN where there is nothing to compare with: one image a class, or held-out copies of training images."""
    return numerator / denominator if denominator else float("nan")

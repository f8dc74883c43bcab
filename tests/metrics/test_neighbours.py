"""Metrics on distributions whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from beeline.core.data import Metric
from beeline.metrics.neighbours import (
    label_agreement,
    nearest_distance_ratio,
    nearest_distances,
    within_class_variance_ratio,
)


def clusters(count: int, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    return 20.0 * np.eye(6)[labels] + spread * random.normal(size=(count, 6)), labels


def test_agreement_is_one_for_the_right_class_none_for_a_wrong_one_and_chance_for_any() -> None:
    real, labels = clusters(400, 1.0, 0)
    samples, asked = clusters(400, 1.0, 1)
    assert label_agreement(real, labels, samples, asked) == 1.0
    assert label_agreement(real, labels, samples, (asked + 1) % 4) == 0.0
    random = np.random.default_rng(0).integers(0, 4, 400)
    assert label_agreement(real, labels, samples, random) == pytest.approx(0.25, abs=0.08)


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_the_variance_ratio_is_the_square_of_the_spread_and_ignores_classes_means(spread: float) -> None:
    real, labels = clusters(4000, 1.0, 0)
    samples, asked = clusters(4000, spread, 1)
    assert within_class_variance_ratio(real, labels, samples, asked) == pytest.approx(spread**2, rel=0.05)
    assert within_class_variance_ratio(real, labels, samples + 100, asked) == pytest.approx(spread**2, rel=0.05)


def test_the_distance_ratio_is_zero_for_copies_and_one_for_fresh_draws() -> None:
    training, held_out, fresh = (clusters(500, 1.0, seed)[0] for seed in (0, 1, 2))
    assert nearest_distance_ratio(training, held_out, training[:100]) == 0.0
    assert nearest_distance_ratio(training, held_out, fresh) == pytest.approx(1.0, abs=0.1)


def test_numbers_far_from_zero_lose_no_digits() -> None:
    random = np.random.default_rng(0)
    training, samples = random.normal(size=(50, 20)), random.normal(size=(30, 20))
    near = nearest_distances(training, samples)
    assert nearest_distances(training + 2.0**26, samples + 2.0**26) == pytest.approx(near, abs=1e-6)


def test_a_value_that_is_no_number_never_passes() -> None:
    metric = Metric("m", "f", lambda *sets: 0.0, low=0.0)
    assert metric.passes(0.0)
    assert not metric.passes(-0.1)
    assert not metric.passes(float("nan"))

"""Stated probabilities whose frequencies are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from beeline.metrics.reliability import reliability


def test_bins_hold_what_was_stated_and_what_was_seen() -> None:
    stated = np.array([[0.0, 0.05, 0.3], [0.35, 1.0, 0.95], [0.92, 0.98, 1.0]])
    seen = np.array([[0, 1, 0], [1, 1, 1], [1, 1, 1]])
    found = reliability(stated, seen, bins=10)
    assert found.counts.tolist() == [2, 0, 0, 2, 0, 0, 0, 0, 0, 5]
    assert found.probability[[0, 3, 9]] == pytest.approx([0.025, 0.325, 0.97])
    assert found.frequency[[0, 3, 9]] == pytest.approx([0.5, 0.5, 1.0])
    assert np.isnan(found.frequency[1])
    assert found.expected_error == pytest.approx((2 * 0.475 + 2 * 0.175 + 5 * 0.03) / 9), "weighted by counts"
    assert found.edges == pytest.approx(np.linspace(0, 1, 11))


def test_probabilities_that_are_frequencies_have_no_error_beyond_that_of_counting() -> None:
    random = np.random.default_rng(0)
    stated = random.random((200, 400))
    seen = random.random((200, 400)) < stated
    found = reliability(stated, seen)
    rates = found.probability
    assert found.expected_error < 2 * np.sqrt(2 * rates * (1 - rates) / (math.pi * found.counts)).mean()
    sure = np.where(stated > 0.5, 1.0, 0.0)
    assert reliability(sure, seen).expected_error == pytest.approx(0.25, abs=0.01), "E of min(p, 1 - p)"


@pytest.mark.parametrize("members", [4, 63])
def test_shares_of_a_perfect_ensemble_regress_by_the_rule_of_succession(members: int) -> None:
    """All p equally likely: after k ones of m the truth is one in (k + 1)/(m + 2), so ECE is about 1 / (2 m)."""
    random = np.random.default_rng(0)
    probability = random.random(60000)
    share = (random.random((60000, members)) < probability[:, None]).mean(axis=1)
    seen = random.random(60000) < probability
    k = np.arange(members + 1)
    truth = np.abs((k + 1) / (members + 2) - k / members).mean()
    if members == 4:
        assert reliability(share, seen, bins=5).expected_error == pytest.approx(truth, abs=0.01)
    assert truth == pytest.approx(1 / (2 * members), rel=0.35)
    assert reliability(share, seen).expected_error == pytest.approx(truth, abs=0.012)


def test_masks_leave_out_and_nonsense_is_refused() -> None:
    stated, seen = np.array([[0.2, np.nan]]), np.array([[1.0, 0.0]])
    assert reliability(stated, seen, mask=np.array([True, False])).counts.sum() == 1
    with pytest.raises(ValueError, match="or is NaN"):
        reliability(stated, seen)
    for outside in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"lies outside \[0, 1\]"):
            reliability(np.array([outside]), np.array([1.0]))
    with pytest.raises(ValueError, match="not 0 or 1"):
        reliability(np.array([0.2]), np.array([0.5]))
    with pytest.raises(ValueError, match="keeps nothing"):
        reliability(stated, seen, mask=np.zeros((1, 2), dtype=bool))
    with pytest.raises(ValueError, match="do not fit"):
        reliability(stated, seen[0])

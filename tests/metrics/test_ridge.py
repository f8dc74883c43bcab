"""The linear model against its normal equations and against effects that are linear in the features."""

from __future__ import annotations

import numpy as np
import pytest

from beeline.metrics.ridge import LinearEffects

RANDOM = np.random.default_rng(0)


def test_effects_linear_in_features_are_predicted_of_perturbations_never_seen() -> None:
    features, weights = RANDOM.normal(size=(60, 3)), RANDOM.normal(size=(3, 40))
    features[:50] -= features[:50].mean(axis=0)  # the model has no intercept in the features
    fitted = LinearEffects(features[:50] @ weights, features[:50])
    for feature in features[50:]:
        assert np.corrcoef(fitted(feature), feature @ weights)[0, 1] > 0.99
    apart = fitted(features[55]) - features[55] @ weights
    assert np.abs(apart - apart.mean()).max() < 0.05, "scores of genes know no shift of all of them"


def test_the_solution_is_that_of_the_two_ridges() -> None:
    deltas, features = RANDOM.normal(size=(8, 20)), RANDOM.normal(size=(8, 4))
    fitted = LinearEffects(deltas, features, components=5, penalty=0.1)
    genes, centred = fitted.genes_GK, (deltas - deltas.mean(axis=0)).T
    left = np.linalg.inv(genes.T @ genes + 0.1 * np.eye(5)) @ genes.T
    right = features @ np.linalg.inv(features.T @ features + 0.1 * np.eye(4))
    np.testing.assert_allclose(fitted.weight_KF, left @ centred @ right, atol=1e-10)
    np.testing.assert_allclose(
        genes @ fitted.weight_KF @ features[0] + deltas.mean(axis=0), fitted(features[0]), atol=1e-12
    )


def test_features_that_say_nothing_give_the_mean_effect() -> None:
    deltas = RANDOM.normal(size=(6, 10))
    np.testing.assert_allclose(LinearEffects(deltas, np.zeros((6, 2)))(np.ones(2)), deltas.mean(axis=0))
    with pytest.raises(ValueError, match="6 effects and 5 rows"):
        LinearEffects(deltas, np.zeros((5, 2)))

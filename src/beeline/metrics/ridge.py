"""Linear prediction of the effects of perturbations from features of theirs, in closed form.

    Y ~ A W B + b,   W = (A'A + l I)^-1 A' (Y - b) B' (B B' + l I)^-1

Y (G, P) are the deltas of P perturbations, b their mean, B (F, P) features, A (G, K) the scores of the genes on the
first K principal components of Y (its columns centred), K = 10 and l = 0.1.

Source: Ahlmann-Eltze, Huber & Anders 2025, "Deep-learning-based gene perturbation effect prediction does not yet
outperform simple linear baselines", the linear model of its methods.

Shapes: P perturbations, G genes, F features, K components.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class LinearEffects:
    """The linear model, fitted.

    Args:
        delta_PG: effects, at least one.
        feature_PF: of the same perturbations.
        components: K, at most P and G.
        penalty: l.

    Raises:
        ValueError: there is not one row of features for each effect.
    """

    def __init__(self, delta_PG: Array, feature_PF: Array, components: int = 10, penalty: float = 0.1) -> None:
        delta_PG, feature_PF = (np.asarray(each, dtype=np.float64) for each in (delta_PG, feature_PF))
        if not len(delta_PG) or len(delta_PG) != len(feature_PF):
            raise ValueError(f"{len(delta_PG)} effects and {len(feature_PF)} rows of features")
        self.mean_G = delta_PG.mean(axis=0)
        left, sizes, _ = np.linalg.svd((delta_PG - delta_PG.mean(axis=1, keepdims=True)).T, full_matrices=False)
        self.genes_GK = (left * sizes)[:, :components]
        right = (delta_PG - self.mean_G).T @ feature_PF
        of_genes = self.genes_GK.T @ self.genes_GK + penalty * np.eye(self.genes_GK.shape[1])
        of_features = feature_PF.T @ feature_PF + penalty * np.eye(feature_PF.shape[1])
        self.weight_KF = np.linalg.solve(of_features, np.linalg.solve(of_genes, self.genes_GK.T @ right).T).T

    def __call__(self, feature_F: Array) -> Array:
        """(G,) predicted delta.

        Args:
            feature_F: of a perturbation.
        """
        return np.asarray(self.genes_GK @ (self.weight_KF @ np.asarray(feature_F, dtype=np.float64)) + self.mean_G)

"""Cells on a plane: UMAP of principal components, or the first two of these where UMAP is missing or says little.

Source: McInnes, Healy & Melville 2018, "UMAP: uniform manifold approximation and projection for dimension reduction".

Shapes: N cells, K components.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Array = np.ndarray[Any, Any]
LEAST_FOR_UMAP = 200
_NEIGHBOURS, _APART = 15, 0.3
WITHOUT = "the package umap-learn is not installed; pip install 'beeline[cells]'"


@dataclass(frozen=True)
class Plane:
    """Where cells lie.

    Args:
        name: UMAP or PC.
        places: (N, 2) of each group.
        why: reason why it is no UMAP; empty where it is one.
    """

    name: str
    places: Mapping[str, Array]
    why: str = ""


def plane_of(groups: Mapping[str, Array], seed: int = 0, umap: bool = True) -> Plane:
    """All cells together on one plane.

    Args:
        groups: (N, K) principal components of cells, by name.
        seed: of the map.
        umap: whether to take UMAP where there are enough cells; the first call of a process takes a while, in which
            numba compiles it.
    """
    every = np.concatenate(list(groups.values())).astype(np.float32)
    cuts = np.cumsum([len(each) for each in groups.values()])[:-1]
    if not umap:
        why = "beeline evaluate draws one"
    elif len(every) < LEAST_FOR_UMAP:
        why = f"it says little of fewer than {LEAST_FOR_UMAP} cells"
    else:
        found = _umap(every, seed)
        if found is not None:
            return Plane("UMAP", dict(zip(groups, np.split(found, cuts), strict=True)))
        why = WITHOUT
    flat = every[:, :2] if every.shape[1] > 1 else np.column_stack([every, np.zeros(len(every))])
    return Plane("PC", dict(zip(groups, np.split(flat, cuts), strict=True)), why)


def _umap(cells_NK: Array, seed: int) -> Array | None:
    """(N, 2) places; None without the package."""
    threads = torch.get_num_threads()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the package's own parts that need TensorFlow, and of its styles
            maker = importlib.import_module("umap").UMAP(
                n_neighbors=_NEIGHBOURS, min_dist=_APART, init="pca", random_state=seed, n_jobs=1
            )
            return np.asarray(maker.fit_transform(cells_NK), dtype=np.float64)
    except ImportError:
        return None
    finally:
        torch.set_num_threads(threads)  # which numba's kernels take for all cores, whatever was asked for

"""Synthetic cells, written as AnnData."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
from scipy.sparse import csr_matrix

Array = np.ndarray[Any, Any]
CELLS, GENES = 60, 25
NAMES = tuple(f"G{number}" for number in range(GENES))
COUNTS = np.random.default_rng(0).poisson(0.8, (CELLS, GENES)).astype(np.float32)
LOGS = np.log1p(COUNTS / COUNTS.sum(1, keepdims=True) * 20).astype(np.float32)


def adata(X: Any = None, **more: Any) -> anndata.AnnData:
    """Cells with a few columns; ``more`` is what AnnData takes beside X."""
    data = anndata.AnnData(csr_matrix(COUNTS) if X is None else X, **more)
    data.var_names = [f"G{number}" for number in range(data.n_vars)]
    data.obs_names = [f"cell-{number}" for number in range(data.n_obs)]
    kinds = np.array(["T", "B", None], dtype=object)[np.arange(data.n_obs) % 3]
    data.obs["cell_type"] = kinds
    data.obs["cell_type"] = data.obs["cell_type"].astype("category")
    data.obs["dose"] = np.where(np.arange(data.n_obs) % 4 == 0, np.nan, np.arange(data.n_obs) / 2)
    data.obs["plate"] = np.arange(data.n_obs) // 10
    data.obs["treated"] = np.arange(data.n_obs) % 2 == 0
    return data


def written(folder: Path, data: anndata.AnnData, name: str = "cells.h5ad") -> Path:
    """The path of cells that were written."""
    data.write_h5ad(folder / name)
    return folder / name

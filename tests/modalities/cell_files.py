"""AnnData files of synthetic cells."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np

from beeline.data.cell_truth import CONTEXT, CellTruth

TRUTH = CellTruth(singles=3)


def cells_file(path: Path, count: int = 30, seed: int = 0, only: tuple[str, str] | None = None) -> Path:
    """Counts of control cells and of cells under one perturbation, of three types, ``count`` of each.

    Args:
        path: to be written.
        count: cells of each population.
        seed: the same gives the same cells.
        only: perturbation ("control" for none) and cell type, for a file of one population.
    """
    random, counts, rows = np.random.default_rng(seed), [], []
    for cell_type in TRUTH.types:
        for name in ("control", *TRUTH.perturbations):
            if only is None or only == (name, cell_type):
                names = () if name == "control" else (name,)
                counts.append(TRUTH.counts(names, cell_type, count, random)[0])
                rows += [{"gene": name, CONTEXT: cell_type, "donor": f"donor {row % 3}"} for row in range(count)]
    cells = anndata.AnnData(np.concatenate(counts).astype(np.float32))
    cells.obs_names = [f"cell-{row}" for row in range(len(rows))]
    cells.var_names = list(TRUTH.gene_names)
    for name in rows[0]:
        cells.obs[name] = [row[name] for row in rows]
    cells.write_h5ad(path)
    return path

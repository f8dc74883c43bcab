"""The pictures of docs/cells.md: a run on synthetic cells, evaluated, and what its report shows as files.

python -m benchmarks.cell_pictures [--out docs/pictures] [--runs runs/cell_pictures]

Six perturbations of three types of cells, stronger in one type than in the next; what they do to NK cells is held out.
A run that is there is used again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata
import numpy as np

from beeline.cli.evaluate import evaluate
from beeline.cli.train import train
from beeline.data.cell_truth import CONTEXT, CellTruth
from beeline.evaluate.cell_change_charts import Picture, change_charts
from beeline.evaluate.cell_charts import map_charts, pair_charts

TRUTH = CellTruth(genes=120, singles=6, changed=8, fold=1.2, specific=0.25)
COUNT, KEPT = 100, "NK"
OPTIONS = {
    "modality": "cells",
    "data.perturbation_key": "gene",
    "data.context": CONTEXT,
    "data.start": "control",
    "data.components": 16,
    "process.source": "condition",
    "process.end": "control",
    "model.hidden_size": 64,
    "model.depth": 2,
    "model.num_heads": 1,
    "train.steps": 400,
    "train.batch_size": 64,
    "train.learning_rate": 2e-3,
    "train.sample_every": 0,
    "train.ema_snapshots": 0,
}


def cells_file(path: Path) -> Path:
    """Counts of every population, as many cells of each."""
    random = np.random.default_rng(0)
    populations = [(name, kind) for kind in TRUTH.types for name in ("control", *TRUTH.perturbations)]
    counts = [TRUTH.counts(() if name == "control" else (name,), kind, COUNT, random)[0] for name, kind in populations]
    cells = anndata.AnnData(np.concatenate(counts).astype(np.float32))
    cells.var_names = list(TRUTH.gene_names)
    cells.obs["gene"] = np.repeat([name for name, _ in populations], COUNT)
    cells.obs[CONTEXT] = np.repeat([kind for _, kind in populations], COUNT)
    path.parent.mkdir(parents=True, exist_ok=True)
    cells.write_h5ad(path)
    return path


def measured(home: Path) -> dict[str, Any]:
    """What an evaluation of the run holds of cells."""
    run = home / "run"
    if not list(run.glob("evaluations/*.json")):
        held_out = ";".join(f"{CONTEXT}={KEPT},gene={name}" for name in TRUTH.perturbations)
        path = cells_file(home / "cells.h5ad")
        train(str(path), run, options={**OPTIONS, "data.held_out_populations": held_out})
        evaluate(run, n=COUNT * TRUTH.singles, spaces=["pixels"])
    found = json.loads(sorted(run.glob("evaluations/*.json"))[-1].read_text())
    cells: dict[str, Any] = found["curves"]["cells"]
    return cells


def pictures(cells: Mapping[str, Any]) -> dict[str, Picture]:
    """The pictures by their names."""
    umap, populations = map_charts(cells["map"])
    ranks, by_size = pair_charts(cells)
    change, violins, real, predicted = change_charts(cells["changes"][0], cells["pairs"])
    return {
        "map": umap,
        "populations": populations,
        "ranks": ranks,
        "by_size": by_size,
        "change": change,
        "violins": violins,
        "volcano_real": real,
        "volcano_predicted": predicted,
    }


def main() -> None:
    """Train, measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--runs", type=Path, default=Path("runs/cell_pictures"))
    arguments = parser.parse_args()
    for name, picture in pictures(measured(arguments.runs)).items():
        drawing = picture.drawing()
        if drawing is not None:
            path = arguments.out / f"cells_{name}.svg"
            path.write_text(drawing.svg(), encoding="utf-8")
            print(path, f"{path.stat().st_size / 1e3:.0f} kB", f"{drawing.title}. {drawing.note}", sep="\n    ")


if __name__ == "__main__":
    main()

"""What an evaluation of cells shows and keeps beside its numbers: rows by pair, a map, changes of genes, kinds.

{"pairs": [row of ``PairRow``],
 "map": {"name": "UMAP", "why": "", "origin": {"real, held out": [[x, y]]}, "kinds": {"B": [[x, y]]}},
 "ranks": {"rows": [pair], "columns": [pair], "ranks": [[1, 2]], "own": [0], "of": 5},
 "changes": [{"pair", "why", "genes", "observed", "predicted", "fold", "fold_predicted", "rate", "rate_predicted",
              "shapes": {gene: {"control" | "real" | "predicted": {"at", "density", "median", "n"}}}}],
 "kinds": {"genes", "means": {kind: [[real, generated]]}, "variances": the same, "shapes": {gene: {kind: {group}}}}}
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from beeline.core.data import Example, Expression
from beeline.core.offers import Baselined, Expressed
from beeline.evaluate.cell_views import change_of, kinds_of, map_of, ranks_of, shown_name
from beeline.evaluate.evaluation import Drawn, Evaluator
from beeline.metrics.cell_effects import Compared, Truth
from beeline.metrics.cell_rows import PairRow, rows_of

PAIRS = "pairs.csv"
_SHOWN, _AGREEING = 2, 0.5
_NESTED = ("doses", "model", "floors", "ceiling", "notes")


@dataclass(frozen=True)
class CellPages:
    """What comes of generated cells.

    Args:
        curves: rows and numbers of the pictures; empty where they are no cells.
        files: contents of ``pairs.csv`` by its name.
    """

    curves: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


def cell_pages(evaluator: Evaluator, samples: Drawn, seed: int, umap: bool = True) -> CellPages:
    """Rows and pictures of generated cells; nothing where they are no cells, or some are not finite.

    Args:
        evaluator: of the model.
        samples: that answer the conditions of held-out cells.
        seed: of baselines and of the map.
        umap: whether the map may be a UMAP.
    """
    modality, sets = evaluator.engine.modality, evaluator.sets
    generated = evaluator.yardstick.asked(samples.samples.examples)
    if not isinstance(modality, Expressed) or not all(np.isfinite(each.array).all() for each in generated):
        return CellPages()
    known = modality.expression()
    cheap = modality.baselines(sets.used, generated, seed) if isinstance(modality, Baselined) else {}
    return pages_of((sets.used, sets.held_out, generated), cheap, known, seed, umap)


def pages_of(
    cells: tuple[Sequence[Example], Sequence[Example], Sequence[Example]],
    cheap: Mapping[str, Sequence[Example]],
    known: Expression,
    seed: int = 0,
    umap: bool = True,
) -> CellPages:
    """Rows and pictures of generated cells.

    Args:
        cells: training, held-out and generated ones.
        cheap: answers of baselines to the conditions of the generated ones, by name.
        known: genes, and how cells are told apart.
        seed: of the ceiling and of the map.
        umap: whether the map may be a UMAP.
    """
    training, held_out, generated = cells
    truth = Truth(training, held_out, known.genes, known.contexts)
    perturbed = bool(truth.held_out.perturbed)
    if not perturbed and known.kinds != known.contexts:
        truth = Truth(training, held_out, known.genes, known.kinds)
    compared = Compared(truth, generated)
    if not compared.pairs:
        return CellPages()
    rows = rows_of(compared, cheap, seed)
    ordered = sorted(rows, key=lambda row: (-np.nan_to_num(row.effect_size), -row.n))
    curves: dict[str, Any] = {
        "perturbed": perturbed,
        "pairs": [asdict(row) | {"shown": shown_name(row.key, perturbed)} for row in ordered],
        "map": map_of(compared, ordered, seed, umap),
    }
    if perturbed:
        curves["ranks"] = ranks_of(compared, ordered)
        changes = [change_of(compared, row, why, known) for row, why in chosen(ordered)]
        curves["changes"] = [each for each in changes if each is not None]
    else:
        curves["kinds"] = kinds_of(compared, known.genes)
    return CellPages(_rounded(curves), {PAIRS: pairs_csv(ordered)})


def chosen(rows: Sequence[PairRow]) -> list[tuple[PairRow, str]]:
    """The pairs that are shown gene by gene, and why these: the largest change, and the worst predicted one.

    The worst one is of the pairs whose real halves agree, so that it is more than noise, where there are such.

    Args:
        rows: of the pairs, the largest change first.
    """
    able = [row for row in rows if row.perturbation and row.changed is not None]
    if len(able) <= _SHOWN:
        return [(row, "") for row in able]
    clear = [row for row in able[1:] if row.ceiling.delta_correlation >= _AGREEING] or able[1:]
    worst = min(clear, key=lambda row: np.nan_to_num(row.model.delta_correlation, nan=-2.0))
    count = f"of {len(able):,}"
    return [(able[0], f"the largest change {count}"), (worst, f"the worst predicted {count}")]


def pairs_csv(rows: Sequence[PairRow]) -> bytes:
    """The rows as a table of one line each, with two columns for each cheap answer.

    Args:
        rows: of the pairs.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.floors))
    text = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        flat = {key: value for key, value in asdict(row).items() if key not in _NESTED}
        flat |= {"perturbation": "+".join(row.key.members), "context": ", ".join(row.context)}
        sides = {"": row.model, **{f"{name}: ": row.floors.get(name) for name in names}, "ceiling: ": row.ceiling}
        for name, numbers in sides.items():
            flat[f"{name}energy distance"] = math.nan if numbers is None else numbers.energy
            flat[f"{name}delta correlation"] = math.nan if numbers is None else numbers.delta_correlation
        flat["notes"] = "; ".join(row.notes)
        if writer is None:
            writer = csv.DictWriter(text, list(flat), lineterminator="\n")
            writer.writeheader()
        plain = {key: "" if isinstance(each, float) and math.isnan(each) else each for key, each in flat.items()}
        writer.writerow({key: f"{each:.6g}" if isinstance(each, float) else each for key, each in plain.items()})
    return text.getvalue().encode()


def _rounded(value: Any) -> Any:
    """Numbers at four digits, which is what a picture can show."""
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) and math.isfinite(value) else value

"""What pictures of generated cells are drawn from: a map, ranks, the genes of a pair, the genes of kinds.

Shapes: N cells, G genes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from beeline.core.data import Expression, evenly
from beeline.evaluate.cell_map import plane_of
from beeline.evaluate.violins import shape_of
from beeline.metrics import effects
from beeline.metrics.cell_effects import Compared
from beeline.metrics.cell_pairs import Array, Pair
from beeline.metrics.cell_rows import PairRow
from beeline.metrics.populations import Components

REAL, GENERATED, CONTROL, PREDICTED = "real, held out", "generated", "control", "predicted"
_MOST_REAL, _MOST_CONTROL = 400, 250
_GENES, _TILES, _KINDS = 5, 24, 5
_MOST_GENES = 1500


def shown_name(pair: Pair, perturbed: bool = True) -> str:
    """A population for people: its kind alone where nothing was done to any cell.

    Args:
        pair: the population.
        perturbed: whether anything was done to cells.
    """
    return pair.name if perturbed else ", ".join(pair.context) or "all cells"


def map_of(compared: Compared, rows: Sequence[PairRow], seed: int, umap: bool) -> dict[str, Any]:
    """Held-out, generated and control cells in the principal components of training cells.

    Args:
        compared: generated cells beside the truth.
        rows: of the pairs, those first that matter most.
        seed: of the map.
        umap: whether it may be a UMAP.
    """
    truth = compared.truth
    known = truth.training.examples
    axes = Components(np.stack([known[index].array for index in evenly(known, 2000)]))
    pairs = [row.key for row in rows]
    share = max(1, _MOST_REAL // len(pairs))
    cut = {pair: _some(truth.cells(pair), share) for pair in pairs}
    made = {pair: _some(compared.cells(pair), share) for pair in pairs}
    contexts = {pair.context: pair for pair in compared.perturbed}
    beside = [controls for pair in contexts.values() if (controls := truth.controls(pair)) is not None]
    standing = [_some(np.unique(each, axis=0), max(1, _MOST_CONTROL // len(beside))) for each in beside]
    groups = {CONTROL: standing, REAL: list(cut.values()), GENERATED: list(made.values())}
    plane = plane_of({name: axes(np.concatenate(each)) for name, each in groups.items() if each}, seed, umap)
    found: dict[str, Any] = {"name": plane.name, "why": plane.why}
    found["origin"] = {name: places.tolist() for name, places in plane.places.items()}
    ends = np.cumsum([len(each) for each in cut.values()]), np.cumsum([len(each) for each in made.values()])
    sides = [np.split(plane.places[name], cuts[:-1]) for name, cuts in zip((REAL, GENERATED), ends, strict=True)]
    found["kinds"] = {
        shown_name(pair, bool(truth.held_out.perturbed)): {
            REAL: real.tolist(),
            GENERATED: own.tolist(),
        }
        for pair, real, own in zip(pairs, *sides, strict=True)
    }
    return found


def ranks_of(compared: Compared, rows: Sequence[PairRow]) -> dict[str, Any]:
    """Rank of every real change by nearness to each predicted one, of the pairs of the largest changes.

    Args:
        compared: generated cells beside the truth.
        rows: of the pairs, the largest change first.
    """
    truth, known = compared.truth, list(compared.truth.known)
    asked = [row.key for row in rows if math.isfinite(row.rank)][:_TILES]
    others = [pair for pair in known if pair not in asked]
    columns = [*asked, *others[: _TILES - len(asked)]]
    real = np.stack([truth.known[pair] for pair in known]) if known else np.zeros((0, 0))
    found = []
    for pair in asked:
        delta = compared.delta(pair)
        assert delta is not None
        order = effects.ranks(delta, real, "cosine", truth.targets(pair))
        found.append([float(order[known.index(column)]) for column in columns])
    return {
        "rows": [pair.name for pair in asked],
        "columns": [pair.name for pair in columns],
        "ranks": found,
        "own": list(range(len(asked))),
        "of": len(known),
        "left_out": sum(math.isfinite(row.rank) for row in rows) - len(asked),
    }


def change_of(compared: Compared, row: PairRow, why: str, known: Expression) -> dict[str, Any] | None:
    """What a perturbation does to each gene and what was predicted; None without control cells.

    Args:
        compared: generated cells beside the truth.
        row: of the pair.
        why: it is shown, in words.
        known: genes.
    """
    pair, truth = row.key, compared.truth
    deltas, changes, top = compared.deltas(pair), compared.changes(pair), truth.top(pair)
    controls = truth.controls(pair)
    if deltas is None or changes is None or top is None or controls is None:
        return None
    sizes = np.maximum(np.abs(deltas[0]), np.abs(deltas[1]))
    kept = np.sort(np.argsort(-sizes, kind="stable")[:_MOST_GENES])
    own, real = changes
    sides = {CONTROL: controls, "real": truth.cells(pair), PREDICTED: compared.cells(pair)}
    found: dict[str, Any] = {
        "pair": row.pair,
        "why": why,
        "genes": [known.genes[place] for place in kept],
        "of": len(known.genes),
        "observed": deltas[1][kept].tolist(),
        "predicted": deltas[0][kept].tolist(),
        "rate": real.rate[kept].tolist(),
        "rate_predicted": own.rate[kept].tolist(),
        "shapes": {
            known.genes[place]: {name: asdict(shape_of(cells[:, place])) for name, cells in sides.items()}
            for place in top[:_GENES].tolist()
        },
    }
    if known.logarithmic:
        found |= {"fold": real.fold[kept].tolist(), "fold_predicted": own.fold[kept].tolist()}
    return found


def kinds_of(compared: Compared, genes: Sequence[str]) -> dict[str, Any]:
    """Means and variances of each gene by kind, and the genes by which kinds are told.

    Args:
        compared: generated cells beside the truth.
        genes: names.
    """
    truth = compared.truth
    largest = sorted(sorted(compared.pairs, key=lambda pair: -len(truth.held_out.members[pair]))[:_KINDS])
    real = {shown_name(pair, False): truth.cells(pair) for pair in largest}
    made = {shown_name(pair, False): compared.cells(pair) for pair in largest}
    telling = telling_genes(list(real.values()))
    cut = np.sort(np.argsort(-np.var(np.concatenate(list(real.values())), axis=0), kind="stable")[:_MOST_GENES])

    def sides(function: Any) -> dict[str, Any]:
        pairs = {name: (function(real[name], axis=0), function(made[name], axis=0)) for name in real}
        return {name: np.column_stack(pair)[cut].tolist() for name, pair in pairs.items()}

    return {
        "genes": [genes[place] for place in cut],
        "of": len(genes),
        "left_out": len(compared.pairs) - len(largest),
        "means": sides(np.mean),
        "variances": sides(np.var),
        "shapes": {
            genes[place]: {
                name: {
                    "real": asdict(shape_of(real[name][:, place])),
                    GENERATED: asdict(shape_of(made[name][:, place])),
                }
                for name in real
            }
            for place in telling
        },
    }


def telling_genes(kinds: Sequence[Array], most: int = 4) -> list[int]:
    """Places of genes that tell kinds apart: of each in turn the one highest above the others by Welch's t.

    Args:
        kinds: (N, G) cells of each kind; of a single kind, its most variable genes.
        most: how many genes.
    """
    if len(kinds) < 2:
        return np.argsort(-kinds[0].var(axis=0), kind="stable")[:most].tolist()
    orders = []
    for place, own in enumerate(kinds):
        others = np.concatenate([each for number, each in enumerate(kinds) if number != place])
        error = np.sqrt(own.var(axis=0) / len(own) + others.var(axis=0) / len(others))
        orders.append(np.argsort(-(own.mean(axis=0) - others.mean(axis=0)) / np.maximum(error, 1e-9), kind="stable"))
    found: list[int] = []
    for step in range(most):
        for order in orders:
            if len(found) < most and int(order[step]) not in found:
                found.append(int(order[step]))
    return found


def _some(cells_NG: Array, most: int) -> Array:
    """At most so many cells, evenly spread."""
    count = min(most, len(cells_NG))
    return np.asarray(cells_NG[np.arange(count) * len(cells_NG) // max(1, count)])

"""Pictures of one perturbation gene by gene: predicted against observed change, violins, a pair of volcanoes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from beeline.evaluate.blocks import Block
from beeline.evaluate.cell_views import CONTROL, GENERATED, PREDICTED, REAL
from beeline.evaluate.drawing import Drawing
from beeline.evaluate.scatter import Named, Scatter
from beeline.evaluate.violins import Shape, Violins, finite_shape

Known = Mapping[str, Any]
GREY = 5
INKS = {CONTROL: GREY, REAL: 1, "real": 1, GENERATED: 0, PREDICTED: 0}
_LEVEL = 0.05
_IN_ONE_ALONE = 12.0  # of log2: a gene that one of the two populations does not have at all
_CHANGED, _OTHERS = "changed genes (FDR < 0.05)", "other genes"


class Picture(Block, Protocol):
    """A block that is one picture."""

    def drawing(self) -> Drawing | None:
        """The picture; None where there is nothing to draw."""
        ...


def change_charts(change: Known, rows: Sequence[Known]) -> list[Picture]:
    """One pair gene by gene.

    Args:
        change: one of ``changes`` of the pages.
        rows: of the pairs.
    """
    row = next(each for each in rows if each["pair"] == change["pair"])
    violins = {gene: shapes_of(each) for gene, each in change["shapes"].items()}
    told = "The genes that change most in truth. Prediction and real cells should have one shape; a dot is the median."
    charts: list[Picture] = [
        _deltas(change, row),
        Violins("Genes that change most", violins, "log-normalised expression", told, INKS),
    ]
    return [*charts, *_volcanoes(change)] if "fold" in change else charts


def highest_floor(row: Known) -> tuple[str, float | None]:
    """The cheap answer of the largest delta correlation, and that; None where there is none.

    Args:
        row: of a pair.
    """
    found = {name: each["delta_correlation"] for name, each in row["floors"].items()}
    known = {name: value for name, value in found.items() if value is not None and math.isfinite(value)}
    return max(known.items(), key=lambda each: each[1]) if known else ("", None)


def shapes_of(groups: Known) -> dict[str, Shape]:
    """Shapes that JSON holds, by group.

    Args:
        groups: as ``Shape`` has them.
    """
    return {name: shape for name, known in groups.items() if (shape := finite_shape(known)) is not None}


def unique(named: Sequence[Named]) -> list[Named]:
    """The first point of each name.

    Args:
        named: points.
    """
    found: dict[str, Named] = {}
    for each in named:
        found.setdefault(each[2], each)
    return list(found.values())


def _deltas(change: Known, row: Known) -> Scatter:
    """Predicted against observed change."""
    points = list(zip(change["observed"], change["predicted"], change["genes"], change["rate"], strict=True))
    groups = {
        _OTHERS: [(x, y) for x, y, _, rate in points if not rate < _LEVEL],
        _CHANGED: [(x, y) for x, y, _, rate in points if rate < _LEVEL],
    }
    by_truth = sorted(points, key=lambda each: -abs(each[0]))
    by_error = sorted(points, key=lambda each: -abs(each[1] - each[0]))
    named = unique([each[:3] for pair in zip(by_truth, by_error, strict=True) for each in pair])
    own, (name, value) = row["model"]["delta_correlation"], highest_floor(row)
    best = "" if value is None else f"; best cheap answer {value:.2f} ({name})"
    note = (
        "A point is a gene: on the line its change is predicted, level with 0 it is missed. "
        f"r {'unknown' if own is None else f'{own:.2f}'} over {change['of']:,} genes{best}."
    )
    if change["of"] > len(points):
        note += f" Shown are the {len(points):,} genes of the larger changes."
    axes, line = ("observed change", "predicted change"), "predicted = observed"
    inks = {_OTHERS: GREY, _CHANGED: 0}
    return Scatter("Predicted and observed change", groups, *axes, note, named, 10, inks, line)


def _volcanoes(change: Known) -> list[Picture]:
    """Fold change against false discovery rate, real and predicted on the same axes."""
    rates = [each for key in ("rate", "rate_predicted") for each in change[key] if each]
    top = 1.08 * max(max((-math.log10(each) for each in rates), default=0.0), -math.log10(_LEVEL))
    sides = {
        name: [(x, _height(rate, top), gene) for x, rate, gene in zip(*numbers, change["genes"], strict=True)]
        for name, *numbers in (
            ("real", change["fold"], change["rate"]),
            (PREDICTED, change["fold_predicted"], change["rate_predicted"]),
        )
    }
    sure = -math.log10(_LEVEL)
    within = [x for side in sides.values() for x, y, _ in side if abs(x) < _IN_ONE_ALONE and y > sure]
    low, high = 1.05 * min([*within, -1.0]), 1.05 * max([*within, 1.0])
    beyond = sum(not low <= x <= high for side in sides.values() for x, _, _ in side)
    first: list[Named] = []
    for side, count in (("real", 5), (PREDICTED, 3)):
        able = [each for each in sides[side] if each[1] > sure and abs(each[0]) < _IN_ONE_ALONE]
        first += sorted(able, key=lambda each: -abs(each[0]) * each[1])[:count]
    charts: list[Picture] = []
    for name, points in sides.items():
        groups = {
            _OTHERS: [(x, y) for x, y, _ in points if y <= sure],
            "FDR < 0.05": [(x, y) for x, y, _ in points if y > sure],
        }
        places = {gene: (x, y, gene) for x, y, gene in points}
        note = (
            "A point is a gene: right of 0 it rises, and the higher, the surer. "
            + ("The prediction has the same axes." if name == "real" else "The same genes are named.")
            + (f" Of both, {beyond} lie beyond and are drawn at the edge." if beyond else "")
        )
        charts.append(
            Scatter(
                *(f"Volcano, {name}", groups, "log2 fold change", "-log10 FDR", note),
                named=[places[gene] for _, _, gene in unique(first)],
                inks={_OTHERS: GREY, "FDR < 0.05": INKS[name]},
                level=(sure, "FDR 0.05"),
                limits=(low, high, 0.0, top),
            )
        )
    return charts


def _height(rate: float | None, top: float) -> float:
    """-log10 of a false discovery rate; at the top where it is 0."""
    return 0.0 if rate is None else -math.log10(rate) if rate > 0 else top

"""Pictures of generated cells beside real ones, each with how to read it; layout of the numbers in cell_pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from beeline.evaluate.blocks import Block, Fold, Grid, Section
from beeline.evaluate.cell_change_charts import GREY, INKS, Picture, change_charts, highest_floor, shapes_of, unique
from beeline.evaluate.cell_table import pair_table
from beeline.evaluate.cell_views import GENERATED, REAL
from beeline.evaluate.labels import Point
from beeline.evaluate.scatter import Named, Scatter
from beeline.evaluate.tiles import Tiles
from beeline.evaluate.violins import Violins

Known = Mapping[str, Any]
_OPEN_ROWS, _KINDS = 30, 5
_NOTE = {
    True: (
        "A row for each held-out perturbation in a context, the largest change first. The floor is the best of the "
        "cheap answers, the ceiling one half of the real cells against the other; all floors are in pairs.csv."
    ),
    False: (
        "A row for each kind of held-out cells. The floor is the best of the cheap answers, the ceiling one half of "
        "the real cells against the other; all floors are in pairs.csv."
    ),
}
_CHANGE = "Changes are means of cells less the mean of their control cells, in units of log1p of normalised counts."
_KIND = "Every number is of the held-out cells of a kind and of the generated ones of that kind."


def cell_sections(cells: Known) -> list[Section]:
    """Sections of a report; none of other data.

    Args:
        cells: as ``cell_pages`` makes them.
    """
    if not cells:
        return []
    rows, perturbed = cells["pairs"], bool(cells["perturbed"])
    table: list[Block] = [pair_table(rows[:_OPEN_ROWS], perturbed)]
    if len(rows) > _OPEN_ROWS:
        table.append(Fold(f"{len(rows) - _OPEN_ROWS} more", [pair_table(rows[_OPEN_ROWS:], perturbed)]))
    title = "Cells: pairs" if perturbed else "Cells: kinds"
    sections = [
        Section(
            "Cells: map", [Grid(map_charts(cells["map"]))], "Generated cells among the real ones that were held out."
        ),
        Section(title, [*table, Grid(pair_charts(cells))], _NOTE[perturbed]),
    ]
    for each in cells.get("changes") or ():
        why = f" ({each['why']})" if each["why"] else ""
        sections.append(Section(f"Cells: {each['pair']}{why}", [Grid(change_charts(each, rows))], _CHANGE))
    if kinds := cells.get("kinds"):
        left = f" {kinds['left_out']} smaller kinds are not shown." if kinds["left_out"] else ""
        sections.append(Section("Cells: genes by kind", [Grid(kind_charts(kinds))], _KIND + left))
    return sections


def map_charts(known: Known) -> list[Picture]:
    """Cells on a plane, by where they come from and by what they are.

    Args:
        known: ``map`` of the pages.
    """
    name, axes = known["name"], (f"{known['name']} 1", f"{known['name']} 2")
    why = f" No UMAP: {known['why']}." if known["why"] else ""
    what = "UMAP of" if name == "UMAP" else "The first two of"
    note = f"{what} the principal components of training cells; generated cells should lie where real ones do.{why}"
    origin = {each: _points(places) for each, places in known["origin"].items()}
    charts: list[Picture] = [Scatter(f"{name}: real and generated", origin, *axes, note, inks=INKS, mixed=True)]
    kinds = known["kinds"]
    if len(kinds) < 2:
        return charts
    shown = dict(list(kinds.items())[:_KINDS])
    groups = {"others": [place for kind in list(kinds)[_KINDS:] for place in _both(kinds[kind])]}
    groups |= {kind: _both(each) for kind, each in shown.items()}
    inks = {"others": GREY, **dict(zip(shown, range(_KINDS), strict=False))}
    named = [(*_middle(_points(each[REAL])), kind) for kind, each in shown.items()]
    told = f" {len(shown)} of {len(kinds)} are named," if len(kinds) > len(shown) else " Named"
    note = f"The same cells, real and generated, by what they are.{told} in the middle of the real ones."
    charts.append(Scatter(f"{name}: populations", groups, *axes, note, named, len(named), inks, mixed=True))
    return charts


def pair_charts(cells: Known) -> list[Picture]:
    """All pairs at once: which real change each prediction is nearest to, and how good they are by size.

    Args:
        cells: the pages.
    """
    charts: list[Picture] = []
    ranks = cells.get("ranks")
    if ranks and ranks["rows"]:
        rows, columns = _without_shared(ranks["rows"], ranks["columns"])
        left = f" {ranks['left_out']} pairs of smaller changes are not shown." if ranks["left_out"] else ""
        note = (
            "A row is a prediction. Dark is near: 1 is the real change nearest to it (in cosine), and the frame is "
            f"where 1 should be.{left}"
        )
        title = "Which real change is a prediction like?"
        charts.append(Tiles(title, rows, columns, ranks["ranks"], ranks["own"], ranks["of"], note))
    return [*charts, *(_by_size(cells["pairs"]) if cells["perturbed"] else [])]


def kind_charts(kinds: Known) -> list[Picture]:
    """Genes of kinds of cells.

    Args:
        kinds: ``kinds`` of the pages.
    """
    charts: list[Picture] = []
    for name, key in (("Mean", "means"), ("Variance", "variances")):
        groups = {kind: _points(each) for kind, each in kinds[key].items()}
        every: list[Named] = [
            (x, y, gene) for each in groups.values() for (x, y), gene in zip(each, kinds["genes"], strict=True)
        ]
        named = unique(sorted(every, key=lambda each: -abs(each[1] - each[0])))
        note = f"A point is a gene in a kind; on the line the {name.lower()} is right. The farthest from it are named."
        axes = f"{name.lower()} in real cells", f"{name.lower()} in generated cells"
        line = "generated = real"
        charts.append(Scatter(f"{name} of each gene", groups, *axes, note, named, 8, diagonal=line))
    note = (
        "A gene that tells kinds apart. Generated and real cells of a kind should have one shape; a dot is the median."
    )
    for gene, by_kind in kinds["shapes"].items():
        columns = {kind: shapes_of(each) for kind, each in by_kind.items()}
        charts.append(Violins(f"{gene} by kind", columns, "log-normalised expression", note, INKS))
    return charts


def _by_size(rows: Sequence[Known]) -> list[Picture]:
    """Delta correlation of every pair against how many genes change, the model above the best cheap answer or below."""
    able = [row for row in rows if row["effect_size"] is not None and row["model"]["delta_correlation"] is not None]
    if len(able) < 2:
        return []
    names, _ = _without_shared([row["pair"] for row in able], [])
    model = [(row["effect_size"], row["model"]["delta_correlation"]) for row in able]
    floors = [(row["effect_size"], each) for row in able if (each := highest_floor(row)[1]) is not None]
    halves = [(row["effect_size"], each) for row in able if (each := row["ceiling"]["delta_correlation"]) is not None]
    named = [(x, y, name) for (x, y), name in zip(model, names, strict=True)]
    note = (
        "A point is a perturbation in a context: the higher, the better its change is predicted. Where changes "
        "are small, halves of the real cells agree little, too."
    )
    groups = {"halves of real cells": halves, "best cheap answer": floors, "model": model}
    inks = {"halves of real cells": 1, "best cheap answer": GREY, "model": 0}
    axes = "size of the real change, |delta|", "delta correlation"
    return [Scatter("Correlation by the size of the effect", groups, *axes, note, named, 12, inks)]


def _without_shared(rows: Sequence[str], columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names without the perturbation or the context that all of them have."""
    parts = [name.split(", ") for name in (*rows, *columns)]
    if len({len(each) for each in parts}) == 1:
        kept = [place for place in range(len(parts[0])) if len({each[place] for each in parts}) > 1]
        parts = [[each[place] for place in kept] or each for each in parts]
    names = [", ".join(each) for each in parts]
    return names[: len(rows)], names[len(rows) :]


def _both(places: Known) -> list[Point]:
    return [*_points(places[REAL]), *_points(places[GENERATED])]


def _points(places: Sequence[Sequence[float]]) -> list[Point]:
    return [(x, y) for x, y in places]


def _middle(points: Sequence[Point]) -> Point:
    """The point with the smallest distance to all others, so that it lies among them."""
    return min(points, key=lambda one: sum(math.dist(one, other) for other in points))

"""Charts of the curves of fields, a section a channel."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beeline.evaluate.blocks import Block, Grid, Pictures, Section, Text
from beeline.evaluate.charts import Bars, Chart, Point

_RIGHT = "right"


def field_sections(curves: Mapping[str, Mapping[str, Any]], pictures: Path | None = None) -> list[Section]:
    """A section for each channel.

    Args:
        curves: as ``field_curves`` makes them, by channel, with what ``field_pages`` adds.
        pictures: folder of the pictures that they name; None where there are none.
    """
    return [
        Section(
            f"Fields: {name}",
            [*_sheet(each.get("strip"), pictures), Grid(_charts(each)), *_sweep(name, each, pictures)],
            _note(each),
        )
        for name, each in curves.items()
    ]


def _sheet(about: Mapping[str, Any] | None, pictures: Path | None) -> list[Block]:
    """A picture under what it shows; nothing where it is gone."""
    path = pictures / about["picture"] if about and pictures is not None else None
    if about is None or path is None or not path.is_file():
        return []
    return [Text(about["note"]), Pictures({about["title"]: path.read_bytes()})]


def _sweep(name: str, each: Mapping[str, Any], pictures: Path | None) -> list[Block]:
    """What moving one parameter does: fields on one scale, and their mean and deviation."""
    about = each.get("sweep")
    if about is None:
        return []
    units = each.get("units") or ""
    value = f"{name}, {units}" if units else name
    x = f"{about['parameter']}, {about['units']}" if about["units"] else about["parameter"]
    charts: list[Block] = [
        Chart(f"{title} of {name}", {title.lower(): _points(about["values"], about[kind])}, x, value, points=True)
        for title, kind in (("Mean over cells", "mean"), ("Standard deviation over cells", "deviation"))
    ]
    return [*_sheet(about, pictures), Grid(charts)]


def _note(each: Mapping[str, Any]) -> str:
    return (
        f"{each['draws']:,} draws for each of {each['inputs']:,} held-out inputs, in physical units. Bands redraw "
        "whole groups of inputs. Calibration is about the draws for an input; spectra and values are of single draws, "
        "save where their mean is named."
    )


def _charts(each: Mapping[str, Any]) -> list[Block]:
    units, length = each.get("units") or "", each.get("length_unit") or ""
    value = f"value, {units}" if units else "value"
    k = f"|k|, rad/{length}" if length else "|k|, rad a unit of length"
    last = max((place for place, whole in enumerate(each.get("complete") or ()) if whole), default=-1) + 1

    def against_k(name: str) -> list[Point]:
        return _points((each.get("k") or [])[:last], (each.get(name) or [])[:last])

    ratio = {
        "single draws": against_k("power_ratio"),
        "95 %, low": against_k("power_ratio_low"),
        "95 %, high": against_k("power_ratio_high"),
    }
    correlation = {"single draws": against_k("correlation"), "mean of draws": against_k("correlation_of_mean")}
    spread = _points(each.get("spread"), each.get("skill"))
    stated = _points(each.get("probability"), each.get("frequency"))
    below = _points(each.get("levels"), each.get("below"))
    counts = each.get("rank_counts") or []
    share = len(counts) / max(1, sum(counts))
    error = f"root mean square, {units}" if units else "root mean square"
    return [
        Chart("Power, samples over truths", ratio, k, "P ratio", log_x=True, levels={_RIGHT: 1.0}),
        Chart("Correlation with the truth", correlation, k, "r(k)", log_x=True),
        Chart("Values of cells", _densities(each), value, "density", zero=True),
        Bars(
            "Rank of the truth among the draws",
            [place - 0.5 for place in range(len(counts) + 1)],
            {"frequency": [count * share for count in counts]},
            "rank",
            "frequency, 1 is right",
            "Flat is calibrated; a U is too sure of itself.",
        ),
        Chart("Calibration", {"found": below, _RIGHT: _diagonal(below)}, "nominal level", "share of truths below"),
        Chart(
            "Spread and skill",
            {"found": spread, _RIGHT: _diagonal(spread)},
            f"spread, {error}",
            f"error, {error}",
            points=True,
        ),
        Chart("Reliability", {"found": stated, _RIGHT: _diagonal(stated)}, "stated probability", "frequency", True),
    ]


def _densities(each: Mapping[str, Any]) -> Mapping[str, Sequence[Point]]:
    edges = each.get("edges") or []
    middles = [(low + high) / 2 for low, high in itertools.pairwise(edges)]
    return {"samples": _points(middles, each.get("pdf")), "truths": _points(middles, each.get("pdf_truth"))}


def _diagonal(points: Sequence[Point]) -> list[Point]:
    return [(x, x) for x, _ in points]


def _points(xs: Any, ys: Any) -> list[Point]:
    return [(float(x), float(y)) for x, y in zip(xs or (), ys or (), strict=False) if x is not None and y is not None]

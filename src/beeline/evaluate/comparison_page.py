"""The page of a comparison: one table, quality against cost, and samples of the same seeds."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence

from beeline.core.units import operations
from beeline.evaluate.blocks import Block, Cell, Code, Fold, Grid, Markup, Pictures, Section, Table
from beeline.evaluate.charts import Chart, Point
from beeline.evaluate.comparison import Comparison, Measured
from beeline.evaluate.records import OWN, PHYSICAL, Record
from beeline.evaluate.report import build_report
from beeline.evaluate.scales import short
from beeline.metrics.catalogue import FRECHET
from beeline.metrics.intervals import Estimate

_COSTS: Mapping[str, Callable[[Measured], float]] = {
    "network passes a sample": lambda each: each.passes,
    "seconds a sample": lambda each: each.seconds,
    "FLOPs a sample": lambda each: each.flops,
}
_NOTE = (
    "Every column was drawn with the same seeds and conditions and measured by the same functions. Beneath a value "
    "stands how far it lies from that of the first column, with the 95 % interval of the paired difference; = where "
    "the interval holds 0."
)


def comparison_page(comparison: Comparison, pictures: Sequence[bytes], command: str) -> str:
    """A self-contained HTML page.

    Args:
        comparison: what was measured.
        pictures: PNG bytes of the samples of each entry.
        command: that makes the page again.
    """
    names = [each.entry.name for each in comparison.measured]
    shown = Pictures(dict(zip(names, pictures, strict=True)))
    blocks: list[Block] = [
        Section("Scores", [_table(comparison)], f"{_NOTE} {comparison.protocol['n']:,} samples."),
        Section("Quality against cost", _charts(comparison)),
        Section(
            "Samples",
            [shown],
            "The same seeds, conditions and order in every picture.",
        ),
        Section(
            "Costs", [_costs(comparison)], f"On {comparison.protocol['device']}; one multiply or one add is a FLOP."
        ),
        Section("Make it again", [Code([command])]),
    ]
    return build_report("Comparison", blocks, f"{', '.join(names)}, on the same data, seeds and measures.")


def words(comparison: Comparison, entry: int, record: Record) -> tuple[str, str]:
    """A number of an entry, and how far it lies from that of the first one; empty where there is none."""
    own, apart = comparison.estimate(entry, record), comparison.apart(entry, record)
    if math.isnan(own.value):
        outcome = comparison.measured[entry].outcomes.get(record.place)
        return "", "" if outcome is None else outcome.failure or ""
    if not entry or math.isnan(apart.value):
        return short(own.value, full=True), ""
    same = " =" if apart.low <= 0 <= apart.high else ""
    return short(own.value, full=True), f"{_signed(apart.value)}{_interval(apart)}{same}"


def _interval(apart: Estimate) -> str:
    return "" if math.isnan(apart.low) else f" ({_signed(apart.low)} to {_signed(apart.high)})"


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{short(abs(value), full=True)}"


def _table(comparison: Comparison) -> Table:
    head = ["metric", *(each.entry.name for each in comparison.measured), "floor", "ceiling", "right"]
    rows: list[list[Cell]] = []
    for record in comparison.records:
        cells: list[Cell] = [_metric(record)]
        for entry in range(len(comparison.measured)):
            value, apart = words(comparison, entry, record)
            cells.append(Markup(f"<b>{html.escape(value)}</b><small>{html.escape(apart)}</small>"))
        ends = (record.floor, record.ceiling, math.nan if record.target is None else record.target)
        rows.append([*cells, *("" if math.isnan(end) else short(end, full=True) for end in ends)])
    return Table(rows, head, range(1, len(head)))


def _metric(record: Record) -> Markup:
    space = "" if record.space in (OWN, PHYSICAL) else f", {record.space}"
    units = f" [{record.units}]" if record.units else ""
    return Markup(f"{html.escape(record.name + units + space)}<small>{html.escape(record.meaning)}</small>")


def _charts(comparison: Comparison) -> list[Block]:
    """Every number against every cost, a line a run; the first few in sight."""
    charts: list[Block] = []
    folded: list[Block] = []
    for record in comparison.records:
        in_sight = record.space == OWN or record.formula == FRECHET.formula
        space = "" if record.space in (OWN, PHYSICAL) else f", {record.space}"
        levels = {
            name: end for name, end in (("floor", record.floor), ("ceiling", record.ceiling)) if math.isfinite(end)
        }
        for cost, of in _COSTS.items():
            chart = Chart(
                f"{record.name}{space}",
                _series(comparison, record, of),
                cost,
                record.metric,
                points=True,
                log_x=True,
                levels=levels,
            )
            (charts if in_sight and cost != "FLOPs a sample" else folded).append(chart)
    return [Grid(charts), Fold(f"{len(folded)} more", [Grid(folded)])]


def _series(comparison: Comparison, record: Record, cost: Callable[[Measured], float]) -> Mapping[str, Sequence[Point]]:
    series: dict[str, list[Point]] = {}
    for index, each in enumerate(comparison.measured):
        settings = each.entry.settings
        line = f"{each.entry.of_run}, {settings.sampler}, cfg {settings.cfg_scale:g}"
        series.setdefault(line, []).append((cost(each), comparison.estimate(index, record).value))
    return dict(series)


def _costs(comparison: Comparison) -> Table:
    rows = [
        [
            each.entry.name,
            f"{each.entry.settings.sampler}, {each.entry.settings.steps} steps",
            f"{each.entry.settings.cfg_scale:g}",
            f"{each.passes:g}",
            f"{1 / max(each.seconds, 1e-12):,.1f}",
            operations(each.flops),
            str(each.drawn.samples.provenance.get("sha256", ""))[:12],
        ]
        for each in comparison.measured
    ]
    head = ["", "sampler", "cfg_scale", "passes", "samples a second", "work a sample", "weights"]
    return Table(rows, head, [2, 3, 4, 5])

"""What a run's log and measurements look like: curves, loss by time, widths of averages, quality by passes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from beeline.evaluate.blocks import Block, Fold, Grid
from beeline.evaluate.charts import Bars, Chart, Point
from beeline.evaluate.records import OWN, PHYSICAL
from beeline.metrics.catalogue import FRECHET

Line = Mapping[str, Any]
_LAST_SHARE = 10


def loss_unit(objective: Mapping[str, Any]) -> str:
    """What a run's loss is: a variational bound counts bits, other losses compare with their own kind alone.

    Args:
        objective: the section of the run's config.
    """
    return "variational bound, bits a number" if objective.get("loss") == "vlb" else "mean loss a sample"


def training_charts(log: Sequence[Line], unit: str) -> list[Block]:
    """Curves of what the log holds; what it does not hold is left out.

    Args:
        log: lines of log.jsonl.
        unit: of the loss.
    """
    loss = {"training": points(log, "loss"), "held out, averaged weights": points(log, "held_out_loss")}
    return [
        Chart("Loss", loss, "step", unit),
        Chart("Gradient norm", {"gradient norm": points(log, "gradient_norm")}, "step", "norm before clipping"),
        Chart("Learning rate", {"learning rate": points(log, "learning_rate")}, "step", "learning rate", zero=True),
        Chart("Speed", {"speed": points(log, "samples_per_second")}, "step", "samples a second", zero=True),
        Chart("Waiting for data", {"waiting": points(log, "data_wait")}, "step", "share of the time", zero=True),
    ]


def time_chart(log: Sequence[Line], curves: Mapping[str, Any], unit: str) -> Bars:
    """Loss by time: training over the last tenth of the log, held out as last measured.

    Args:
        log: lines of log.jsonl.
        curves: of the run's scores; asked where the log holds no held-out loss by time.
        unit: of the loss.
    """
    lines = [line["loss_by_time"] for line in log if line.get("loss_by_time")]
    last = lines[-max(1, len(lines) // _LAST_SHARE) :]
    series: dict[str, Sequence[float | None]] = {}
    if last:
        series["training"] = [_mean([line[index] for line in last]) for index in range(len(last[0]))]
    measured = [line["held_out_loss_by_time"] for line in log if line.get("held_out_loss_by_time")]
    held_out = measured[-1] if measured else curves.get("held_out_loss_by_time", {}).get("values")
    if isinstance(held_out, Mapping):
        held_out = held_out.get("values")
    if held_out:
        series["held out"] = held_out
    bins = max((len(values) for values in series.values()), default=0)
    series = {name: values for name, values in series.items() if len(values) == bins}
    edges = [index / max(bins, 1) for index in range(bins + 1)]
    note = "Time runs from 0 (data) to 1 (noise)."
    return Bars("Loss by time", edges, series, "time t", unit, note)


def width_chart(widths: Mapping[str, Any]) -> Chart:
    """Held-out loss of weights averaged over different stretches of training.

    Args:
        widths: contents of ema_widths.json: relative widths, their losses, and that of the run's own average.
    """
    pairs = _pairs(widths.get("widths"), widths.get("losses"))
    plain = widths.get("plain")
    levels = {"the run's own average": float(plain)} if isinstance(plain, (int, float)) else {}
    title = "Averaged weights, rebuilt after training"
    return Chart(title, {"held out": pairs}, "relative width", "held-out loss", points=True, levels=levels)


def passes_charts(passes: Mapping[str, Any]) -> list[Block]:
    """Quality, and seconds a sample, by network passes; what is neither a Frechet distance nor the data's own, folded.

    Args:
        passes: ``curves.passes`` of an evaluation.
    """
    counts = passes.get("passes") or []
    charts: list[Block] = []
    folded: list[Block] = []
    for series in passes.get("series") or []:
        levels = {
            name: float(series[key])
            for name, key in (("floor", "floor"), ("ceiling", "ceiling"))
            if isinstance(series.get(key), (int, float))
        }
        space = f", {series['space']}" if series.get("space") not in (None, "", OWN, PHYSICAL) else ""
        space = f" of {series['channel']}{space}" if series.get("channel") else space
        values = {"samples": _pairs(counts, series.get("values"))}
        title, unit = f"{series['metric']}{space}", str(series["metric"])
        chart = Chart(title, values, "network passes a sample", unit, True, log_x=True, levels=levels)
        main = series.get("formula") == FRECHET.formula or series.get("space") == OWN
        (charts if main else folded).append(chart)
    seconds = {"time": _pairs(counts, passes.get("seconds_per_sample"))}
    cost = Chart("Time to draw a sample", seconds, "network passes a sample", "seconds", True, True, True)
    return [Grid([*charts, cost]), Fold(f"{len(folded)} more", [Grid(folded)])]


def points(log: Sequence[Line], key: str) -> list[Point]:
    """(step, value) of the lines that hold a number under that name."""
    return [(float(line["step"]), float(line[key])) for line in log if isinstance(line.get(key), (int, float))]


def _pairs(xs: Any, ys: Any) -> list[Point]:
    return [
        (float(x), float(y))
        for x, y in zip(xs or (), ys or (), strict=False)
        if isinstance(x, (int, float)) and isinstance(y, (int, float))
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    kept = [value for value in values if value is not None and math.isfinite(value)]
    return sum(kept) / len(kept) if kept else None

"""Scores as a table: value, interval, floor and ceiling, and where between the two the value lies.

A record is one of ``scores.json`` or ``evaluations/*.json``: metric, meaning, space, value, low, high, floor,
floor_name, ceiling, good_low, good_high, good, better, failure. Any of them but the metric's name may be missing or
null.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from beeline.evaluate.blocks import Card, Cell, Markup, Table
from beeline.evaluate.records import BEATEN, OWN, PHYSICAL
from beeline.evaluate.scales import short

Record = Mapping[str, Any]
_LEFT, _RIGHT, _WIDTH = 10.0, 140.0, 150.0


def records_of(contents: Mapping[str, Any]) -> list[Record]:
    """The records of a file of scores.

    Args:
        contents: of ``scores.json`` or an evaluation.
    """
    if "records" in contents:
        return list(contents["records"])
    renamed = {"name": "metric", "formula": "meaning", "low": "good_low", "high": "good_high"}
    return [
        {renamed.get(key, key): value for key, value in score.items()}
        | ({"good": None} if score["low"] is None and score["high"] is None else {})
        for score in contents.get("scores", ())
    ]


def score_table(records: Sequence[Record]) -> Table:
    """A row for each record; columns that no record fills are left out."""
    columns: dict[str, list[Cell]] = {
        "metric": [_metric(record) for record in records],
        "value": [Markup(f"<b>{short(_number(record, 'value'), full=True)}</b>") for record in records],
        "95 % interval": [_range(record, "low", "high") for record in records],
        "floor": [_floor(record) for record in records],
        "ceiling": [_optional(record, "ceiling") for record in records],
        "right": [_optional(record, "target") for record in records],
        "floor to ceiling": [gauge(record) for record in records],
        "wanted": [_verdict(record) for record in records],
    }
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    rows = [[cells[row] for cells in kept.values()] for row in range(len(records))]
    numbers = [i for i, name in enumerate(kept) if name in ("value", "95 % interval", "floor", "ceiling", "right")]
    return Table(rows, list(kept), numbers)


def score_cards(records: Sequence[Record], most: int = 3) -> list[Card]:
    """The first few scores to remember: those with bounds of their own before others."""
    ordered = sorted(records, key=lambda record: record.get("good") is None)
    return [
        Card(
            str(record["metric"]),
            short(_number(record, "value"), full=True),
            bounds(record) or _between(record),
            record.get("good"),
        )
        for record in ordered[:most]
    ]


def bounds(record: Record) -> str:
    """What a good model reaches, in words; empty where nobody says."""
    pairs = (("at least", _number(record, "good_low")), ("at most", _number(record, "good_high")))
    return " and ".join(f"{word} {short(value)}" for word, value in pairs if value is not None)


def gauge(record: Record) -> Markup:
    """A bar from the floor (left) to the ceiling (right) with the value and its interval.

    Empty without them, and where the floor is not known to be worse than the ceiling: it would point the wrong way.

    A value worse than the floor or better than the ceiling is an open circle at that end. Beside it stands the share of
    the way that is done.
    """
    floor, ceiling, value = (_number(record, name) for name in ("floor", "ceiling", "value"))
    if floor is None or ceiling is None or value is None or not _is_worse(floor, ceiling, record.get("better")):
        return Markup("")

    def place(number: float) -> float:
        return (number - floor) / (ceiling - floor)

    def across(number: float) -> float:
        return _LEFT + min(1.0, max(0.0, place(number))) * (_RIGHT - _LEFT)

    share = place(value)
    low, high = _number(record, "low"), _number(record, "high")
    interval = "" if low is None or high is None else _stroke("interval", across(low), across(high))
    beyond = ' class="beyond"' if not 0 <= share <= 1 else ""
    way = "below the floor" if share < 0 else "beyond the ceiling" if share > 1 else f"{share:.0%}"
    return Markup(
        f'<span class="gauge"><svg viewBox="0 0 {_WIDTH:g} 20" aria-hidden="true">'
        f"{_stroke('track', _LEFT, _RIGHT)}{interval}{_stroke('way', _LEFT, across(value))}"
        f'<circle{beyond} cx="{across(value):.1f}" cy="10" r="5"/></svg><small>{way}</small></span>'
    )


def _is_worse(floor: float, ceiling: float, better: Any) -> bool:
    return floor > ceiling if better == "lower" else better == "higher" and floor < ceiling


def _stroke(style: str, left: float, right: float) -> str:
    return f'<line class="{style}" x1="{left:.1f}" x2="{right:.1f}" y1="10" y2="10"/>'


def _between(record: Record) -> str:
    ceiling = _number(record, "ceiling")
    floor = _number(record, "floor")
    if ceiling is None or floor is None:
        return _word(record.get("space"))
    return f"{record.get('floor_name') or 'floor'} {short(floor)}, real data {short(ceiling)}"


def _metric(record: Record) -> Markup:
    meaning = html.escape(str(record.get("meaning") or record.get("formula") or ""))
    space = "" if record.get("space") in (None, "", OWN, PHYSICAL) else f", {record['space']}"
    channel = f" of {record['channel']}" if record.get("channel") else ""
    units = f" [{record['units']}]" if record.get("units") else ""
    return Markup(f"{html.escape(str(record['metric']) + channel + units + space)}<small>{meaning}</small>")


def _floor(record: Record) -> Cell:
    floor = _optional(record, "floor")
    name = html.escape(_word(record.get("floor_name")))
    best, value = _number(record, "floor"), _number(record, "value")
    beaten = best is not None and value is not None and _is_worse(value, best, record.get("better"))
    return Markup(f"{floor}<small>{name}{BEATEN if beaten else ''}</small>") if floor and name else floor


def _range(record: Record, low: str, high: str) -> str:
    ends = _number(record, low), _number(record, high)
    return "" if None in ends else f"{short(ends[0], full=True)} to {short(ends[1], full=True)}"


def _optional(record: Record, name: str) -> str:
    value = _number(record, name)
    return "" if value is None else short(value, full=True)


def _verdict(record: Record) -> Cell:
    if record.get("failure"):
        return Markup(f'<span class="bad-text">failed: {html.escape(str(record["failure"]))}</span>')
    words, good = bounds(record), record.get("good")
    if not words:
        return ""
    style, verdict = ("good-text", "reached") if good else ("bad-text", "missed")
    return Markup(f'{html.escape(words)}<small class="{style}">{verdict}</small>')


def _number(record: Record, name: str) -> float | None:
    value = record.get(name)
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _word(value: Any) -> str:
    return "" if value is None else str(value)

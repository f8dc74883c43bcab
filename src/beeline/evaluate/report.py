"""The one report: a page that stands alone, with pictures, curves, scores, and what was run."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from beeline.core.config import flatten
from beeline.evaluate.scores import Score

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --soft: #5d6b7a; --line: #d9dfe6; --paper: #fbfcfd; --card: #fff;
  --accent: #c77800; --other: #2b6cb0; --good: #1a7f37; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --soft: #98a5b3; --line: #2d3640; --paper: #12171d;
  --card: #1a2129; --accent: #f0a93b; --other: #7ab8f5; --good: #57c878; --bad: #ff8a7d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 18px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 34px 0 10px; }
p { margin: 4px 0 10px; color: var(--soft); }
.cards { display: flex; flex-wrap: wrap; gap: 12px; align-items: flex-start; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; }
.figure { flex: 0 1 auto; max-width: 100%; }
.figure img { display: block; max-width: 100%; min-width: 150px; border-radius: 4px; }
@media (min-width: 900px) { .figure img { max-width: 440px; } .figure.small img { width: 172px; } }
.figure span { display: block; margin-bottom: 6px; color: var(--soft); font-size: 13px; }
.score b { font-size: 22px; display: block; } .score small { color: var(--soft); display: block; max-width: 250px; }
.good { color: var(--good); } .bad { color: var(--bad); }
.wide { overflow-x: auto; } svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; } svg .grid { stroke: var(--line); }
svg .curve { fill: none; stroke-width: 2; } svg .curve0 { stroke: var(--accent); } svg .curve1 { stroke: var(--other); }
svg .name0 { fill: var(--accent); } svg .name1 { fill: var(--other); }
table { border-collapse: collapse; font-size: 13px; } td { padding: 2px 18px 2px 0; vertical-align: top; }
td:first-child { color: var(--soft); white-space: nowrap; } td { overflow-wrap: anywhere; }
pre { overflow-x: auto; font-size: 13px; margin: 0; } details summary { cursor: pointer; color: var(--soft); }
"""


@dataclass(frozen=True)
class ReportContent:
    """What a report shows.

    Args:
        title: name of the run.
        summary: a few lines on what was run.
        pictures: PNG bytes by caption.
        scores: metrics of generated samples.
        log: lines of log.jsonl.
        facts: short facts by name.
        config: the complete config.
        commands: exact commands that make this again.
    """

    title: str
    summary: str
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    scores: Sequence[Score] = ()
    log: Sequence[Mapping[str, Any]] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    commands: Sequence[str] = ()


def build_report(content: ReportContent) -> str:
    """A self-contained HTML page."""
    sections = [
        f"<h1>{html.escape(content.title)}</h1><p>{html.escape(content.summary)}</p>",
        _scores(content.scores),
        _pictures(content.pictures),
        _curves(content.log),
        _section("What was run", _table(content.facts)),
        _section("Make it again", f'<pre class="card">{html.escape(chr(10).join(content.commands))}</pre>'),
        _section("", f"<details><summary>Every option</summary>{_table(_options(content.config))}</details>"),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(content.title)}</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return (f"<h2>{html.escape(title)}</h2>" if title else "") + body


def _scores(scores: Sequence[Score]) -> str:
    if not scores:
        return ""
    cards = "".join(
        f'<div class="card score"><span>{html.escape(score.name)}</span>'
        f'<b class="{"good" if score.good else "bad"}">{score.value:.3f}</b>'
        f"<small>{html.escape(score.verdict())}</small>"
        f"<small>{html.escape(score.formula)}</small></div>"
        for score in scores
    )
    return _section(
        "Scores",
        f'<p>On {scores[0].n:,} samples, drawn as said under "sampling" below.</p><div class="cards">{cards}</div>',
    )


def _pictures(pictures: Mapping[str, bytes]) -> str:
    if not pictures:
        return ""
    small = " small" if len(pictures) > 6 else ""
    figures = "".join(
        f'<div class="card figure{small}"><span>{html.escape(name)}</span>'
        f'<img alt="samples: {html.escape(name)}" src="data:image/png;base64,{base64.b64encode(png).decode()}"></div>'
        for name, png in pictures.items()
    )
    return _section("Samples", f'<div class="cards">{figures}</div>')


def _curves(log: Sequence[Mapping[str, Any]]) -> str:
    lines = {
        name: [(float(line["step"]), float(line[key])) for line in log if line.get(key) is not None]
        for name, key in (("training", "loss"), ("held out, averaged weights", "held_out_loss"))
    }
    lines = {name: points for name, points in lines.items() if len(points) > 1}
    if not lines:
        return ""
    return _section("Loss", f'<div class="card wide">{_line_chart(lines, "step", "loss")}</div>')


def _line_chart(lines: Mapping[str, Sequence[tuple[float, float]]], x_name: str, y_name: str) -> str:
    """SVG curves with round tick marks and a legend."""
    width, height, left, bottom, top = 1000.0, 300.0, 56.0, 34.0, 14.0
    every = [point for points in lines.values() for point in points]
    x_low, x_high = min(x for x, _ in every), max(x for x, _ in every)
    ticks = _ticks(min(y for _, y in every), max(y for _, y in every))
    y_low, y_high = ticks[0], ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + (x - x_low) / (x_high - x_low) * (width - left - 14)
        return across, top + (y_high - y) / (y_high - y_low) * (height - top - bottom)

    parts = [f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{y_name} by {x_name}">']
    for tick in ticks:
        _, y = place(x_low, tick)
        parts.append(f'<line class="grid" x1="{left}" x2="{width - 14}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in _ticks(x_low, x_high):
        if x_low <= tick <= x_high:
            x, _ = place(tick, y_low)
            parts.append(f'<text x="{x:.1f}" y="{height - 14}" text-anchor="middle">{tick:g}</text>')
    for number, (name, points) in enumerate(lines.items()):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        parts.append(f'<polyline class="curve curve{number}" points="{path}"/>')
        legend = f'x="{width - 20}" y="{top + 16 + 16 * number}" text-anchor="end"'
        parts.append(f'<text class="name{number}" {legend}>{html.escape(name)}</text>')
    return "".join([*parts, f'<text x="{left}" y="{height - 5}">{x_name}</text></svg>'])


def _ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from below ``low`` to above ``high``."""
    span = (high - low) or abs(high) or 1.0
    magnitude = 10.0 ** math.floor(math.log10(span / about))
    step = min((magnitude * factor for factor in (1, 2, 5, 10)), key=lambda each: abs(span / each - about))
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def _options(config: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in flatten(config).items()}


def _table(rows: Mapping[str, str]) -> str:
    cells = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in rows.items()
    )
    return f"<table>{cells}</table>"

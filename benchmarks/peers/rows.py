"""Findings as rows, as text and as JSON.

A row is one side's figure for one net: ``ratio`` is the peer's over it, above 1 where it takes less than the peer.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from beeline.evaluate.benchmark_page import BENCHMARK_FORMAT
from benchmarks.peers.timing import Times, ratios

_GIGA = 1e9


@dataclass(frozen=True)
class Row:
    """A figure.

    Args:
        net: what it is of.
        what: is measured.
        who: whose figure it is.
        unit: of value, low, high and first.
        value: median over rounds.
        low: least of a round.
        high: greatest of a round.
        first: of the first call, None where there is none.
        ratio: median over rounds of the peer's over this.
        ratio_low: least of a round.
        ratio_high: greatest of a round.
        gigaflops: operations of the call in units of 1e9, None where they are not counted.
        utilisation: operations a second, as a share of the fastest matrix product of the same precision in this run.
        note: what else must be known to read it.
    """

    net: str
    what: str
    who: str
    unit: str
    value: float
    low: float
    high: float
    first: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    gigaflops: float | None = None
    utilisation: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Work:
    """What a timed call computes, to tell its share of the machine.

    Args:
        flops: operations of a call.
        peak: operations a second of the fastest matrix product.
    """

    flops: float
    peak: float


def timed_rows(
    net: str, what: str, unit: str, times: Mapping[str, Times], base: str, work: Mapping[str, Work] | None = None
) -> list[Row]:
    """A row for each side.

    Args:
        net: name.
        what: is measured.
        unit: of the times.
        times: by side.
        base: the side that the others are held against.
        work: by side.
    """
    rows = []
    for who, found in times.items():
        value, low, high = _spread(found.rounds)
        apart = _spread(ratios(times[base].rounds, found.rounds))
        row = Row(net, what, who, unit, value, low, high, found.first, *apart)
        if work is not None:
            flops, peak = work[who].flops, work[who].peak
            row = replace(row, gigaflops=flops / _GIGA, utilisation=flops / value / peak)
        rows.append(row)
    return rows


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


HEAD = ("", "first", "median", "spread", "peer / it", "spread", "GFLOP", "of peak", "")


def table(rows: Sequence[Row]) -> str:
    """Rows as Markdown, under a heading for each net and measure."""
    groups = itertools.groupby(rows, key=lambda row: (row.net, row.what, row.unit))
    return "\n".join(
        _group(f"{net}: {what}, {unit}", [_cells(row) for row in each]) for (net, what, unit), each in groups
    )


def _cells(row: Row) -> list[str]:
    cells = [row.who, _told(row.first), _told(row.value)]
    cells += ["" if row.low == row.high else f"{_told(row.low)} to {_told(row.high)}"]
    cells += ["" if row.ratio is None else f"{row.ratio:.2f}"]
    cells += ["" if row.ratio_low == row.ratio_high else f"{row.ratio_low:.2f} to {row.ratio_high:.2f}"]
    return [*cells, _told(row.gigaflops), "" if row.utilisation is None else f"{row.utilisation:.0%}", row.note]


def _group(heading: str, rows: Sequence[Sequence[str]]) -> str:
    """A table without the columns that are empty."""
    kept = [0, *(place for place in range(1, len(HEAD)) if any(row[place] for row in rows))]
    lines = ["", heading, "", _line([HEAD[place] for place in kept]), "|" + " --- |" * len(kept)]
    return "\n".join([*lines, *(_line([row[place] for place in kept]) for row in rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _told(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def write(path: Path, title: str, facts: Mapping[str, object], rows: Sequence[Row]) -> None:
    """Keep findings as JSON, in the form that ``beeline compare`` reads.

    Args:
        path: of the file.
        title: what was measured.
        facts: of the machine and of what was asked for.
        rows: findings.
    """
    whole = {"format": BENCHMARK_FORMAT, "title": title, "facts": dict(facts), "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(whole, indent=2) + "\n")

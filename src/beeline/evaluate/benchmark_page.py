"""The page of benchmarks: the figures of one file or of several machines side by side, with bars for what they took.

A file holds ``format``, ``title``, ``facts`` and ``rows``; a row is one side's figure for one net: ``net``, ``what``,
``who``, ``unit``, ``value`` (a median), ``low`` to ``high``, ``ratio`` (of the other side's over it), ``note``.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beeline.core.errors import UserError
from beeline.core.files import read_json
from beeline.evaluate.blocks import Block, Cell, Code, Markup, Section, Table, Text
from beeline.evaluate.report import build_report
from beeline.evaluate.scales import short

BENCHMARK_FORMAT = "beeline-benchmark-1"
_WIDE, _HIGH = 160, 9


def read_benchmark(path: Path) -> Mapping[str, Any]:
    """A file of figures.

    Raises:
        UserError: it is none.
    """
    found = read_json(path)
    if not isinstance(found, dict) or found.get("format") != BENCHMARK_FORMAT:
        raise UserError(
            f"{path}: is no benchmark; name run folders, or files of python -m benchmarks.peers --json FILE"
        )
    return found


def benchmark_page(found: Mapping[str, Mapping[str, Any]], command: str) -> str:
    """A self-contained HTML page.

    Args:
        found: contents of each file, by its name.
        command: that makes the page again.
    """
    rows = [(name, row) for name, each in found.items() for row in each["rows"]]
    keys = list(dict.fromkeys((row["net"], row["what"], row["unit"], row["who"]) for _, row in rows))
    at = {(name, row["net"], row["what"], row["unit"], row["who"]): row for name, row in rows}
    blocks: list[Block] = []
    for net, of_net in itertools.groupby(sorted(keys, key=lambda key: key[0]), key=lambda key: key[0]):
        tables: list[Block] = []
        for (_, what, unit), of_measure in itertools.groupby(of_net, key=lambda key: key[:3]):
            measured = [(key[3], [at.get((name, *key)) for name in found]) for key in of_measure]
            tables += [Text(f"{what}, {unit}"), _table(list(found), measured)]
        blocks.append(Section(net, tables))
    facts = [[name, key, str(fact)] for name, each in found.items() for key, fact in each["facts"].items()]
    blocks += [Section("Machines", [Table(facts)]), Section("Make it again", [Code([command])])]
    summary = "Medians over rounds, least to greatest beneath; x is how many times less than the peer it takes."
    return build_report(next(iter(found.values()))["title"], blocks, summary)


def _table(names: Sequence[str], measured: Sequence[tuple[str, Sequence[Mapping[str, Any] | None]]]) -> Table:
    most = max(row["high"] for _, each in measured for row in each if row)
    rows: list[list[Cell]] = [[who, *(_cell(row, most) for row in each)] for who, each in measured]
    return Table(rows, ["", *names])


def _cell(row: Mapping[str, Any] | None, most: float) -> Cell:
    """A bar from 0, the figure, its ratio, its spread."""
    if row is None:
        return ""
    wide = _WIDE * row["value"] / max(most, 1e-12)
    bar = f'<svg width="{_WIDE}" height="{_HIGH}"><rect class="bar fill0" width="{wide:.1f}" height="{_HIGH}"/></svg>'
    ratio = "" if row["ratio"] is None else f" · {row['ratio']:.2f} x"
    spread = "" if row["low"] == row["high"] else f"{short(row['low'])} to {short(row['high'])}"
    first = "" if row["first"] is None else f"first {short(row['first'])}"
    beneath = html.escape("; ".join(each for each in (spread, first, row["note"]) if each))
    return Markup(f"{bar} <b>{short(row['value'], full=True)}</b>{ratio}<small>{beneath}</small>")

"""Held-out pairs as a table of a report: cells, distance, change, rank, genes, and in words what is the matter."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from beeline.evaluate.blocks import Cell, Markup, Table
from beeline.evaluate.scales import short

Known = Mapping[str, Any]


def pair_table(rows: Sequence[Known], perturbed: bool = True) -> Table:
    """A row for each pair; columns of changes are left out where nothing was done to any cell.

    Args:
        rows: ``pairs`` of cell_pages.
        perturbed: whether anything was done to cells.
    """
    columns: dict[str, list[Cell]] = {
        "pair" if perturbed else "kind": [_name(row) for row in rows],
        "cells": [_cells(row) for row in rows],
        "energy distance": [_bold(row["model"]["energy"]) for row in rows],
        "floor": [_floor(row, "energy", min) for row in rows],
        "ceiling": [_plain(row["ceiling"]["energy"]) for row in rows],
    }
    if perturbed:
        # A second column of one name: the keys of a table need not be its heads.
        columns |= {
            "delta correlation": [_bold(row["model"]["delta_correlation"]) for row in rows],
            "floor ": [_floor(row, "delta_correlation", max) for row in rows],
            "ceiling ": [_plain(row["ceiling"]["delta_correlation"]) for row in rows],
            "rank": [_rank(row) for row in rows],
            "changed genes": [_changed(row) for row in rows],
        }
    cells = [[column[place] for column in columns.values()] for place in range(len(rows))]
    return Table(cells, [name.strip() for name in columns], range(1, len(columns)))


def _name(row: Known) -> Markup:
    notes = "".join(f"<small>{html.escape(note)}</small>" for note in row["notes"])
    return Markup(f"{html.escape(row['shown'])}{notes}")


def _cells(row: Known) -> Markup:
    beside = f", {row['n_control']:,} control" if row["n_control"] else ""
    return Markup(f"{row['n']:,}<small>{row['n_generated']:,} generated{beside}</small>")


def _floor(row: Known, key: str, best: Any) -> Cell:
    """The best of the cheap answers, with its name."""
    found = {name: value for name, each in row["floors"].items() if _is_number(value := each[key])}
    if not found:
        return ""
    name = best(found, key=found.__getitem__)
    return Markup(f"{short(found[name], full=True)}<small>{html.escape(name)}</small>")


def _rank(row: Known) -> str:
    return f"{row['rank']:g} of {row['known']}" if _is_number(row["rank"]) else ""


def _changed(row: Known) -> Cell:
    if row["changed"] is None:
        return ""
    told = f"{row['changed_predicted']:,} predicted, {row['changed_both']:,} of them right"
    return Markup(f"{row['changed']:,}<small>{told}</small>")


def _bold(value: float | None) -> Cell:
    return Markup(f"<b>{_plain(value)}</b>") if _is_number(value) else ""


def _plain(value: float | None) -> str:
    return short(value, full=True) if _is_number(value) else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)

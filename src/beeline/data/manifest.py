"""Manifests: a table that says for each file its label and its group, as CSV or as JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beeline.core.errors import UserError

_COLUMNS = ("file", "label", "group")


@dataclass(frozen=True)
class Row:
    """One line of a manifest.

    Args:
        line: its number in the file, from 1.
        file: name of a file below the folder of the data.
        label: what the file shows; None where the cell is empty.
        group: what the file belongs to; None where the cell is empty.
    """

    line: int
    file: str
    label: str | None
    group: str | None


@dataclass(frozen=True)
class Manifest:
    """Rows and what they tell.

    Args:
        rows: in the order of the file.
        labelled: whether there is a label column.
        grouped: whether there is a group column.
    """

    rows: tuple[Row, ...]
    labelled: bool
    grouped: bool


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file: .jsonl for JSON lines, anything else for CSV with a header.

    Its columns are ``file``, and ``label`` and ``group`` where they are known; others are left alone.

    Raises:
        UserError: it cannot be read, or has no column ``file``.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable ({error})") from None
    records = list(_json_lines(path, text) if path.suffix.lower() in (".jsonl", ".ndjson") else _csv(path, text))
    columns = {column for _, record in records for column in record}
    if "file" not in columns:
        raise UserError(f"{path}: needs a column 'file', and 'label' where labels are known; found {sorted(columns)}")
    rows = tuple(Row(line, *(_cell(path, line, record, column) for column in _COLUMNS)) for line, record in records)
    for row in rows:
        if not row.file:
            raise UserError(f"{path}, line {row.line}: names no file")
    return Manifest(rows, "label" in columns, "group" in columns)


def _csv(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    lines = text.splitlines()
    header = lines[0] if lines else ""
    separator = max(",;\t", key=header.count)
    reader = csv.DictReader(lines, delimiter=separator, skipinitialspace=True)
    try:
        for record in reader:
            if None in record:
                raise UserError(f"{path}, line {reader.line_num}: has more cells than the header")
            yield reader.line_num, {str(key).strip(): value for key, value in record.items()}
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not CSV ({error})") from None


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: not JSON ({error})") from None
        if not isinstance(record, dict):
            raise UserError(f"{path}, line {number}: needs an object such as {{'file': ..., 'label': ...}}")
        yield number, record


def _cell(path: Path, line: int, record: Mapping[str, Any], column: str) -> Any:
    """A cell as text, None where it is empty."""
    value = record.get(column)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise UserError(f"{path}, line {line}: {column} {value!r}: needs text or a whole number")
    return str(value).strip() or None

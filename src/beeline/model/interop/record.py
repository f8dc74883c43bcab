"""What is written beside an exported checkpoint: where it came from, what was mapped to what, and what it cannot say.

The formats of the peers have no place for it. A record counts only for the very file that it was written with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from beeline.core.errors import UserError
from beeline.core.files import read_json, write_json
from beeline.data.checkpoints.reading import ForeignFile
from beeline.model.format import library_version
from beeline.model.interop.anatomy import LAYOUTS, Anatomy
from beeline.model.interop.evidence import Said


def record_path(path: Path) -> Path:
    """Where the record of an exported file or folder lies."""
    return path / "beeline.json" if path.is_dir() else path.with_name(f"{path.name}.beeline.json")


def write_record(
    path: Path, sha256: str, anatomy: Anatomy, origin: Mapping[str, Any], rows: list[dict[str, Any]], change: Any
) -> dict[str, Any]:
    """Write the record of an export.

    Args:
        path: the exported file or folder.
        sha256: of its weights.
        anatomy: of the network, as exported.
        origin: where the weights came from.
        rows: which tensor became which.
        change: how a reinterpretation changed the function, None where nothing changed.

    Returns:
        what was written.
    """
    height, width = (extent * anatomy.patch for extent in anatomy.extents)
    record = {
        "library": library_version(),
        "layout": anatomy.layout,
        "sha256": sha256,
        "num_heads": anatomy.num_heads,
        "null_row": anatomy.null_row,
        "input_size": [height, width],
        "from": dict(origin),
        "reinterpreted": change,
        "anatomy": {name: value for name, value in asdict(anatomy).items() if name != "names"},
        "tensors": rows,
    }
    write_json(record_path(path), record)
    return record


def remembered(file: ForeignFile, said: Said) -> Said:
    """What the record beside a file adds to what the user says; nothing where it is another file's or damaged."""
    path = record_path(file.path)
    if not path.is_file():
        return said
    try:
        record = read_json(path)
    except UserError:
        return said
    if not isinstance(record, dict) or record.get("sha256") != file.sha256:
        return said
    match record:
        case {
            "layout": layout,
            "num_heads": int() as heads,
            "null_row": bool() as null_row,
            "input_size": [int() as height, int() as width],
        } if layout in LAYOUTS and heads > 0:
            return replace(
                said,
                layout=said.layout or layout,
                num_heads=said.num_heads or heads,
                null_row=null_row if said.null_row is None else said.null_row,
                input_size=said.input_size or (height, width),
            )
    return said

"""What lies in an ``.h5ad``: HDF5 with a table ``obs`` of cells, a table ``var`` of genes, and matrices beside them.

Matrices are X, those under ``layers`` and, with genes of its own, raw.X.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from beeline.core.errors import UserError
from beeline.core.extras import needed
from beeline.data.cell_matrices import reading

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def check_kind(path: Path) -> None:
    """Refuse what is no HDF5 file.

    Raises:
        UserError: saying what it is instead.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; say where the cells are, an AnnData file .h5ad")
    if path.is_dir():
        if path.suffix == ".zarr" or any((path / name).exists() for name in (".zgroup", "zarr.json")):
            raise UserError(
                f"{path}: is zarr, and cells are read from .h5ad; convert it once: "
                "anndata.read_zarr(PATH).write_h5ad(NEW_PATH)"
            )
        raise UserError(f"{path}: is a folder; cells are read from one file, .h5ad")
    if not path.stat().st_size:
        raise UserError(f"{path}: is empty; fetch or write it anew")
    with open(path, "rb") as file:
        first = file.read(len(_SIGNATURE))
    if first != _SIGNATURE:
        raise UserError(f"{path}: is no .h5ad (AnnData in HDF5); convert it by anndata's readers and write_h5ad")


def matrices_in(handle: Any) -> dict[str, str]:
    """Where each matrix of a file lies, by the name that a user has for it."""
    found = {"X": "X"} if "X" in handle and handle["X"].attrs.get("encoding-type") != "null" else {}
    found |= {"raw": "raw/X"} if "raw" in handle and "X" in handle["raw"] else {}
    return found | {name: f"layers/{name}" for name in handle.get("layers", ()) if name not in ("X", *found)}


def read_table(path: Path, handle: Any, name: str) -> Any:
    """A table of a file, as pandas has it.

    Raises:
        UserError: it is damaged, or is older than anndata 0.7.
    """
    anndata = needed("anndata", path, "cells")
    if not hasattr(handle[name], "keys"):
        raise UserError(
            f"{path}: was written by anndata before 0.7; write it anew: anndata.read_h5ad(PATH).write_h5ad(NEW_PATH)"
        )
    with reading(path, name), warnings.catch_warnings():
        warnings.simplefilter("ignore", anndata.OldFormatWarning)
        return anndata.io.read_elem(handle[name])

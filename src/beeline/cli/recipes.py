"""What a user can name to train: a recipe of the package, a recipe file, a modality file, images or latents."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from beeline.core.errors import UserError, unknown
from beeline.core.yaml_text import read_yaml

_CELLS = ".h5ad"
_ARRAYS = re.compile(r"\.(npy|npz|h5ad)$|[.-]idx\d?-ubyte(\.gz)?$|\.idx(\.gz)?$")
_FOR_DATA, _FOR_CODES, _FOR_CELLS = "folder", "encoded", "cells"


@dataclass(frozen=True)
class Recipe:
    """A starting point for a run.

    Args:
        target: what names it again: its own name, or an absolute path.
        name: what the run is called unless told otherwise.
        values: nested options, as written; ``modality`` among them.
    """

    target: str
    name: str
    values: dict[str, Any]


def recipe_names() -> list[str]:
    """Recipes that come with the package."""
    files = resources.files("beeline.recipes").iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def find_recipe(target: str | Path) -> Recipe:
    """The recipe behind a name, a .yaml file, a modality's .py file, a folder or file of images, latents or cells.

    A name of a recipe that comes with the package wins over a folder of that name, which ``./NAME`` stands for.

    Raises:
        UserError: there is none.
    """
    if not isinstance(target, (str, Path)):
        raise UserError(f"{target!r}: name a recipe, a .yaml file, a modality's .py file or a folder of images")
    target = str(target)
    path = Path(target)
    if target.endswith(".py"):
        if not path.is_file():
            raise UserError(f"{target}: {'is a folder, not a' if path.is_dir() else 'no such'} modality file")
        return Recipe(str(path.resolve()), path.stem, {"modality": str(path.resolve())})
    if target.endswith((".yaml", ".yml")):
        return Recipe(str(path.resolve()), path.stem, _checked(path))
    if target in recipe_names():
        with resources.as_file(resources.files("beeline.recipes") / f"{target}.yaml") as file:
            return Recipe(target, target, _checked(file))
    if path.is_dir() and (path / "config.yaml").is_file() and (path / "checkpoints").is_dir():
        raise UserError(f"{target}: is a run, not data; go on with --out {target} --resume")
    if path.is_dir() or (path.is_file() and _ARRAYS.search(path.name)):
        return Recipe(str(path.resolve()), _run_name(path.resolve()), _recipe_of_data(path.resolve()))
    if path.exists():
        raise UserError(
            f"{target}: is no recipe (.yaml), no modality (.py), no folder of images, no array (.npy, .npz, idx) "
            "and no cells (.h5ad)"
        )
    if any(each in target for each in ("/", os.sep)) or _ARRAYS.search(target):
        raise UserError(f"{target}: no such folder or file")
    raise unknown("recipe", target, recipe_names())


def find_data(target: str | Path) -> Recipe:
    """The recipe behind a target, or the built-in kind of data of that name, with its own defaults.

    Raises:
        UserError: there is neither.
    """
    from beeline.modalities.loading import built_in_modalities

    name = str(target)
    if name in built_in_modalities() and name not in recipe_names():
        return Recipe(name, name, {"modality": name})
    return find_recipe(target)


def _run_name(path: Path) -> str:
    """What to call a run on some data: the name of the file or folder, before its first dot."""
    return path.name.partition(".")[0] or "data"


def _recipe_of_data(path: Path) -> dict[str, Any]:
    """The recipe that leaves everything to be chosen, with the data in place."""
    from beeline.data.latent_store import is_latents

    # Zarr with obs and var is of cells too; that it cannot be read, and what to do, is said where cells are read.
    cells = path.suffix == _CELLS or all((path / table).is_dir() for table in ("obs", "var"))
    kind = _FOR_CELLS if cells else _FOR_CODES if is_latents(path) else _FOR_DATA
    values = find_recipe(kind).values
    return {**values, "data": {**values["data"], "path": str(path)}}


def _checked(path: Path) -> dict[str, Any]:
    values = read_yaml(path)
    values.pop("origin", None)  # a run's own config.yaml is a recipe for that run
    modality = values.get("modality")
    if not isinstance(modality, str):
        raise UserError(f"{path}: needs a line 'modality: NAME' or 'modality: FILE.py'")
    if modality.endswith(".py"):
        values["modality"] = str((path.parent / modality).resolve())
    return values

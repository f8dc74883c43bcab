"""What a user can name to train: a recipe that comes with the package, a recipe file, or a modality file."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from beeline.core.config import read_yaml
from beeline.core.errors import UserError, unknown


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
    """The recipe behind a name, a .yaml file or a modality's .py file.

    Raises:
        UserError: there is none.
    """
    if not isinstance(target, (str, Path)):
        raise UserError(f"{target!r}: name a recipe, a .yaml file or a modality's .py file")
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
    if path.is_dir():
        raise UserError(f"{target}: is a folder; name a recipe, a .yaml file or a modality's .py file")
    if path.exists():
        raise UserError(f"{target}: is neither a recipe (.yaml) nor a modality (.py)")
    raise unknown("recipe", target, recipe_names())


def _checked(path: Path) -> dict[str, Any]:
    values = read_yaml(path)
    values.pop("origin", None)  # a run's own config.yaml is a recipe for that run
    modality = values.get("modality")
    if not isinstance(modality, str):
        raise UserError(f"{path}: needs a line 'modality: NAME' or 'modality: FILE.py'")
    if modality.endswith(".py"):
        values["modality"] = str((path.parent / modality).resolve())
    return values

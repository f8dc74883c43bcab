"""Options that a run takes from the trained network that it begins from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from beeline.backbone.config import ModelConfig, preset_patch
from beeline.cli.compatible import with_peer
from beeline.core.config import Plain, build, flatten, parse, plain
from beeline.core.errors import UserError
from beeline.objectives.config import ObjectiveConfig
from beeline.process.config import ProcessConfig

if TYPE_CHECKING:
    from beeline.model.starting import Starting

SECTIONS: dict[str, type] = {"model": ModelConfig, "process": ProcessConfig, "objective": ObjectiveConfig}


def is_taken(name: str) -> bool:
    """Whether an option, by its dotted name, comes from the trained network unless a flag gives it."""
    return name == "data.patch" or name.partition(".")[0] in SECTIONS


def with_taken(given: Mapping[str, Any], flags: Sequence[str], start: Starting) -> Plain:
    """Given sections with the network's options in place of a recipe's.

    Args:
        given: sections of a recipe.
        flags: which win.
        start: the trained network.

    Raises:
        UserError: flags ask for what does not fit together.
    """
    trained = {"model": start.model, "process": start.process, "objective": start.objective}
    merged = dict(given)
    for section, cls in SECTIONS.items():
        mine = [flag for flag in flags if flag.removeprefix("--").startswith(f"{section}.")]
        merged[section] = _section(section, cls, plain(trained[section]), mine)
    if any(is_taken(flag.removeprefix("--").partition("=")[0]) for flag in flags):
        merged["model"]["compatible_with"] = "none"  # what was asked for decides anew
    return with_peer(merged, flags)


def _section(section: str, cls: type, trained: Plain, flags: Sequence[str]) -> Plain:
    """Trained options to which flags can be added; those that mean nothing beside the flags are dropped."""

    def fits(values: Plain) -> bool:
        try:
            build(cls, parse({section: cls}, {section: values}, flags)[section], section)
        except UserError:
            return False
        return True

    if not flags or fits(trained):
        return trained
    kept: Plain = {}
    for name, value in flatten(trained).items():
        if fits(candidate := _with(kept, name.split("."), value)):
            kept = candidate
    return kept


def _with(values: Plain, path: Sequence[str], value: Any) -> Plain:
    if len(path) == 1:
        return {**values, path[0]: value}
    return {**values, path[0]: _with(values.get(path[0], {}), path[1:], value)}


def patch_of(start: Starting, model: ModelConfig, data: Mapping[str, Any], asked: Collection[str]) -> Any:
    """The patch that the network was trained with, as the data's option wants it; None where it has no say.

    Args:
        start: the trained network.
        model: options of the network to be.
        data: options of the data.
        asked: dotted names of the options that flags gave.
    """
    patch = getattr(start.codec.tokenizer, "patch", None)
    if "patch" not in data or "data.patch" in asked or not isinstance(patch, tuple):
        return None
    if "model.preset" in asked and preset_patch(model) is not None:
        return None
    if isinstance(data["patch"], (list, tuple)):
        return list(patch) if len(patch) == len(data["patch"]) else None
    return patch[0] if len(set(patch)) == 1 else None


def told(recipe: Mapping[str, Any], config: Any, asked: Collection[str]) -> str | None:
    """What a recipe asked for and the trained network decides, in a line; None where they agree.

    Args:
        recipe: its values.
        config: the run's.
        asked: dotted names of the options that flags gave.
    """
    now, rows = flatten(plain(config)), []
    for name, value in flatten(recipe).items():
        if is_taken(name) and name not in asked and name in now and now[name] != plain(value):
            rows.append(f"{name} {now[name]} (recipe: {value})")
    return f"taken from --init: {', '.join(rows)}" if rows else None

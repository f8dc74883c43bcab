"""Sets of options by one name, ``train.preset`` and ``objective.family``, put under and over what is given.

Beside them ``model.backbone``, whose own options a recipe cannot know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from beeline.backbone.config import OF_BACKBONE
from beeline.core.config import Plain
from beeline.core.errors import UserError, unknown
from beeline.objectives.families import FAMILIES, OF_THE_DATA
from beeline.train.config import PRESETS

PRESET, FAMILY, BACKBONE = "train.preset", "objective.family", "model.backbone"


def with_sets(given: Mapping[str, Any], flags: Sequence[str], begun: bool = False) -> Plain:
    """Given values with those of the training preset and of the family that they or flags name.

    Both lie under the options of a recipe that names them. Asked for by a flag, a preset's options win over the
    recipe's, one by one; a family takes the place of the recipe's sections, save for what describes the data.

    Args:
        given: sections of a recipe.
        flags: ``--section.key=value`` strings.
        begun: whether a trained network decides about process and objective.

    Raises:
        UserError: there is no set of that name, or it asks for what something else has decided.
    """
    merged = dict(given)
    name, by_flag = _asked(given, flags, PRESET, PRESETS)
    for section, values in PRESETS[name].items():
        own = given.get(section, {})
        if isinstance(own, Mapping):
            merged[section] = {**own, **values} if by_flag else {**values, **own}
    name, by_flag = _asked(given, flags, FAMILY, FAMILIES)
    if by_flag and begun and name != "none":
        raise UserError(f"{FAMILY} {name}: the network to begin from has its own; change single options instead")
    peer = _of(given, flags, "model.compatible_with")
    if name != "none" and peer not in (None, "none"):
        raise UserError(f"{FAMILY} {name}: model.compatible_with {peer} asks for its own; leave one of them out")
    for section, values in FAMILIES[name].items():
        own = merged.get(section, {})
        if isinstance(own, Mapping):
            merged[section] = _replaced(section, own, values) if by_flag else _under(values, own)
    return _with_backbone(merged, flags)


def _with_backbone(given: Plain, flags: Sequence[str]) -> Plain:
    """Given values without a recipe's options of the backbone that a flag has put another in the place of."""
    own, wanted = given.get("model", {}), _of({}, flags, BACKBONE)
    others = {name for backbone, names in OF_BACKBONE.items() if backbone != wanted for name in names}
    if wanted not in OF_BACKBONE or not isinstance(own, Mapping):
        return given
    return {**given, "model": {name: value for name, value in own.items() if name not in others}}


def _replaced(section: str, own: Mapping[str, Any], values: Mapping[str, Any]) -> Plain:
    return {**{key: own[key] for key in OF_THE_DATA[section] if key in own}, **values}


def _under(values: Mapping[str, Any], own: Mapping[str, Any]) -> Plain:
    """A family's options under a recipe's own; of times with another density its numbers would mean something else."""
    merged = {**values, **own}
    mine, other = values.get("time"), own.get("time")
    if isinstance(mine, Mapping) and isinstance(other, Mapping):
        same = other.get("density", mine.get("density")) == mine.get("density")
        merged["time"] = {**mine, **other} if same else other
    return merged


def _asked(given: Mapping[str, Any], flags: Sequence[str], option: str, sets: Mapping[str, Any]) -> tuple[str, bool]:
    """The name of a set, and whether a flag gives it."""
    by_flag = any(flag.startswith(f"--{option}=") for flag in flags)
    name = _of(given, flags, option) or "none"
    if not isinstance(name, str) or name not in sets:
        raise unknown(option, str(name), sets)
    return name, by_flag


def _of(given: Mapping[str, Any], flags: Sequence[str], option: str) -> Any:
    """An option as the last flag or else the recipe gives it."""
    by_flag = [flag.partition("=")[2] for flag in flags if flag.startswith(f"--{option}=")]
    section, _, key = option.partition(".")
    in_file = given.get(section)
    return by_flag[-1] if by_flag else in_file.get(key) if isinstance(in_file, Mapping) else None

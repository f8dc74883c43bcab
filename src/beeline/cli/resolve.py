"""From a recipe and flags to the complete config of a run, and back from a stored one."""

from __future__ import annotations

import dataclasses
import json
import os
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from beeline.backbone.config import preset_patch
from beeline.cli.compatible import with_peer
from beeline.cli.families import FAMILY, PRESET, with_sets
from beeline.cli.recipes import Recipe
from beeline.cli.taken import is_taken, patch_of, told, with_taken
from beeline.core.config import Plain, build, flatten, parse, plain
from beeline.core.errors import UserError, unknown
from beeline.core.units import Duration
from beeline.train.config import CHANGEABLE, RunConfig, TrainConfig

if TYPE_CHECKING:
    from beeline.modalities.loading import ModalitySource
    from beeline.model.starting import Starting

_ORIGIN = "origin"
_ORIGINS = ("target", "flags", "modality_sha256")
_DURATIONS = ("duration", "steps", "budget")


@dataclass(frozen=True)
class Resolved:
    """A config and where it comes from.

    Args:
        config: the run's config.
        source: its modality.
        origin: recipe and flags that it was made from, kept in config.yaml.
        explicit: dotted names of the options that recipe or flags gave.
        taken: what the recipe asked for and a trained network decided, and what flags change of it, a line each.
    """

    config: RunConfig
    source: ModalitySource
    origin: dict[str, Any]
    explicit: frozenset[str]
    taken: tuple[str, ...] = ()


def config_sections() -> dict[str, type]:
    """The config dataclass of each section, save the modality's."""
    hints = typing.get_type_hints(RunConfig)
    return {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint) and isinstance(hint, type)}


def data_section(source: ModalitySource) -> dict[str, type]:
    """The section of a modality's own options, where it has any."""
    return {"data": source.cls} if dataclasses.is_dataclass(source.cls) else {}


def flags_of(options: Mapping[str, Any] | Sequence[str]) -> list[str]:
    """Options in either form as ``--section.key=value`` strings."""
    if isinstance(options, str):
        raise UserError(f"options '{options}': need a mapping, or a list of flags")
    if not isinstance(options, Mapping):
        return list(options)
    texts = {
        key: value if isinstance(value, str) else json.dumps(plain(value)) for key, value in flatten(options).items()
    }
    return [f"--{key}={text}" for key, text in texts.items()]


def resolve(recipe: Recipe, flags: Sequence[str], start: Starting | None = None, stored: bool = False) -> Resolved:
    """The config that a recipe and flags ask for.

    Args:
        recipe: values given in a file.
        flags: ``--section.key=value`` strings, which win.
        start: a trained network to begin from, whose options win over the recipe's.
        stored: whether the values are those of a run, in which everything is settled.

    Raises:
        UserError: a key is unknown, a value has the wrong type or is out of range.
    """
    from beeline.modalities.loading import find_modality

    flags = in_sections(str(recipe.values["modality"]), flags)
    given = with_sets(recipe.values, flags, begun=start is not None)
    source = find_modality(str(given.pop("modality")))
    explicit, asked = frozenset([*flatten(given), *map(_key, flags)]), frozenset(map(_key, flags))
    if start is not None:
        given = with_taken(given, flags, start)
    elif not stored:
        given = with_peer(given, flags)
    sections = config_sections() | data_section(source)
    for section in given:
        if section not in sections:
            raise UserError(f"{recipe.target}: {unknown('section', section, ['modality', *sections])}")
    origin = f"{recipe.target}: " if recipe.target.endswith((".yaml", ".yml")) else ""
    values = _settle_duration(parse(sections, given, flags, origin), given, flags)
    config = build(RunConfig, {"modality": source.name, **values})
    patch = None if start is None else patch_of(start, config.model, config.data, asked)
    if patch is not None:
        config = dataclasses.replace(config, data={**config.data, "patch": patch})
    elif "data.patch" not in explicit:
        config = _with_preset_patch(config)
    return Resolved(
        config,
        source,
        {"target": recipe.target, "flags": list(flags), "modality_sha256": source.sha256},
        explicit,
        () if start is None else told(recipe.values, config, asked, start),
    )


def in_sections(modality: str, flags: Sequence[str]) -> list[str]:
    """Flags with those under the name of the kind of data, ``--cells.control``, as ``--data.control``.

    Args:
        modality: that the recipe is for.
        flags: as given; ``--modality NAME`` may be among them, where it is that one.

    Raises:
        UserError: another modality is named.
    """
    found = []
    for flag in flags:
        key, equals, value = flag.partition("=")
        if key == "--modality" and equals:
            if value != modality:
                raise UserError(
                    f"--modality {value}: what is to be trained is of modality {modality}; name a recipe of it"
                )
            continue
        found.append(f"--data.{flag[len(modality) + 3 :]}" if flag.startswith(f"--{modality}.") else flag)
    return found


def stored_form(config: RunConfig, origin: Mapping[str, Any]) -> Plain:
    """What config.yaml holds."""
    return {**plain(config), _ORIGIN: dict(origin)}


# What runs were trained with that were stored before there was an option for it, where the default is another.
_BEFORE: dict[str, dict[str, Any]] = {"train": {"matmul": "exact"}}


def resolve_stored(stored: Mapping[str, Any], recipe: Recipe | None, flags: Sequence[str]) -> Resolved:
    """The stored config of a run with the few changes that resuming allows.

    Args:
        stored: contents of config.yaml.
        recipe: what the user named beside ``--resume``, if anything.
        flags: what the user gave beside it.

    Raises:
        UserError: something else was asked for, by name.
    """
    from beeline.modalities.loading import find_modality

    kept = dict(stored)
    origin, modality = kept.pop(_ORIGIN, None), kept.get("modality")
    if (
        not isinstance(modality, str)
        or not isinstance(origin, dict)
        or not origin.keys() >= set(_ORIGINS)
        or (not isinstance(origin["flags"], list))
    ):
        raise UserError(f"config.yaml: damaged: needs 'modality' and '{_ORIGIN}' with {', '.join(_ORIGINS)}")
    digest = origin["modality_sha256"]
    if recipe is not None and recipe.values["modality"] != modality:
        if digest is None or find_modality(recipe.values["modality"]).sha256 != digest:
            raise UserError(f"resume: this run was trained on modality {modality}, not {recipe.values['modality']}")
        kept["modality"] = modality = recipe.values["modality"]  # the same file, moved
    if find_modality(modality).sha256 != digest:
        raise UserError(
            f"resume: {modality} has changed since this run began; the text that it began with is kept as modality.py "
            "in the run folder: bring it back, or begin anew"
        )
    for section, values in _BEFORE.items():
        kept[section] = {**values, **kept.get(section, {})}
    flags = [flag for flag in flags if not _is_what_it_has(flag, kept, origin["flags"])]
    asked = resolve(Recipe(str(origin["target"]), "", kept), flags, stored=True)
    _refuse_changes(kept, asked, set(map(_key, flags)), settled=())
    if recipe is not None:
        again = resolve(recipe, origin["flags"])
        in_file = again.explicit - set(map(_key, origin["flags"]))
        if "init" in origin:  # whose options have won over the recipe's
            in_file = frozenset(name for name in in_file if not is_taken(name))
        _refuse_changes(kept, again, in_file, settled=("auto", None))
    return dataclasses.replace(asked, origin={**origin, "flags": _with_duration(origin["flags"], flags)})


def _with_duration(before: Sequence[str], flags: Sequence[str]) -> list[str]:
    """A run's flags with a duration that is given now, so that a time is not measured again when it is given again."""
    names = {f"train.{name}" for name in _DURATIONS}
    now = [flag for flag in flags if _key(flag) in names]
    if set(now) <= set(before):
        return list(before)
    return [*(flag for flag in before if _key(flag) not in names), *now]


def _is_what_it_has(flag: str, kept: Plain, before: Collection[str]) -> bool:
    """Whether a flag, though worded otherwise than the stored options, asks for nothing else."""
    return _is_settled(flag, before) or _is_its_set(flag, kept) or _is_its_path(flag, kept)


def _is_settled(flag: str, before: Collection[str]) -> bool:
    """Whether a flag asks as before for what the run has settled: the machine's choice, or the steps of a time."""
    key, _, value = flag.removeprefix("--").partition("=")
    if flag not in before or value in ("auto", "null"):
        return flag in before
    return key == "train.budget" or (key == "train.duration" and Duration.parse(value).unit == "seconds")


def _is_its_set(flag: str, kept: Plain) -> bool:
    """Whether a flag names the preset or family that a run was made from; what else was given has won over it."""
    key, _, value = flag.removeprefix("--").partition("=")
    return key in (PRESET, FAMILY) and flatten(kept).get(key) == value


def _is_its_path(flag: str, kept: Plain) -> bool:
    """Whether a flag names, from here, the file or folder that the run has by its absolute path."""
    return _names(flag.partition("=")[2], flatten(kept).get(_key(flag)))


def _names(value: object, path: object) -> bool:
    if not (isinstance(value, str) and value and isinstance(path, str) and os.path.isabs(path)):
        return False
    return os.path.realpath(os.path.expanduser(value)) == os.path.realpath(path)


def _refuse_changes(kept: Plain, asked: Resolved, names: Collection[str], settled: Collection[Any]) -> None:
    """Refuse the first of some options that is not what the run has.

    Args:
        kept: the run's stored options.
        asked: what is asked for now.
        names: dotted names to look at.
        settled: values for which the run has settled on one of its own.
    """
    before, after = flatten(kept), flatten(plain(asked.config))
    for name in sorted(set(names) - set(CHANGEABLE)):
        if name not in before or after[name] in (before[name], *settled) or _names(after[name], before[name]):
            continue
        raise UserError(
            f"resume: {name} is {before[name]} in this run and cannot become {after[name]}; "
            f"only {', '.join(CHANGEABLE)} can change"
        )


def _settle_duration(values: Plain, given: Mapping[str, Any], flags: Sequence[str]) -> Plain:
    """Turn the short forms into ``train.duration``; a flag's form wins over a file's."""
    train, in_file, in_flags = dict(values["train"]), given.get("train", {}), set(map(_key, flags))
    by_flag = [name for name in _DURATIONS if f"train.{name}" in in_flags and train[name] is not None]
    by_file = [name for name in _DURATIONS if in_file.get(name) is not None]
    for names in (by_flag, by_file):
        if len(names) > 1:
            raise UserError(f"train.{names[0]} and train.{names[1]} both say how long to train; give one of them")
    chosen = (by_flag or by_file or ["duration"])[0]
    if chosen != "duration":
        build(TrainConfig, {**plain(TrainConfig()), chosen: train[chosen]}, "train")
        train["duration"] = f"{train['steps']} steps" if chosen == "steps" else str(train["budget"])
    return {**values, "train": {**train, "steps": None, "budget": None}}


def _with_preset_patch(config: RunConfig) -> RunConfig:
    """Give the modality the patch size that a preset such as DiT-S/2 asks for."""
    patch = preset_patch(config.model)
    if patch is None:
        return config
    if "patch" not in config.data:
        raise UserError(f"model.preset {config.model.preset}: this kind of data has no patches; leave '/{patch}' out")
    old = config.data["patch"]
    new = [patch] * len(old) if isinstance(old, (list, tuple)) else patch
    return dataclasses.replace(config, data={**config.data, "patch": new})


def _key(flag: str) -> str:
    return flag.removeprefix("--").partition("=")[0]

"""Options that a run takes from the trained network that it begins from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from beeline.backbone.config import ModelConfig, preset_patch
from beeline.cli.compatible import PEERS, with_peer
from beeline.core.config import Plain, build, flatten, parse, plain
from beeline.core.errors import UserError
from beeline.objectives.config import ObjectiveConfig
from beeline.process.config import ProcessConfig

if TYPE_CHECKING:
    from beeline.model.starting import Starting
    from beeline.train.config import RunConfig

SECTIONS: dict[str, type] = {"model": ModelConfig, "process": ProcessConfig, "objective": ObjectiveConfig}

_SIZES = ("hidden_size", "depth", "num_heads", "mlp_ratio", "activation")


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
    from beeline.model.build import build_objective
    from beeline.process.build import build_process, build_source

    def config(section: str, values: Plain) -> Any:
        cls = SECTIONS[section]
        mine = [flag for flag in flags if flag.removeprefix("--").startswith(f"{section}.")]
        return build(cls, parse({section: cls}, {section: values}, mine)[section], section)

    def objective(values: Plain) -> None:
        """Refuse what does not go with the process."""
        process = config("process", process_options)
        build_objective(config("objective", values), build_process(process), build_source(process))

    model = plain(start.model)
    if any(flag.startswith("--model.preset=") for flag in flags):  # which means the preset's own sizes
        model = {name: value for name, value in model.items() if name not in _SIZES}
    same = f"--model.compatible_with={start.model.compatible_with}"
    changing = [flag for flag in flags if flag.removeprefix("--").partition(".")[0] in SECTIONS and flag != same]
    if changing:
        model["compatible_with"] = "none"  # what is asked for now decides anew
    process_options = _kept(plain(start.process), partial(config, "process"))
    merged = {
        **given,
        "model": _kept(model, partial(config, "model")),
        "process": process_options,
        "objective": _kept(plain(start.objective), objective),
    }
    if changing:
        return with_peer(merged, flags)
    peer = merged["model"].get("compatible_with", "none")  # whose own options, such as noise levels, are there already
    return merged if peer == "none" else {**merged, "sample": {**PEERS[peer]["sample"], **given.get("sample", {})}}


def _kept(trained: Plain, check: Callable[[Plain], Any]) -> Plain:
    """Trained options that can stay beside what flags ask for; those that mean nothing there are dropped."""

    def fits(values: Plain) -> bool:
        try:
            check(values)
        except UserError:
            return False
        return True

    if fits(trained):
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


def told(recipe: Mapping[str, Any], config: RunConfig, asked: Collection[str], start: Starting) -> tuple[str, ...]:
    """What a recipe asked for and the trained network decides, and what flags change of it, a line each.

    Args:
        recipe: its values.
        config: the run's.
        asked: dotted names of the options that flags gave.
        start: the trained network.
    """
    now, rows = flatten(plain(config)), []
    trained = flatten({name: plain(getattr(start, name)) for name in SECTIONS})
    changed = [f"{name} {now[name]} (trained: {value})" for name, value in trained.items() if now[name] != value]
    for name, value in flatten(recipe).items():
        if is_taken(name) and name not in asked and name in now and now[name] != plain(value):
            rows.append(f"{name} {now[name]} (recipe: {value})")
    lines = (("taken from --init", rows), ("changed by flags", changed))
    return tuple(f"{what}: {', '.join(each)}" for what, each in lines if each)

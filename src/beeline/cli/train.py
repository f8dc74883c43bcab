"""``beeline train``: fit a model to data, then sample it, score it and report."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beeline.cli import peers
from beeline.cli.console import Display
from beeline.cli.initial import Opened, check_same, origin_of, starting_of
from beeline.cli.recipes import find_recipe, recipe_names
from beeline.cli.rehearsal import beginning_lines, choices, describe, rehearsal
from beeline.cli.resolve import Resolved, flags_of, resolve, resolve_stored, stored_form
from beeline.core.config import plain
from beeline.core.errors import UserError
from beeline.core.files import write_text
from beeline.core.yaml_text import write_yaml

if TYPE_CHECKING:
    from beeline.train.beginning import Beginning
    from beeline.train.folder import RunFolder
    from beeline.train.setup import Prepared


def train(
    target: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    options: Mapping[str, Any] | Sequence[str] = (),
    display: Display | None = None,
    dry_run: bool = False,
    init: str | Path | Opened | None = None,
) -> Path:
    """Train a model and write its run folder.

    Args:
        target: name of a recipe, a .yaml recipe, a .py file with a modality, or a folder or file of images; may be left
            out with ``resume``.
        out: the run folder; ``runs/NAME`` when None.
        resume: go on with the run that is there, from its last checkpoint.
        options: dotted options, as a mapping (``{"train.steps": 500}``) or as flags (``["--train.steps=500"]``).
        display: where progress goes; silent when None.
        dry_run: print what would be trained and what it would take, and write nothing.
        init: a trained network to begin from: a run folder, a checkpoint, a model.safetensors, or a checkpoint of DiT,
            SiT, LightningDiT or diffusers. Its options of model, process and objective and its patches are taken, save
            those that ``options`` give. Where a peer's file cannot say everything, what ``interop.load`` has opened.

    Returns:
        the run folder.

    Raises:
        UserError: something given does not exist, does not fit or is out of range.
        RunError: the gradient became infinite or NaN, or memory ran out.
    """
    from beeline.evaluate.ahead import check_ahead
    from beeline.train.machine import computing, settle
    from beeline.train.setup import prepare

    display = display or Display("summary" if dry_run else "silent")
    flags = flags_of(options)
    folder, resolved, beginning = _asked_for(target, out, resume, flags, display, dry_run and not resume, init)
    begun = folder.is_run()
    if not dry_run:
        folder.check_place()
        if begun and _is_over(folder, resolved):
            with folder.lock():
                _say_finished(folder, display)
            return folder.path
    settings, machine = settle(resolved.config.train)
    with computing(settings):
        with display.patience("looking at the data and at what this machine can do; this takes a while"):
            prepared = prepare(dataclasses.replace(resolved.config, train=settings), resolved.source, beginning)
        del beginning  # and with it the weights of another network
        check_ahead(prepared)
        if resume:
            folder.check_duration(prepared.trainer.steps)
            folder.check_data(prepared.description)
        if dry_run:
            for line in rehearsal(resolved, prepared, machine):
                display.result(line)
            return folder.path
        stored = stored_form(prepared.config, resolved.origin)
        with folder.lock():
            _open(folder, prepared, stored, begun)
            for line in [] if begun else beginning_lines(prepared, resolved.taken):
                display.message(line)
            for line in choices(resolved, prepared, machine):
                display.message(line)
            _fit_and_report(prepared, resolved, folder, display)
    return folder.path


def _asked_for(
    target: str | None,
    out: str | Path | None,
    resume: bool,
    flags: list[str],
    display: Display,
    anew: bool,
    init: str | Path | Opened | None,
) -> tuple[RunFolder, Resolved, Beginning]:
    """The run folder, options and first tensors of the run that is there or is to begin; ``anew`` whatever is there."""
    from beeline.train.beginning import Beginning
    from beeline.train.folder import RunFolder

    recipe = find_recipe(target) if target is not None else None
    if recipe is None and (out is None or not resume):
        raise UserError("name what to train: a recipe, a .yaml or .py file, a folder of images (or --out RUN --resume)")
    folder = RunFolder(Path(out) if out is not None else Path("runs") / (recipe.name if recipe else ""))
    begun = folder.is_run() and not anew
    if begun and not resume:
        raise UserError(f"{folder.path}: holds a run already; go on with --resume, or choose another --out")
    if begun:
        folder.check_config()
        resolved = resolve_stored(folder.read_config(), recipe, flags)
        if init is not None:
            check_same(init, resolved.origin.get("init"))
        return folder, resolved, Beginning(kept=folder.initial.find("init" in resolved.origin))
    if recipe is None:
        raise UserError(f"{folder.path}: no run to resume")
    if resume:
        display.message(f"{folder.path}: no run there yet, starting from the beginning")
    if init is None:
        return folder, resolve(recipe, flags), Beginning()
    start = starting_of(init)
    resolved = resolve(recipe, flags, start)
    origin = {**resolved.origin, "init": origin_of(start)}
    return folder, dataclasses.replace(resolved, origin=origin), Beginning(start)


def _open(folder: RunFolder, prepared: Prepared, stored: dict[str, Any], begun: bool) -> None:
    """Begin a run folder, or go on from its last checkpoint, which may be refused before anything is changed."""
    from beeline.train.loop import restore_latest

    if not begun:
        folder.initial.write(prepared.initial(), prepared.description)
        folder.create(stored)
    restore_latest(prepared.trainer, folder)
    if folder.read_config() != stored:
        folder.write_config(stored)


def _fit_and_report(prepared: Prepared, resolved: Resolved, folder: RunFolder, display: Display) -> None:
    from beeline.evaluate.finish import finish
    from beeline.evaluate.probes import probes_of
    from beeline.train.loop import run
    from beeline.train.memory import shortage_explained

    trainer = prepared.trainer
    folder.describe(prepared.description)
    if resolved.source.text is not None:
        write_text(folder.path / "modality.py", resolved.source.text)
    if trainer.step >= trainer.steps and folder.is_finished():
        _say_finished(folder, display)
        return
    if trainer.step:
        display.message(f"resuming after step {trainer.step}")
    for line in describe(prepared):
        display.message(line)
    probes = probes_of(prepared, folder)
    with display.work("training"), shortage_explained(prepared.choice.plan, trainer):
        complete = run(trainer, folder, display, probes)
    if not complete:
        display.result(f"stopped after step {trainer.step} of {trainer.steps}; saved; go on with --resume")
        return
    try:
        finish(folder, prepared, display)
    except KeyboardInterrupt:
        display.result(f"stopped after training; {folder.weights} is saved; --resume writes samples and report")
        return
    _print_paths(folder, display)


def _is_over(folder: RunFolder, resolved: Resolved) -> bool:
    """Whether nothing is left to do, which can be seen without the data."""
    asked = resolved.config.train.duration
    return [asked] == [f"{step} steps" for step in folder.steps()[-1:]] and folder.is_finished()


def _say_finished(folder: RunFolder, display: Display) -> None:
    display.message(f"{folder.path}: this run is finished ({folder.steps()[-1]} steps)")
    _print_paths(folder, display)


def _print_paths(folder: RunFolder, display: Display) -> None:
    pictures = sorted(folder.samples.glob("*.png"))
    for path in (*pictures, folder.weights, folder.description, folder.log, folder.scores, folder.report):
        if path.is_file():
            display.result(str(path))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``beeline train``; dotted ones are read beside them."""
    parser.add_argument(
        "target",
        nargs="?",
        metavar="RECIPE|FILE|FOLDER",
        help=f"a recipe ({', '.join(recipe_names())}), a .yaml recipe, a modality's .py file, or a folder or file of "
        "images or cells (.h5ad), for which everything is chosen: model, batch, duration (--train.budget 5m)",
    )
    parser.add_argument(
        "--modality",
        metavar="NAME",
        help="the kind of data that RECIPE, FILE or FOLDER must be of; --NAME.x is --data.x",
    )
    parser.add_argument("--out", metavar="RUN", help="run folder (runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on with the run that is there")
    parser.add_argument(
        "--init",
        metavar="PATH",
        help="begin from a trained network: a run, a checkpoint, a model.safetensors or a peer's checkpoint; its "
        "model, process, objective and patches are taken, save what flags say",
    )
    peers.add_arguments(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="print what was chosen, memory, speed and time, and write nothing"
    )
    parser.add_argument("--device", metavar="DEVICE", help="cpu, cuda or auto: short for --train.device")
    parser.add_argument("--print-config", action="store_true", help="print every option as it would be used, and stop")


def _trained_network(init: str | None, said: dict[str, Any], resume: bool) -> str | Opened | None:
    """What ``--init`` names, opened where flags say what its file cannot; a run that goes on can do without it."""
    if not said or (resume and init is not None and not Path(init).expanduser().exists()):
        return init
    if init is None:
        raise UserError(f"{', '.join(said)}: says what the checkpoint behind --init cannot; name one with --init PATH")
    from beeline.model import interop

    return interop.load(init, **said)


@peers.wording()
def main(arguments: argparse.Namespace, flags: list[str], display: Display) -> None:
    """Run ``beeline train``."""
    init = _trained_network(arguments.init, peers.said(arguments), arguments.resume)
    if arguments.device is not None:
        if any(flag.startswith("--train.device=") for flag in flags):
            raise UserError("--device and --train.device say the same; give one of them")
        flags = [*flags, f"--train.device={arguments.device}"]
    if arguments.modality is not None:
        flags = [f"--modality={arguments.modality}", *flags]
    if arguments.print_config:
        if arguments.target is None:
            raise UserError("--print-config: name a recipe, a .yaml file, a modality's .py file or a folder of images")
        start = None if init is None else starting_of(init)
        print(write_yaml(plain(resolve(find_recipe(arguments.target), flags, start).config)), end="")
        return
    train(
        arguments.target,
        arguments.out,
        arguments.resume,
        flags,
        display,
        arguments.dry_run,
        init,
    )

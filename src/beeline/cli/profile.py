"""``beeline profile``: where the time of a training step goes."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beeline.cli.console import Display
from beeline.cli.recipes import find_recipe, recipe_names
from beeline.cli.rehearsal import choices, describe
from beeline.cli.resolve import flags_of, resolve
from beeline.core.choices import Choice, table
from beeline.core.errors import UserError
from beeline.core.files import check_writable, write_json
from beeline.core.units import operations

if TYPE_CHECKING:
    from beeline.train.profiling import StepProfile
    from beeline.train.setup import Prepared

_STEPS, _OPERATIONS = 10, 12


def profile(
    target: str,
    options: Mapping[str, Any] | Sequence[str] = (),
    steps: int = _STEPS,
    display: Display | None = None,
    trace: str | Path | None = None,
) -> StepProfile:
    """Say where the time of a training step goes, by part and by operation; nothing is kept of the training.

    Args:
        target: a recipe's name or .yaml file, a modality's .py file, or a folder or file of data.
        options: dotted options, as a mapping (``{"train.steps": 64}``) or as flags (``["--train.steps=64"]``).
        steps: that are recorded, at least 1.
        display: where lines go; silent when None.
        trace: where the record itself goes, for chrome://tracing or Perfetto.

    Returns:
        seconds of a step, of each of its parts, and of each operation.

    Raises:
        UserError: something given does not exist, does not fit or is out of range.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # lest torch's recorder write lines of its own between ours
    from beeline.train.machine import computing, settle
    from beeline.train.profiling import profile_steps
    from beeline.train.setup import prepare

    if steps < 1:
        raise UserError(f"steps {steps}: must be at least 1")
    place = None if trace is None else Path(trace)
    if place is not None:
        check_writable(place)
    display = display or Display("silent")
    resolved = resolve(find_recipe(target), flags_of(options))
    settings, machine = settle(resolved.config.train)
    with computing(settings):
        with display.patience("looking at the data and at what this machine can do; this takes a while"):
            prepared = prepare(dataclasses.replace(resolved.config, train=settings), resolved.source)
        for line in (*choices(resolved, prepared, machine), *describe(prepared)):
            display.message(line)
        found = profile_steps(prepared.trainer, steps, place)
        for line in told(found, prepared):
            display.result(line)
    return found


def told(found: StepProfile, prepared: Prepared) -> list[str]:
    """Two tables, by part and by operation, and what the step reaches of the machine's best.

    Args:
        found: seconds.
        prepared: the run.
    """
    from beeline.core.matmul import settled
    from beeline.model.cost import gemm_peak, network_cost
    from beeline.train.choose import PASSES
    from beeline.train.timing import step_text

    train, trainer = prepared.config.train, prepared.trainer
    flops = PASSES * trainer.batch_size * network_cost(trainer.network, prepared.codec).flops
    peak = gemm_peak(train.device, train.precision, train.threads, settled(train.matmul, train.device)[0])
    rate = flops / found.seconds

    def row(name: str, seconds: float, more: str) -> Choice:
        return Choice(name, f"{seconds / found.seconds:6.1%}  {1000 * seconds:10.3f} ms", more)

    parts = sorted(((name, seconds) for name, seconds in found.parts.items() if seconds), key=lambda each: -each[1])
    longest = found.operations[:_OPERATIONS]
    return [
        f"a step: {step_text(found.seconds)}, {operations(flops)}, {operations(rate)}/s, {rate / peak:.0%} of what "
        "this machine gives a matrix product now",
        *table([row(name, seconds, "") for name, seconds in parts]),
        f"the longest operations, of {found.steps} steps that were recorded:",
        *table([row(each.name, each.seconds, f"{each.calls:.3g} a step, {each.part}") for each in longest]),
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``beeline profile``; dotted ones, as of ``beeline train``, are read beside them."""
    parser.add_argument(
        "target",
        nargs="?",
        metavar="RECIPE|FILE|FOLDER",
        help=f"what would be trained: a recipe ({', '.join(recipe_names())}), a .yaml recipe, or data",
    )
    parser.add_argument("--steps", type=int, default=_STEPS, help="steps that are recorded (%(default)s)")
    parser.add_argument("--trace", metavar="FILE", help="write the record itself, for chrome://tracing or Perfetto")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")


def main(arguments: argparse.Namespace, flags: list[str], display: Display) -> None:
    """Run ``beeline profile``."""
    if arguments.target is None:
        raise UserError("name what would be trained: a recipe, a .yaml or .py file, or a folder or file of data")
    if arguments.json is not None:
        check_writable(Path(arguments.json))
    found = profile(arguments.target, flags, arguments.steps, display, arguments.trace)
    if arguments.json is not None:
        write_json(Path(arguments.json), dataclasses.asdict(found))

"""``beeline evaluate``: measure what a trained model makes, beside cheap baselines and real data."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beeline.cli import peers
from beeline.cli.console import Display
from beeline.cli.sample import add_sampling_arguments, sampling_options
from beeline.core.errors import UserError, unknown, whole_number
from beeline.core.files import check_writable, claim, write_bytes, write_json

if TYPE_CHECKING:
    from beeline.core.data import Examples
    from beeline.evaluate.evaluation import Evaluator
    from beeline.evaluate.records import Evaluation, Record
    from beeline.generate.engine import Engine

SPACE_NAMES = ("pixels", "pca-32", "classifier-a", "classifier-b")


def evaluate(
    run: str | Path,
    n: int = 1000,
    seed: int = 0,
    passes: Sequence[int] = (),
    spaces: Sequence[str] = SPACE_NAMES,
    modality: str | None = None,
    device: str = "auto",
    display: Display | None = None,
    likelihood: int = 0,
    members: int = 0,
    sweep: str | None = None,
    **options: Any,
) -> list[Record]:
    """Generate samples under the conditions of held-out examples, measure them and write an evaluation.

    Of fields also sheets of draws beside their truths, what a parameter does to them and, where ``members`` is given,
    ``ensembles.nc``: mean, deviation and quantiles of the draws for each input, beside the truth.

    Args:
        run: a run folder, a checkpoint or a model.safetensors.
        n: how many samples.
        seed: of the samples and of intervals.
        passes: network passes at which quality is measured too, on the same start noise.
        spaces: where samples are compared: pixels, pca-32, classifier-a, classifier-b.
        modality: file to use in place of the modality file that the model was trained with.
        device: cpu, cuda or auto.
        display: where progress goes; silent when None.
        likelihood: how many held-out and training examples to tell bits per dimension of; 0 for none.
        members: draws for each held-out input, in place of ``n``; 0 for as many as ``n`` makes.
        sweep: of fields, the parameter that is moved over its trained range; the first when None, ``none`` for none.
        options: a ``preset``, or fields of ``SampleConfig`` that differ from the run's.

    Raises:
        UserError: something given does not exist, does not fit or is out of range.
        RunError: one of the modality's own metrics failed; the others are written all the same.
    """
    from beeline.evaluate.curves import steps_for_passes
    from beeline.evaluate.field_sweep import chosen_scalar
    from beeline.evaluate.finish import renew_report
    from beeline.evaluate.measured import Asked, measured
    from beeline.evaluate.requests import real_examples
    from beeline.generate.likelihood import check_likelihood
    from beeline.generate.load import output_folder
    from beeline.train.folder import RunFolder

    n, seed = whole_number("n", n, 1), whole_number("seed", seed, 0)
    likelihood, members = whole_number("likelihood", likelihood, 0), whole_number("members", members, 0)
    check_spaces(spaces)
    display = display or Display("silent")
    engine = with_data(run, modality, device)
    home = output_folder(Path(run)) / "evaluations"
    check_writable(home)
    settings = engine.settings(**options)
    if likelihood:
        check_likelihood(engine, settings)
    scalar = chosen_scalar(engine, sweep)
    training, held_out = (real_examples(engine, split) for split in ("train", "held_out"))
    if passes:
        steps_for_passes(engine, settings, passes, held_out[0])
    evaluator = _evaluator(engine, Path(run), (training, held_out), spaces, display)
    n = members * len(evaluator.sets.held_out) if members else n
    asked = Asked(n, seed, settings, passes, likelihood, scalar, bool(members))
    found, files = measured(evaluator, Path(run), asked, display)
    _write(found, files, home, display)
    folder = RunFolder(home.parent)
    if renew_report(folder, engine, training, held_out):
        display.result(str(folder.report))
    found.refuse_failures()
    return list(found.records)


def _evaluator(
    engine: Engine, run: Path, sets: tuple[Examples, Examples], spaces: Sequence[str], display: Display
) -> Evaluator:
    """What measures the model, once it has said what it cannot measure."""
    from beeline.evaluate.evaluation import Evaluator

    with display.work("feature spaces"):
        evaluator = Evaluator(engine, run, *sets, spaces)
    for space, reason in evaluator.left_out.items():
        display.message(f"{space} left out: {reason}")
    return evaluator


def _write(found: Evaluation, files: Mapping[str, bytes], home: Path, display: Display) -> None:
    """Write an evaluation, and what belongs to it into a folder of its name; then tell what was found."""
    target = claim(home, "evaluation", ".json")
    for name, contents in files.items():
        write_bytes(target.with_suffix("") / name, contents)
    write_json(target, found.as_json())
    _show(found.records, display)
    display.result(_cost(found.protocol))
    display.result(str(target))


def check_spaces(spaces: Sequence[str]) -> None:
    """Refuse a space that there is not.

    Raises:
        UserError: naming it and its nearest neighbour.
    """
    for space in spaces:
        if space not in SPACE_NAMES:
            raise unknown("space", space, SPACE_NAMES)


def _cost(protocol: Mapping[str, Any]) -> str:
    """What the samples have cost, in one line."""
    passes, rate = protocol["passes"], protocol["samples_per_second"]
    each = str(passes) if isinstance(passes, int) else f"{min(passes)} to {max(passes)}"
    return f"{protocol['n']:,} samples at {rate:,.1f} a second, {each} network passes each, on {protocol['device']}"


def with_data(run: str | Path, modality: str | None, device: str) -> Engine:
    """A trained model whose samples can be compared with the data that it was trained on.

    Raises:
        UserError: there is no such model, or it comes from another library, with or without a step between.
    """
    from beeline.generate.imported import is_file_of_peer
    from beeline.generate.load import load, locate, read_description

    if isinstance(run, (str, Path)):
        foreign = peers.is_checkpoint(run) or is_file_of_peer(Path(run))
        training = {} if foreign else read_description(locate(Path(run))[1])["training"]
        if foreign or (isinstance(training, dict) and training.get("examples") == 0):
            raise UserError(
                f"{run}: comes from another library, without the data that samples would be compared with; beeline "
                "sample draws from it, and what beeline train --init makes of it on data of yours can be evaluated"
            )
    return load(run, modality, device)


def export(
    run: str | Path,
    n: int = 50_000,
    seed: int = 0,
    modality: str | None = None,
    device: str = "auto",
    display: Display | None = None,
    **options: Any,
) -> Path:
    """Draw samples of all classes in equal shares into one npz for evaluators outside; go on where a stopped call was.

    Args:
        run: a run folder, a checkpoint or a model.safetensors.
        n: how many samples.
        seed: of the samples.
        modality: file to use in place of the modality file that the model was trained with.
        device: cpu, cuda or auto.
        display: where progress goes; silent when None.
        options: a ``preset``, or fields of ``SampleConfig`` that differ from the run's.

    Raises:
        UserError: something given does not exist or does not fit, or samples are no 8-bit images of one size.
    """
    from beeline.evaluate.export import export as export_samples
    from beeline.generate.load import load, output_folder, samples_folder

    display = display or Display("silent")
    engine = load(run, modality, device)
    of_peer = engine.imported is not None
    home = samples_folder(engine, Path(run)) if of_peer else output_folder(Path(run)) / "evaluations"
    check_writable(home)
    with display.work("sampling") as progress:
        path = export_samples(engine, home, n, seed, engine.settings(**options), progress)
    display.result(str(path))
    return path


def _show(records: Sequence[Record], display: Display) -> None:
    """A table on a terminal, a line a number elsewhere."""
    if display.verbosity == "silent":
        return
    if not sys.stdout.isatty():
        for record in records:
            display.result(record.line())
        return
    from rich.console import Console
    from rich.table import Table

    from beeline.evaluate.records import BEATEN, short

    table = Table("metric", "space", "value", "95 % interval", "floor", "ceiling", "")
    for each in records:
        numbers = (each.value, each.low, each.high, each.floor, each.ceiling)
        value, low, high, floor, ceiling = (short(number) if number == number else "" for number in numbers)
        name = f" ({each.floor_name}{BEATEN if each.beaten else ''})" if each.floor_name else ""
        interval = f"{low} to {high}" if low else ""
        table.add_row(
            each.name, each.space, f"{value} {each.units}".strip(), interval, floor + name, ceiling, each.verdict()
        )
    Console(highlight=False).print(table)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``beeline evaluate``."""
    parser.add_argument("run", metavar="RUN", help="run folder, checkpoint or model.safetensors")
    parser.add_argument("-n", type=int, default=1000, help="number of samples (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the samples (0)")
    parser.add_argument(
        "--members",
        type=int,
        default=0,
        metavar="M",
        help="draws for each held-out input, in place of -n; of fields their mean, deviation and quantiles are kept "
        "beside the truths in ensembles.nc",
    )
    parser.add_argument(
        "--sweep",
        metavar="NAME",
        help="of fields, the parameter that is moved over its trained range (the first); none for none",
    )
    parser.add_argument(
        "--passes",
        type=int,
        nargs="+",
        default=[],
        metavar="P",
        help="measure at these network passes too: 4 8 12 16 20 50",
    )
    parser.add_argument(
        "--spaces", nargs="+", default=SPACE_NAMES, metavar="SPACE", help=f"of {', '.join(SPACE_NAMES)} (all)"
    )
    parser.add_argument(
        "--likelihood",
        type=int,
        nargs="?",
        const=100,
        default=0,
        metavar="N",
        help="bits per dimension of N held-out and N training examples too (100)",
    )
    parser.add_argument(
        "--export", type=int, metavar="N", help="only draw N samples into an npz of 8-bit images for evaluators outside"
    )
    add_sampling_arguments(parser)


def main(arguments: argparse.Namespace, flags: list[str], display: Display) -> None:
    """Run ``beeline evaluate``."""
    shared = (arguments.modality, arguments.device, display)
    options = sampling_options(arguments)
    if arguments.export is not None:
        export(arguments.run, arguments.export, arguments.seed, *shared, **options)
    else:
        asked = (arguments.n, arguments.seed, arguments.passes, arguments.spaces)
        evaluate(arguments.run, *asked, *shared, arguments.likelihood, arguments.members, arguments.sweep, **options)

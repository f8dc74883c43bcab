"""``beeline evaluate``: score a trained model by its modality's own metrics."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beeline.cli.console import Display
from beeline.cli.sample import add_sampling_arguments, sampling_options
from beeline.core.errors import UserError, whole_number
from beeline.core.files import check_writable, claim, write_json

if TYPE_CHECKING:
    from beeline.core.data import Examples
    from beeline.evaluate.scores import Score
    from beeline.generate.engine import Engine


def evaluate(
    run: str | Path,
    n: int = 1000,
    seed: int = 0,
    modality: str | None = None,
    device: str = "auto",
    display: Display | None = None,
    **options: Any,
) -> list[Score]:
    """Generate samples under the conditions of held-out examples and score them.

    Args:
        run: a run folder, a checkpoint or a model.safetensors.
        n: how many samples.
        seed: of the samples.
        modality: file to use in place of the modality file that the model was trained with.
        device: cpu, cuda or auto.
        display: where progress goes; silent when None.
        options: fields of ``SampleConfig`` that differ from the run's.

    Raises:
        UserError: something given does not exist, does not fit or is out of range.
        RunError: a metric failed; the others are written all the same.
    """
    from beeline.evaluate.finish import renew_report
    from beeline.evaluate.scores import evaluate as score_engine
    from beeline.evaluate.scores import refuse_failures, scores_record
    from beeline.generate.load import load, output_folder
    from beeline.train.folder import RunFolder

    n = whole_number("n", n, 1)
    display = display or Display("silent")
    engine = load(run, modality, device)
    home = output_folder(Path(run)) / "evaluations"
    check_writable(home)
    training, held_out = (_examples(engine, split) for split in ("train", "held_out"))
    if not engine.modality.metrics():
        raise UserError(f"{run}: its modality has no metrics to score by")
    with display.work("sampling") as progress:
        scores, samples = score_engine(engine, training, held_out, n, seed, engine.settings(**options), progress)
    target = claim(home, "evaluation", ".json")
    write_json(target, scores_record(scores, samples))
    for score in scores:
        display.result(score.line())
    display.result(str(target))
    folder = RunFolder(home.parent)
    if renew_report(folder, engine, training, held_out):
        display.result(str(folder.report))
    refuse_failures(scores)
    return scores


def _examples(engine: Engine, split: str) -> Examples:
    """The examples of a split, which may not be at hand any more."""
    try:
        examples = engine.modality.dataset(split)
        if len(examples):
            return examples
    except Exception as error:
        raise UserError(f"dataset({split!r}) failed ({type(error).__name__}: {error})") from error
    raise UserError(f"dataset({split!r}) holds no example to score against")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``beeline evaluate``."""
    parser.add_argument("run", metavar="RUN", help="run folder, checkpoint or model.safetensors")
    parser.add_argument("-n", type=int, default=1000, help="number of samples (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the samples (0)")
    add_sampling_arguments(parser)


def main(arguments: argparse.Namespace, flags: list[str], display: Display) -> None:
    """Run ``beeline evaluate``."""
    evaluate(
        arguments.run,
        arguments.n,
        arguments.seed,
        arguments.modality,
        arguments.device,
        display,
        **sampling_options(arguments),
    )

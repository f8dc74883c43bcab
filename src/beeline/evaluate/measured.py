"""All that an evaluation measures: of samples, by time, by passes, by channel, and of real examples under the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from beeline.core.reporting import Reporter
from beeline.evaluate.cell_pages import cell_pages
from beeline.evaluate.curves import held_out_loss_by_time, quality_by_passes
from beeline.evaluate.evaluation import Evaluator, evaluation
from beeline.evaluate.field_pages import field_pages
from beeline.evaluate.likelihood import measure_likelihood
from beeline.evaluate.records import Evaluation
from beeline.generate.scalars import Scalar
from beeline.samplers.config import SampleConfig


@dataclass(frozen=True)
class Asked:
    """What is to be measured.

    Args:
        n: how many samples.
        seed: of the samples and of intervals.
        settings: how they are drawn.
        passes: network passes at which quality is measured too.
        likelihood: how many real examples to tell bits per dimension of; 0 for none.
        scalar: of fields, the parameter that is moved; None for none.
        with_ensembles: of fields, whether mean, deviation and quantiles of the draws for each input are kept.
    """

    n: int
    seed: int
    settings: SampleConfig
    passes: Sequence[int] = ()
    likelihood: int = 0
    scalar: Scalar | None = None
    with_ensembles: bool = False


def measured(
    evaluator: Evaluator, run: Path, asked: Asked, reporter: Reporter
) -> tuple[Evaluation, Mapping[str, bytes]]:
    """Draw samples and measure all that is asked for.

    Args:
        evaluator: of the model.
        run: where it was opened from.
        asked: what.
        reporter: shows progress.

    Returns:
        the numbers, and the files that belong to them, by name.
    """
    engine, held_out, seed, settings = evaluator.engine, evaluator.held_out, asked.seed, asked.settings
    with reporter.work("sampling") as progress:
        drawn = evaluator.draw(asked.n, seed, settings, progress)
    with reporter.work("measuring"):
        found = evaluation(evaluator, drawn, "evaluate")
        curves = {"held_out_loss_by_time": held_out_loss_by_time(engine, run, held_out, seed)}
        pages = field_pages(evaluator, drawn, seed, settings, asked.scalar, asked.with_ensembles)
    with reporter.work("pictures"):
        cells = cell_pages(evaluator, drawn, seed)
    for line in pages.left_out:
        reporter.message(line)
    if pages.curves:
        curves["by_channel"] = pages.curves
    if cells.curves:
        curves["cells"] = dict(cells.curves)
    if asked.passes:
        with reporter.work("quality by passes") as progress:
            curves["passes"] = quality_by_passes(evaluator, settings, asked.passes, found.records, progress)
    found = dataclasses.replace(found, curves=curves)
    if asked.likelihood:
        with reporter.work("likelihood") as progress:
            found = measure_likelihood(engine, evaluator.whole, asked.likelihood, seed, progress).added_to(found)
    return found, {**pages.files, **cells.files}

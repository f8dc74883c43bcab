"""What follows training, and what follows later measurements: samples, scores, report."""

from __future__ import annotations

from dataclasses import replace

from beeline.core.data import Examples
from beeline.core.files import sha256, write_json, write_text
from beeline.core.reporting import Reporter
from beeline.evaluate.cell_pages import cell_pages
from beeline.evaluate.evaluation import Evaluator, Progress, evaluation
from beeline.evaluate.figures import draw_figures
from beeline.evaluate.records import Evaluation
from beeline.evaluate.run_report import run_report
from beeline.generate.engine import Engine
from beeline.generate.load import open_engine
from beeline.metrics.catalogue import FRECHET
from beeline.train.folder import RunFolder
from beeline.train.setup import Prepared


def finish(folder: RunFolder, prepared: Prepared, reporter: Reporter) -> None:
    """Sample a trained run, score it and write its report.

    Args:
        folder: the run, with its model.
        prepared: what it was trained with.
        reporter: shows progress and scores.

    Raises:
        RunError: a metric failed; everything else is written.
    """
    options, held_out = prepared.config.train, prepared.held_out
    engine = open_engine(folder.path, prepared.source, options.device)
    with reporter.work("sampling") as progress:
        figures = draw_figures(engine, prepared.training, held_out, folder.samples, progress)
    found: Evaluation | None = None
    if options.score_samples:
        with reporter.work("scoring") as progress:
            found = short_evaluation(engine, folder, prepared, progress)
        write_json(folder.scores, found.as_json())
        for record in found.records:
            reporter.result(record.line())
    write_text(folder.report, run_report(folder, engine, figures))
    if found is not None:
        found.refuse_failures()


def short_evaluation(engine: Engine, folder: RunFolder, prepared: Prepared, progress: Progress) -> Evaluation:
    """What a run is scored by when it ends: its modality's own metrics, and one distance that needs no training.

    Args:
        engine: its model.
        folder: the run.
        prepared: what it was trained with.
        progress: called with (steps done, steps in all).
    """
    evaluator = Evaluator(engine, folder.path, prepared.training, prepared.held_out, ["pca-32"], [FRECHET])
    drawn = evaluator.draw(prepared.config.train.score_samples, 0, progress=progress)
    found, cells = evaluation(evaluator, drawn, "train"), cell_pages(evaluator, drawn, 0, umap=False)
    return replace(found, curves={**found.curves, "cells": cells.curves}) if cells.curves else found


def renew_report(folder: RunFolder, engine: Engine, training: Examples, held_out: Examples) -> bool:
    """Write a finished run's report again, with what has been measured since.

    Args:
        folder: the run.
        engine: a model.
        training: examples that it has seen.
        held_out: examples that it has not.

    Returns:
        whether there was a report to write again, about the weights of this very model.
    """
    if not folder.is_finished() or engine.origin["sha256"] != sha256(folder.weights):
        return False
    figures = draw_figures(engine, training, held_out, folder.samples)
    write_text(folder.report, run_report(folder, engine, figures))
    return True

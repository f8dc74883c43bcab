"""The report of a training run."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence

import torch

from beeline.core.units import amount, clock
from beeline.evaluate.report import ReportContent, build_report
from beeline.evaluate.scores import Score
from beeline.generate.engine import Engine
from beeline.model.cost import network_cost
from beeline.model.format import library_version
from beeline.train.folder import RunFolder


def run_report(folder: RunFolder, engine: Engine, pictures: Mapping[str, bytes], scores: Sequence[Score]) -> str:
    """The page of a finished run.

    Args:
        folder: the run.
        engine: its model.
        pictures: PNG bytes by caption.
        scores: of its samples.
    """
    config, log = folder.read_config(), folder.read_log()
    origin, train, sampling = config["origin"], config["train"], engine.defaults
    cost = network_cost(engine.network, engine.codec)
    seconds = _training_seconds(log)
    samples = log[-1]["samples"] if log else 0
    rate = samples / seconds if seconds else 0.0
    facts = {
        "model": f"{amount(cost.parameters)} parameters, {amount(cost.flops)}FLOP a pass of {cost.tokens} tokens",
        "process": f"{config['process']['path']} path, {config['objective']['prediction']} prediction",
        "training": f"{engine.origin['step']:,} steps of {train['batch_size']:,} samples",
        "time": f"{clock(seconds)} of training, {rate:,.0f} samples a second",
        "sampling": f"{sampling.sampler}, {sampling.steps} steps, cfg_scale {sampling.cfg_scale:g}",
        "machine": f"{platform.machine()}, {train['device']}, {train['threads']} threads, {train['precision']}",
        "software": f"beeline {library_version()}, torch {torch.__version__}, Python {platform.python_version()}",
        "weights": f"sha256 {engine.origin['sha256']}",
    }
    again = f"{folder.path}-again"
    commands = [
        shlex.join(["beeline", "train", origin["target"], "--out", again, *origin["flags"]]),
        shlex.join(["beeline", "train", str(folder.config), "--out", again]) + "  # exactly as it was settled here",
        shlex.join(["beeline", "sample", str(folder.path), "-n", "16", "--seed", "0"]),
        shlex.join(["beeline", "evaluate", str(folder.path)]),
    ]
    summary = f"A diffusion transformer trained on {origin['target']} with Beeline."
    return build_report(ReportContent(folder.path.name, summary, pictures, scores, log, facts, config, commands))


def _training_seconds(log: Sequence[Mapping[str, float]]) -> float:
    """Time spent in steps, from the rate of each stretch between two lines of the log."""
    total, before = 0.0, 0.0
    for line in log:
        total += (line["samples"] - before) / max(line["samples_per_second"], 1e-9)
        before = line["samples"]
    return total

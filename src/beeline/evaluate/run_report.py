"""The report of a training run: what lies in its folder, as blocks of a page."""

from __future__ import annotations

import platform
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from beeline.core.config import flatten
from beeline.core.errors import UserError
from beeline.core.files import read_json
from beeline.core.units import amount, clock, operations
from beeline.evaluate.blocks import Block, Card, Cards, Code, Fold, Grid, Pictures, Section, Table, Text
from beeline.evaluate.cell_charts import cell_sections
from beeline.evaluate.data_card import data_section
from beeline.evaluate.field_charts import field_sections
from beeline.evaluate.report import build_report
from beeline.evaluate.run_charts import loss_unit, passes_charts, points, time_chart, training_charts, width_chart
from beeline.evaluate.scales import short, spread
from beeline.evaluate.score_table import records_of, score_cards, score_table
from beeline.generate.engine import Engine
from beeline.model.cost import Cost, gemm_peak, network_cost
from beeline.model.format import library_version
from beeline.train.folder import RunFolder

_PICTURES_OF_PROGRESS = 8
_PASSES_OF_A_STEP = 3  # forward, and backward at twice the products
_MEANINGS = {
    "config.yaml": "every option, settled",
    "model.safetensors": "averaged weights",
    "model.json": "what sampling needs to know beside them",
    "log.jsonl": "what was measured while training",
    "scores.json": "scores, with the protocol of each",
    "samples": "the pictures above, with the provenance of each",
    "checkpoints": "everything that resuming needs",
    "snapshots": "averages from which those of other widths are rebuilt",
    "evaluations": "what beeline evaluate measured",
}


def run_report(folder: RunFolder, engine: Engine, figures: Sequence[Section] = ()) -> str:
    """The page of a finished run, from what lies in its folder.

    Args:
        folder: the run.
        engine: its model.
        figures: sections of pictures.
    """
    config, log = folder.read_config(), folder.read_log()
    unit = loss_unit(config["objective"])
    cost = network_cost(engine.network, engine.codec)
    scores = _of_these_weights(_contents(folder.scores), engine)
    records, curves = records_of(scores), scores.get("curves") or {}
    found_at = {path: _contents(path) for path in _newest_first(folder.path / "evaluations")}
    evaluations = {path: _of_these_weights(contents, engine) for path, contents in found_at.items()}
    passes: Mapping[str, Any] = next(
        (found for each in evaluations.values() if (found := (each.get("curves") or {}).get("passes"))), {}
    )
    of_fields: tuple[Mapping[str, Any], Path] = next(
        (
            (found, path.with_suffix(""))
            for path, each in evaluations.items()
            if (found := (each.get("curves") or {}).get("by_channel"))
        ),
        ({}, folder.path),
    )
    of_cells: Mapping[str, Any] = next(
        (found for each in (*evaluations.values(), scores) if (found := (each.get("curves") or {}).get("cells"))), {}
    )
    later = next((each for each in evaluations.values() if each.get("records")), {})
    blocks: list[Block] = [
        Cards([*_numbers(cost, engine, log, unit), *score_cards(records)]),
        *figures,
        _scores("Scores", records, scores.get("protocol") or {}),
        _scores("Scores of beeline evaluate", records_of(later), later.get("protocol") or {}),
        *cell_sections(of_cells),
        Section(
            "Training",
            [Grid([*training_charts(log, unit), time_chart(log, curves, unit), *_widths(folder)]), _progress(folder)],
        ),
        *field_sections(*of_fields),
        Section("Quality by network passes", passes_charts(passes), _PASSES_NOTE) if passes else Text(""),
        _speed(config["train"], cost, log),
        data_section(_contents(folder.description).get("card") or {}),
        _what_was_run(config, engine, cost, folder),
        _again(folder, config["origin"]),
        _files(folder),
    ]
    summary = f"A diffusion transformer trained on {config['origin']['target']} with Beeline."
    return build_report(folder.path.name, blocks, summary)


_PASSES_NOTE = (
    "The same starts and conditions at every number of passes; guidance and two-stage solvers cost two a step."
)


_BUSY = "not known: the machine was busier while this page was made than in training"


def _numbers(cost: Cost, engine: Engine, log: Sequence[Mapping[str, Any]], unit: str) -> list[Card]:
    cards = [Card("parameters", amount(cost.parameters), f"{operations(cost.flops)} a pass of {cost.tokens:,} tokens")]
    if log:
        seconds = _training_seconds(log)
        cards.append(
            Card("training", clock(seconds), f"{engine.origin['step']:,} steps, {amount(log[-1]['samples'])} samples")
        )
        cards.append(Card("speed", f"{log[-1]['samples'] / max(seconds, 1e-9):,.0f}/s", "training samples"))
    if held_out := points(log, "held_out_loss"):
        step, loss = min(held_out, key=lambda point: point[1])
        note = "its lowest" if loss == held_out[-1][1] else f"lowest {short(loss, 4)} at step {step:,.0f}"
        cards.append(Card(f"held out: {unit}", short(held_out[-1][1], 4), note))
    return cards


def _scores(title: str, records: Sequence[Mapping[str, Any]], protocol: Mapping[str, Any]) -> Section:
    names = ("sampler", "steps", "passes", "cfg_scale", "seed", "precision")
    known = [(name.replace("_", " "), protocol[name]) for name in names if protocol.get(name) is not None]
    drawn = ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in known)
    n = max((record.get("n") or 0 for record in records), default=0)
    note = f"On {n:,} samples{f': {drawn}' if drawn else ''}."
    if any(record.get("ceiling") is not None for record in records):
        note += (
            " The floor is what a cheap baseline reaches, the ceiling what real examples do. "
            "A bar is drawn where the baseline is known to be the worse."
        )
    return Section(title, [score_table(records)], note)


def _progress(folder: RunFolder) -> Block:
    """Pictures that were drawn beside training, a few of them, evenly spread."""
    drawn = sorted((folder.samples / "steps").glob("step-*.png"))
    chosen = [drawn[round(index)] for index in spread(len(drawn), _PICTURES_OF_PROGRESS)]
    pictures = {f"step {int(path.stem.partition('-')[2]):,}": path.read_bytes() for path in chosen}
    return Fold("The same samples as training went on", [Pictures(pictures)])


def _widths(folder: RunFolder) -> list[Block]:
    widths = _contents(folder.path / "ema_widths.json")
    return [width_chart(widths)] if widths else []


def _speed(train: Mapping[str, Any], cost: Cost, log: Sequence[Mapping[str, Any]]) -> Section:
    """Speed of training against that of bare matrix products on the same machine."""
    rates = [line["samples_per_second"] for line in log]
    if not rates:
        return Section("Speed", [])
    rate, threads = statistics.median(rates), train.get("threads")
    needed = _PASSES_OF_A_STEP * cost.flops
    rows = [
        ("training", f"{rate:,.0f} samples a second, {rate * cost.tokens:,.0f} tokens a second (median of the log)"),
        (
            "work",
            f"{operations(needed)} a sample: {_PASSES_OF_A_STEP} x the {operations(cost.flops)} of a pass forward",
        ),
        ("achieved", f"{operations(needed * rate)} a second"),
    ]
    if train["device"] == "cpu" or torch.cuda.is_available():
        peak = gemm_peak(train["device"], train["precision"], threads, train.get("matmul", "exact"))
        where = f"{train['device']}, {train['precision']}" + (
            f", {threads} threads" if train["device"] == "cpu" else ""
        )
        rows += [
            ("peak", f"{operations(peak)} a second: the fastest matrix product as this page was made ({where})"),
            ("MFU", f"{needed * rate / peak:.1%} (achieved / peak)" if needed * rate < peak else _BUSY),
        ]
    waits = [value for _, value in points(log, "data_wait")]
    if waits:
        rows.append(("waiting for data", f"{statistics.fmean(waits):.1%} of the time"))
    return Section("Speed", [Table(rows)], "One multiply or one add is one FLOP.")


def _what_was_run(config: Mapping[str, Any], engine: Engine, cost: Cost, folder: RunFolder) -> Section:
    train, sampling = config["train"], engine.defaults
    examples = _contents(folder.description).get("training", {}).get("examples")
    forms = ", ".join(" x ".join(map(str, form)) for form, _ in engine.codec.forms[:3]) if cost.tokens else ""
    more = f" and {len(engine.codec.forms) - 3} more" if len(engine.codec.forms) > 3 else ""
    is_grid = engine.codec.tokenizer.axes > 0
    rows = [
        ("data", f"{config['origin']['target']}: {examples:,} training examples" if examples else ""),
        ("forms", forms + more if is_grid else ""),
        ("model", f"{amount(cost.parameters)} parameters, {cost.tokens:,} tokens of {cost.width} numbers"),
        ("process", f"{config['process']['path']} path, {config['objective']['prediction']} prediction"),
        ("training", f"{engine.origin['step'] or 0:,} steps of {train['batch_size']:,} samples"),
        ("sampling", f"{sampling.sampler}, {sampling.steps} steps, cfg_scale {sampling.cfg_scale:g}"),
        ("machine", f"{platform.machine()}, {train['device']}, {train['threads']} threads, {train['precision']}"),
        ("software", f"beeline {library_version()}, torch {torch.__version__}, Python {platform.python_version()}"),
        ("weights", f"sha256 {engine.origin['sha256']}"),
    ]
    options = [(name, str(value)) for name, value in flatten(config).items()]
    return Section("What was run", [Table([row for row in rows if row[1]]), Fold("Every option", [Table(options)])])


def _again(folder: RunFolder, origin: Mapping[str, Any]) -> Section:
    again, run = f"{folder.path}-again", str(folder.path)
    lines = [
        shlex.join(["beeline", "train", origin["target"], "--out", again, *origin["flags"]]),
        shlex.join(["beeline", "train", str(folder.config), "--out", again]) + "  # exactly as it was settled here",
        shlex.join(["beeline", "sample", run, "-n", "16", "--seed", "0"]),
        shlex.join(["beeline", "evaluate", run]),
    ]
    return Section("Make it again", [Code(lines)])


def _files(folder: RunFolder) -> Section:
    rows = [
        (f"{name}/" if (folder.path / name).is_dir() else name, meaning)
        for name, meaning in _MEANINGS.items()
        if (folder.path / name).exists()
    ]
    return Section("Files", [Table(rows)], f"In {folder.path}:")


def _of_these_weights(contents: Mapping[str, Any], engine: Engine) -> Mapping[str, Any]:
    """Measurements, unless they say that they are of other weights than these."""
    about = (contents.get("protocol") or {}).get("sha256")
    return contents if about in (None, engine.origin["sha256"]) else {}


def _newest_first(evaluations: Path) -> list[Path]:
    return sorted(evaluations.glob("evaluation-*.json"), reverse=True)


def _contents(path: Path) -> Mapping[str, Any]:
    """A JSON file that may be missing or damaged: a report shows what there is."""
    try:
        contents = read_json(path)
    except UserError:
        return {}
    return contents if isinstance(contents, dict) else {}


def _training_seconds(log: Sequence[Mapping[str, Any]]) -> float:
    """Time spent in steps, from the rate of each stretch between two lines of the log."""
    total, before = 0.0, 0.0
    for line in log:
        total += (line["samples"] - before) / max(line["samples_per_second"], 1e-9)
        before = line["samples"]
    return total

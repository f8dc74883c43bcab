"""``beeline compare``: trained models side by side, on the same data, seeds and measures."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beeline.cli.console import Display
from beeline.cli.evaluate import SPACE_NAMES, check_spaces
from beeline.cli.sample import add_sampling_arguments, sampling_options
from beeline.core.errors import UserError, whole_number
from beeline.core.files import check_writable, claim, write_bytes, write_json, write_text

if TYPE_CHECKING:
    from beeline.evaluate.comparison import Axes, Comparison, Entry
    from beeline.evaluate.evaluation import Evaluator

_SHOWN = 16


def compare(
    runs: Sequence[str | Path],
    n: int = 1000,
    seed: int = 0,
    passes: Sequence[int] = (),
    samplers: Sequence[str] = (),
    scales: Sequence[float] = (),
    spaces: Sequence[str] = SPACE_NAMES,
    out: str | Path | None = None,
    device: str = "auto",
    display: Display | None = None,
    members: int = 0,
    **options: Any,
) -> Comparison:
    """Draw from trained models under the same seeds and conditions and hold their numbers side by side.

    Writes ``comparison.json`` and ``comparison.csv`` (one row a number and entry), ``report.html`` and a picture of the
    samples of each entry.

    Args:
        runs: run folders, checkpoints or files of weights; the others are held against the first.
        n: how many samples of each.
        seed: of the samples.
        passes: network passes at which every run is sampled, by as many steps as cost no more; its own steps when
            empty.
        samplers: by which every run is sampled; its own when empty.
        scales: of guidance, at which every run is sampled; its own when empty.
        spaces: where samples are compared: pixels, pca-32, classifier-a, classifier-b.
        out: folder to write into; the next free ``comparison-001`` beside the first run when None.
        device: cpu, cuda or auto.
        display: where progress goes; silent when None.
        members: draws for each held-out input, in place of ``n``; 0 for as many as ``n`` makes.
        options: a ``modality`` file in place of those that the runs were trained with, a ``preset``, or fields of
            ``SampleConfig`` that differ from the runs' own.

    Returns:
        what was measured.

    Raises:
        UserError: something given does not exist, does not fit or is out of range, or the runs do not compare.
    """
    from beeline.evaluate.comparison import Axes
    from beeline.evaluate.comparison import compare as compare_entries
    from beeline.generate.load import output_folder

    modality = options.pop("modality", None)
    n, seed, members = whole_number("n", n, 1), whole_number("seed", seed, 0), whole_number("members", members, 0)
    check_spaces(spaces)
    display = display or Display("silent")
    paths = [Path(run) for run in runs]
    if not paths:
        raise UserError("compare: needs a run at least, such as beeline compare runs/a runs/b")
    home = output_folder(paths[0]).parent if out is None else Path(out)
    check_writable(home)
    if out is not None and home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise UserError(f"--out {out}: exists and is no empty folder; a comparison overwrites nothing: name another")
    evaluator, entries = _opened(paths, Axes(passes, samplers, scales), spaces, modality, device, options, display)
    n = members * len(evaluator.sets.held_out) if members else n
    found = compare_entries(evaluator, entries, n, seed, display.work, "compare")
    given: dict[str, Any] = {"n": None if members else n, "seed": seed, "members": members or None, "passes": passes}
    given |= {"samplers": samplers, "scales": scales, "spaces": spaces if tuple(spaces) != SPACE_NAMES else ()}
    given |= {"modality": modality, "device": device if device != "auto" else None}
    _write(found, claim(home, "comparison") if out is None else home, _command(paths, given, options), display)
    return found


def _opened(
    paths: Sequence[Path],
    axes: Axes,
    spaces: Sequence[str],
    modality: str | None,
    device: str,
    options: Mapping[str, Any],
    display: Display,
) -> tuple[Evaluator, list[Entry]]:
    """What measures all of them, and the ways in which they are sampled; nothing has been drawn yet.

    Raises:
        UserError: a run cannot be opened or sampled so, or the runs do not compare.
    """
    from beeline.cli.evaluate import with_data
    from beeline.evaluate.comparison import entries_of
    from beeline.evaluate.comparison_checks import check_same_data, check_same_examples
    from beeline.evaluate.evaluation import Evaluator, things_of
    from beeline.evaluate.requests import real_examples

    engines = [with_data(path, modality, device) for path in paths]
    sets = [(real_examples(engine, "train"), real_examples(engine, "held_out")) for engine in engines]
    measured = [things_of(engine.modality) or each for engine, each in zip(engines, sets, strict=True)]
    check_same_data([(path, engine, *each) for path, engine, each in zip(paths, engines, measured, strict=True)])
    ways = [
        entries_of(path, name, engine, axes, held_out[0], options)
        for path, name, engine, (_, held_out) in zip(paths, _names(paths), engines, sets, strict=True)
    ]
    with display.work("feature spaces"):
        evaluator = Evaluator(engines[0], paths[0], *sets[0], spaces, own_intervals=True)
        known = [evaluator.held_out]
        for path, whole, each in zip(paths[1:], sets[1:], measured[1:], strict=True):
            same = check_same_examples(paths[0], evaluator, path, *each)
            known.append(same if each is whole else whole[1])
    for space, reason in evaluator.left_out.items():
        display.message(f"{space} left out: {reason}")
    pairs = zip(ways, known, strict=True)
    return evaluator, [dataclasses.replace(each, held_out=held_out) for own, held_out in pairs for each in own]


def _command(paths: Sequence[Path], given: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """The command line that makes a comparison again, with every flag that was given."""
    words = ["beeline", "compare", *map(str, paths)]
    for name, value in given.items():
        values = list(value) if isinstance(value, list | tuple) else [value]
        if values and value is not None:
            words += [f"{'-' if len(name) == 1 else '--'}{name}", *map(str, values)]
    for name, value in options.items():
        values = list(value) if isinstance(value, list | tuple) else ["all" if value is None else value]
        words += [f"--{name.replace('_', '-')}", ",".join(map(str, values))]
    return shlex.join(words)


def _names(paths: Sequence[Path]) -> list[str]:
    """What to call the runs: their folders' names, paths where two have one name, numbered where those are one."""
    names = [path.name for path in paths]
    whole = [name if names.count(name) == 1 else str(path) for path, name in zip(paths, names, strict=True)]
    before = [whole[:place].count(name) for place, name in enumerate(whole)]
    return [f"{name} ({count + 1})" if count else name for name, count in zip(whole, before, strict=True)]


def _write(found: Comparison, folder: Path, command: str, display: Display) -> None:
    from beeline.evaluate.comparison_page import comparison_page, words
    from beeline.generate.write import picture_bytes

    folder.mkdir(parents=True, exist_ok=True)
    pictures = [
        picture_bytes(each.entry.engine.modality, each.drawn.samples.examples[:_SHOWN]) for each in found.measured
    ]
    for index, (each, png) in enumerate(zip(found.measured, pictures, strict=True)):
        name = "".join(c if c.isalnum() else "-" for c in each.entry.name)
        write_bytes(folder / f"samples-{index + 1:02}-{name}.png", png)
    rows = found.rows()
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows({key: "" if value != value else value for key, value in row.items()} for row in rows)
    write_text(folder / "comparison.csv", text.getvalue())
    write_json(folder / "comparison.json", found.as_json())
    write_text(folder / "report.html", comparison_page(found, pictures, command))
    for record in found.records:
        space = "" if record.space in ("modality", "physical") else f" ({record.space})"
        told = (words(found, index, record) for index in range(len(found.measured)))
        cells = (
            f"{measured.entry.name} {value}{f' [{apart}]' if apart else ''}"
            for measured, (value, apart) in zip(found.measured, told, strict=True)
        )
        display.result(f"{record.name}{space}: {'; '.join(cells)}")
    display.result(str(folder / "comparison.csv"))
    display.result(str(folder / "report.html"))


def draw_benchmarks(paths: Sequence[Path], out: str | Path | None, display: Display) -> Path:
    """Draw files of figures, as ``python -m benchmarks.peers --json FILE`` writes them, side by side.

    Args:
        paths: of the files.
        out: folder to write into; the next free ``comparison-001`` beside the first file when None.
        display: where the page's path goes.

    Raises:
        UserError: a file is no benchmark.
    """
    from beeline.evaluate.benchmark_page import benchmark_page, read_benchmark

    found = dict(zip(_names(paths), map(read_benchmark, paths), strict=True))
    home = paths[0].parent if out is None else Path(out)
    check_writable(home)
    folder = claim(home, "comparison") if out is None else home
    folder.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["beeline", "compare", *map(str, paths), *([] if out is None else ["--out", str(out)])])
    write_text(folder / "report.html", benchmark_page(found, command))
    display.result(str(folder / "report.html"))
    return folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``beeline compare``."""
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        help="run folders, checkpoints or weights, held against the first; or JSON files of benchmarks",
    )
    parser.add_argument("-n", type=int, default=1000, help="samples of each (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the samples of all (0)")
    parser.add_argument(
        "--members", type=int, default=0, metavar="M", help="draws for each held-out input, in place of -n"
    )
    parser.add_argument(
        "--passes", type=int, nargs="+", default=[], metavar="P", help="sample every run at these network passes"
    )
    parser.add_argument("--samplers", nargs="+", default=[], metavar="NAME", help="sample every run by these samplers")
    parser.add_argument(
        "--scales", type=float, nargs="+", default=[], metavar="S", help="sample every run at these scales of guidance"
    )
    parser.add_argument(
        "--spaces", nargs="+", default=SPACE_NAMES, metavar="SPACE", help=f"of {', '.join(SPACE_NAMES)} (all)"
    )
    parser.add_argument("--out", metavar="FOLDER", help="where to write (comparison-001 beside the first run)")
    add_sampling_arguments(parser)


def main(arguments: argparse.Namespace, flags: list[str], display: Display) -> None:
    """Run ``beeline compare``."""
    asked = (arguments.n, arguments.seed, arguments.passes, arguments.samplers, arguments.scales)
    options = sampling_options(arguments)
    paths = [Path(run) for run in arguments.runs]
    if all(path.suffix == ".json" for path in paths):
        if options or arguments.members or arguments.modality or asked != (1000, 0, [], [], []):
            raise UserError("files of benchmarks are drawn as they are: leave out all options but --out")
        draw_benchmarks(paths, arguments.out, display)
        return
    where = (arguments.out, arguments.device, display, arguments.members)
    compare(arguments.runs, *asked, arguments.spaces, *where, modality=arguments.modality, **options)

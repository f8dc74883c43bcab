"""Real cells: a held-out population predicted from its control cells, beside the cheap answers, for each cell type.

python -m benchmarks.cells kang_ifnb.h5ad [--only TYPE ...] [--how noise] [--seeds 0] [--out runs/cells] [--json FILE]

Trains the recipe kang with the stimulated cells of each type held out in turn, draws an answer for every one of them
from control cells of its type, and prints what that gives beside the floors, and the seconds of training at the rate of
its steps. ``--how`` says what a path starts from and what a token is: noise (the recipe: a cell by its principal
components, beside 32 control cells that it attends to), autoencoder (by latents of its counts, made first), sets (32
cells, beside as many), genes (a token for each, some of them in training) or control (from a control cell, by optimal
transport). A row whose training was stopped goes on where it was; one that has been measured is read again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.commands import run, told

TYPES = ("B cells", "CD14+ Monocytes", "CD4 T cells", "CD8 T cells", "FCGR3A+ Monocytes")
FLOORS = ("control copy", "shifted control", "shifted control, cut at 0")
COLUMNS = ("--cells.perturbation_key=condition", "--cells.control=ctrl", "--cells.context=cell_type")
LATENTS = ("--latent", "10", "--steps", "600")
HOW = {
    "noise": (),
    "control": (
        "--data.start=control",
        "--process.source=condition",
        "--process.end=control",
        "--data.controls=0",
        "--data.controls_dropout=0",
    ),
    "autoencoder": (),
    "sets": ("--data.tokens=cells", "--data.set_size=32", "--train.batch_size=8", "--train.steps=1000"),
    "genes": (
        "--data.tokens=genes",
        "--data.genes_in_training=128",
        "--train.batch_size=16",
        "--train.steps=1000",
        "--model.hidden_size=64",
        "--model.num_heads=1",
        "--sample.steps=10",
    ),
}
SHOWN = ("energy distance", "delta correlation", "discrimination cosine")


def measured(
    path: Path, cell_type: str, seed: int, out: Path, how: str, words: Sequence[str]
) -> tuple[list[dict[str, Any]], float]:
    """Records of a run whose held-out population is the stimulated cells of a type, and seconds of its training."""
    folder = out / f"{cell_type.split()[0].lower().replace('+', '')}-{cell_type.split()[1].lower()}-{seed}-{how}"
    if not list(folder.glob("evaluations/*.json")):
        where, unseen = str(path.resolve()), f"held_out_populations=cell_type={cell_type},condition=stim"
        asked = ["--data.path", where, f"--data.{unseen}", f"--train.seed={seed}", *HOW[how], *words]
        if how == "autoencoder":
            latents = str(folder.with_name(f"{folder.name}-latents"))
            run("autoencode", where, "--out", latents, *COLUMNS, f"--cells.{unseen}", *LATENTS, f"--seed={seed}")
            asked.append(f"--data.autoencoder={latents}")
        kept = ["--train.sample_every=0", "--train.ema_snapshots=0", "--out", str(folder), "--resume"]
        run("train", "kang", *asked, *kept)
        run("evaluate", str(folder), "-n", "200", "--spaces", "pixels")
    found: dict[str, Any] = json.loads(sorted(folder.glob("evaluations/*.json"))[-1].read_text())
    records: list[dict[str, Any]] = found["records"]
    return records, seconds(folder)


def seconds(folder: Path) -> float:
    """Of training, at the rate of its steps, without what is done between them."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    begins = [0, *(line["samples"] for line in lines)]
    spans = zip(lines, begins, strict=False)
    return float(sum((line["samples"] - begin) / line["samples_per_second"] for line, begin in spans))


def row(records: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """Value, floors and ceiling of each number that is shown."""
    own = {each["metric"]: each for each in records if each["space"] == "modality"}
    wanted = [own[name] for name in SHOWN if name in own]
    return {
        each["metric"]: [each["value"], *(each["floors"].get(name) for name in FLOORS), each["ceiling"]]
        for each in wanted
    }


def main() -> None:
    """Train, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=TYPES, default=list(TYPES), metavar="TYPE")
    parser.add_argument("--how", choices=list(HOW), default="noise")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=Path("runs/cells"))
    parser.add_argument("--words", nargs="+", default=[], metavar="FLAG", help="further flags of training")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = {}
    columns = ("model", *FLOORS, "real cells")
    print(f"| held out | seed | number | {' | '.join(columns)} |\n| --- | --- | --- |{' --- |' * len(columns)}")
    for cell_type in arguments.only:
        for seed in arguments.seeds:
            asked = (arguments.out, arguments.how, arguments.words)
            records, taken = measured(arguments.data, cell_type, seed, *asked)
            found[f"{cell_type}, seed {seed}"] = records
            for name, values in row(records).items():
                print(f"| {cell_type} | {seed} | {name} | {' | '.join(map(told, values))} |", flush=True)
            print(f"| {cell_type} | {seed} | seconds of training | {taken:.0f} |{' |' * len(FLOORS)} |", flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Real cells of several kinds from noise: every number of the evaluation beside floor and ceiling, for each seed.

python -m benchmarks.cell_types kang_ifnb.h5ad [--seeds 0] [--out runs/cell_types] [--json FILE]

Makes an autoencoder of the training cells, trains the recipe kang_types on its latents, draws as many cells as were
held out, in their kinds, and prints what that gives. What is there already is read again.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.commands import run, told

CELLS = 312


def records(path: Path, seed: int, out: Path) -> list[dict[str, Any]]:
    """Records of a run, which is trained and evaluated where that was not done."""
    folder, autoencoder = out / f"run-{seed}", out / f"autoencoder-{seed}"
    if not list(folder.glob("evaluations/*.json")):
        same = ["--cells.context", "cell_type", "--cells.labels", "condition", "--cells.held_out", "0.2"]
        size = ["--latent", "10", "--steps", "600", "--seed", str(seed)]
        run("autoencode", str(path.resolve()), "--out", str(autoencoder), *same, *size)
        given = ["--data.path", str(path.resolve()), "--data.autoencoder", str(autoencoder), f"--train.seed={seed}"]
        kept = ["--train.sample_every=0", "--train.ema_snapshots=0", "--train.score_samples=0"]
        run("train", "kang_types", *given, *kept, "--out", str(folder), "--resume")
        run("evaluate", str(folder), "-n", str(CELLS), "--spaces", "pixels")
    found: dict[str, Any] = json.loads(sorted(folder.glob("evaluations/*.json"))[-1].read_text())
    kept_records: list[dict[str, Any]] = found["records"]
    return kept_records


def line(record: Mapping[str, Any], seed: int) -> str:
    """A row of the table: value with its interval, floor with its name, ceiling."""
    bounds = [record.get("low"), record.get("high")]
    interval = "" if any(each is None or not math.isfinite(each) for each in bounds) else " [{:.3g}, {:.3g}]"
    value = f"{record['value']:.3g}{interval.format(*bounds)}"
    floors = ", ".join(f"{told(floor)} ({name})" for name, floor in record["floors"].items())
    name = record["metric"] if record["space"] == "modality" else f"{record['metric']} ({record['space']})"
    return f"| {name} | {seed} | {value} | {floors} | {told(record['ceiling'])} |"


def main() -> None:
    """Train, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=Path("runs/cell_types"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = {}
    print("| number | seed | drawn cells | floors | real cells |\n| --- | --- | --- | --- | --- |")
    for seed in arguments.seeds:
        found[f"seed {seed}"] = records(arguments.data, seed, arguments.out)
        for each in found[f"seed {seed}"]:
            print(line(each, seed), flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

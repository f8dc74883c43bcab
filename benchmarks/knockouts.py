"""Real knock-outs: cells held out of each, and whole knock-outs held out, one by one beside floors and ceiling.

python -m benchmarks.knockouts papalexi_train.h5ad [--seeds 0] [--folds] [--out runs/knockouts] [--json FILE]

Trains the recipe papalexi, a fifth of the cells held out, and prints a row for each knock-out whose held-out halves
agree (delta correlation above 0.5), then the others. With ``--folds`` knock-outs are held out whole, two at a time, and
answered by the co-expression of their genes: of the 20 these are the eight whose gene is measured, and nothing is known
of the others. Rows that are there are read again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.commands import run, told

FOLDS = (("IFNGR2", "STAT3"), ("JAK2", "CMTM6"), ("STAT2", "NFKBIA"), ("TNFRSF14", "UBE2L6"))
FLOORS = ("mean perturbation", "ridge", "training mean", "resampled cells")
CELLS = 2600  # all that are held out, and more
AGREE = 0.5


def pairs(path: Path, out: Path, words: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a run, which is trained and evaluated where that was not done.

    Args:
        path: of the cells.
        out: folder of the run.
        words: further flags of training.
    """
    if not list(out.glob("evaluations/*.json")):
        kept = ["--train.sample_every=0", "--train.ema_snapshots=0", "--train.score_samples=0"]
        run("train", "papalexi", "--data.path", str(path.resolve()), *words, *kept, "--out", str(out), "--resume")
        run("evaluate", str(out), "-n", str(CELLS), "--spaces", "pixels")
    found: dict[str, Any] = json.loads(sorted(out.glob("evaluations/*.json"))[-1].read_text())
    rows: list[dict[str, Any]] = found["curves"]["cells"]["pairs"]
    return rows


def line(row: Mapping[str, Any], seed: int) -> str:
    """A row of the table: delta correlation and energy distance of the model, of floors and of half of the cells."""
    sides = [row["model"], *(row["floors"].get(name, {}) for name in FLOORS), row["ceiling"]]
    cells = [" / ".join(told(each.get(name), ".2f") for name in ("delta_correlation", "energy")) for each in sides]
    return f"| {row['pair']} | {seed} | {row['n']} | {' | '.join(cells)} | {row['rank']:g} of {row['known']} |"


def agrees(row: Mapping[str, Any]) -> bool:
    """Whether the halves of the held-out cells say the same of a knock-out."""
    value = row["ceiling"].get("delta_correlation")
    return value is not None and value > AGREE


def main() -> None:
    """Train, measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--folds", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/knockouts"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    columns = ("model", *FLOORS, "half of the cells")
    print(f"delta correlation / energy distance\n\n| knock-out | seed | cells | {' | '.join(columns)} | rank |")
    print(f"| --- | --- | --- |{' --- |' * (len(columns) + 1)}")
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in arguments.seeds:
        asked = [f"--train.seed={seed}"]
        if not arguments.folds:
            rows = pairs(arguments.data, arguments.out / f"cells-{seed}", asked)
            rows = [each for each in rows if each["perturbation"]]
            found[f"cells, seed {seed}"] = rows
            for row in sorted(rows, key=lambda row: (not agrees(row), row["pair"])):
                print(line(row, seed), flush=True)
            continue
        for fold in FOLDS:
            held = ";".join(f"perturbation={name}" for name in fold)
            words = [*asked, "--data.held_out=null", f"--data.held_out_populations={held}"]
            words += ["--data.features=coexpression"]
            rows = pairs(arguments.data, arguments.out / f"{'-'.join(fold)}-{seed}", words)
            found[f"{' and '.join(fold)}, seed {seed}"] = rows
            for row in rows:
                print(line(row, seed), flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

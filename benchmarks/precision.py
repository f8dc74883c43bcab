"""What a precision costs in quality: the same training in each, held-out losses side by side.

python -m benchmarks.precision [--recipe digits] [--steps 400] [--seeds 0 1 2] [--ways fp32 bf16] [--json FILE]

Runs of one seed see the same weights at first, the same batches, times and noise: only the arithmetic differs, and a
difference of their losses is that of one pair. Of two seeds and more its mean has a 95 % interval (Student's t). The
loss is the held-out one of the averaged weights at the same times and noise in each run, in the precision of training.
Ways are fp32, bf16, and fast (fp32 by fast products, see ``beeline/core/matmul.py``); runs that are there are read.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.commands import run

WAYS = {
    "fp32": ("--train.precision=fp32", "--train.matmul=exact"),
    "fast": ("--train.precision=fp32", "--train.matmul=fast"),
    "bf16": ("--train.precision=bf16", "--train.matmul=exact"),
}
MARKS = 8
LEFT_OUT = ("--train.sample_every=0", "--train.ema_snapshots=0", "--train.score_samples=0", "--train.log_every=20")


def losses(folder: Path) -> dict[int, float]:
    """Held-out loss by step."""
    lines = (json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines())
    return {line["step"]: line["held_out_loss"] for line in lines if "held_out_loss" in line}


def trained(recipe: str, way: str, seed: int, steps: int, out: Path) -> dict[int, float]:
    """Held-out loss by step of a run, which is trained where that was not done."""
    folder, every = out / f"{recipe}-{steps}-{way}-{seed}", max(1, steps // MARKS)
    length = (f"--train.duration={steps} steps", f"--train.held_out_every={every}", f"--train.seed={seed}")
    run("train", recipe, *WAYS[way], *length, *LEFT_OUT, "--train.threads=1", "--out", str(folder), "--resume")
    return losses(folder)


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and its 95 % interval; NaN for one of fewer than two."""
    mean, count = float(np.mean(differences)), len(differences)
    if count < 2:
        return mean, math.nan, math.nan
    half = float(stats.t.ppf(0.975, count - 1)) * float(np.std(differences, ddof=1)) / math.sqrt(count)
    return mean, mean - half, mean + half


def rows(curves: Mapping[str, Sequence[Mapping[int, float]]]) -> list[dict[str, object]]:
    """A row for each mark and way: losses of every seed, and what they differ by from the first way's.

    Args:
        curves: held-out losses by step of each seed, by way.
    """
    first = next(iter(curves))
    steps = sorted(set.intersection(*(set(curve) for of_way in curves.values() for curve in of_way)))
    found: list[dict[str, object]] = []
    for step in steps:
        for way, of_way in curves.items():
            row: dict[str, object] = {"step": step, "way": way, "losses": [curve[step] for curve in of_way]}
            if way != first:
                pairs = zip(of_way, curves[first], strict=True)
                row["difference"], row["low"], row["high"] = interval([one[step] - two[step] for one, two in pairs])
            found.append(row)
    return found


def line(row: Mapping[str, object]) -> str:
    """A row of the table."""
    held = ", ".join(f"{value:.4f}" for value in row["losses"])  # type: ignore[attr-defined]
    away = f"{row['difference']:+.5f} | {row['low']:+.5f} to {row['high']:+.5f}" if "difference" in row else " | "
    return f"| {row['step']} | {row['way']} | {held} | {away} |"


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="digits")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["fp32", "bf16"])
    parser.add_argument("--out", type=Path, default=Path("runs/precision"))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    curves: dict[str, list[dict[int, float]]] = {way: [] for way in asked.ways}
    for seed in asked.seeds:
        for way in asked.ways:
            curves[way].append(trained(asked.recipe, way, seed, asked.steps, asked.out))
            print(f"seed {seed}, {way}: {list(curves[way][-1].values())[-1]:.4f}", flush=True)
    found = rows(curves)
    print("\n| step | way | held-out loss by seed | difference to the first | 95 % interval |\n|---|---|---|---|---|")
    print("\n".join(map(line, found)))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

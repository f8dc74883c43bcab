"""Real fields: the recipes winds, darcy, darcy_inverse and burgers beside their baselines, trained, measured, tabled.

python -m benchmarks.fields DATA [--only NAME ...] [--out runs/fields] [--threads 2] [--json FILE]

DATA is a folder with what ``benchmarks.convert`` makes: winds-1-200.npz, winds-1-850.npz, winds-7-200.npz,
winds-7-850.npz (each holds out the month and level of its name), darcy.npz and burgers.npz. A row whose training was
stopped goes on where it was; one that has been measured is read again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

import beeline
from beeline.data.splits import split_by_group
from beeline.samplers.config import Domain
from benchmarks.commands import run

FAST = ("--sampler", "dpmpp_2m", "--steps", "8", "--precision", "bf16")
SPACES = ("--spaces", "pca-32")


@dataclass(frozen=True)
class Row:
    """A run, and how it is measured.

    Args:
        recipe: what is trained.
        data: a file of the folder.
        words: changed lines.
        members: draws for each held-out input.
        sampling: how they are drawn.
    """

    recipe: str
    data: str
    words: tuple[str, ...] = ()
    members: int = 16
    sampling: tuple[str, ...] = FAST


def _winds(month: int, level: int, *words: str, members: int = 16) -> Row:
    held_out = f"--data.held_out_groups=source={month},level={level}"
    sampling = FAST if members > 1 else ()
    return Row("winds", f"winds-{month}-{level}.npz", (held_out, *words), members, sampling)


REGRESSION, UNET = "--objective.family=regression", "--model.backbone=unet"
GROUPS = ((1, 200), (7, 200), (1, 850), (7, 850))
ROWS = {
    **{f"winds-{month}-{level}-flow-0": _winds(month, level) for month, level in GROUPS},
    **{f"winds-{month}-{level}-regression": _winds(month, level, REGRESSION, members=1) for month, level in GROUPS},
    **{f"winds-1-200-flow-{seed}": _winds(1, 200, f"--train.seed={seed}") for seed in (1, 2)},
    "winds-1-850-flow-plain": _winds(1, 850, "--data.whiten=0"),
    # As many seconds as the transformer's 2,000 steps on the machine of docs/results.md, and as many FLOPs.
    "winds-1-200-unet-seconds": _winds(1, 200, UNET, "--train.steps=699"),
    "winds-1-200-unet-flops": _winds(1, 200, UNET, "--train.steps=1409"),
    "darcy-flow": Row("darcy", "darcy.npz"),
    "darcy-regression": Row("darcy", "darcy.npz", (REGRESSION,), 1, ()),
    "darcy-inverse": Row("darcy_inverse", "darcy.npz", (), 63),
    "burgers-flow": Row("burgers", "burgers.npz"),
    "burgers-regression": Row("burgers", "burgers.npz", (REGRESSION,), 1, ()),
}
SHOWN = (
    *("crps-fair-1", "absolute-error-1", "relative-l2-mean-1", "spread-skill-1", "coverage-rank-1"),
    *("reliability-ece10-1", "power-departure-resolved-1"),
)


def measured(name: str, data: Path, out: Path, threads: int) -> dict[str, Any]:
    """The last evaluation of a row, which is trained and measured where it has not been."""
    row, folder = ROWS[name], out / name
    if not list(folder.glob("evaluations/*.json")):
        words = ["--data.path", str(data / row.data), *row.words, f"--train.threads={threads}"]
        kept = ["--train.sample_every=0", "--train.ema_snapshots=0", "--out", str(folder), "--resume"]
        run("train", row.recipe, *words, *kept)
        run("evaluate", str(folder), "--members", str(row.members), *SPACES, *row.sampling)
    found: dict[str, Any] = json.loads(sorted(folder.glob("evaluations/*.json"))[-1].read_text())
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    rates = [each["samples_per_second"] for each in log if each.get("samples_per_second")]
    found["training_seconds"] = log[-1]["samples"] / float(np.median(rates))
    return found


def linear_regression(path: Path) -> float:
    """Relative L2 of ridge regression from initial states to solutions of burgers, on what the runs hold out."""
    file = np.load(path)
    known, wanted = file["initial"], file["solution"].reshape(len(file["initial"]), -1)
    held_out = np.zeros(len(known), dtype=bool)
    held_out[split_by_group([f"sample {index}" for index in range(len(known))], 0.2)[1]] = True
    inputs = np.hstack([known, np.ones((len(known), 1))])
    own = inputs[~held_out]
    weights = np.linalg.solve(own.T @ own + 1e-3 * np.eye(own.shape[1]), own.T @ wanted[~held_out])
    missed = inputs[held_out] @ weights - wanted[held_out]
    return float((np.linalg.norm(missed, axis=1) / np.linalg.norm(wanted[held_out], axis=1)).mean())


def finer(run: Path, domain: Domain, draws: int = 2) -> float:
    """Relative L2 of darcy at 32x32 cells, averaged over 2x2 of them, against the truth at 16x16.

    Args:
        run: trained at 16x16; each cell of the map is given four times.
        domain: trained, or cells, which makes the square twice as large.
        draws: whose mean is scored.
    """
    engine = beeline.load(run)
    truths = list(engine.modality.dataset("held_out"))
    maps = [each.condition["permeability"].repeat(2, axis=0).repeat(2, axis=1) for each in truths]
    asked = {"permeability": [each for each in maps for _ in range(draws)]}
    found = np.asarray(engine.sample(len(maps) * draws, asked, sampler="dpmpp_2m", steps=8, domain=domain))
    means = found.reshape(len(maps), draws, 16, 2, 16, 2, 1).mean(axis=(1, 3, 5))
    return float(np.mean([_relative(mean, each.array) for mean, each in zip(means, truths, strict=True)]))


def _relative(found: Any, truth: Any) -> float:
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


def cell(record: dict[str, Any]) -> str:
    """A number and its interval."""
    numbers = [record[name] for name in ("value", "low", "high")]
    if any(each is None for each in numbers):
        return "" if numbers[0] is None else f"{numbers[0]:.3g}"
    return "{:.3g} ({:.3g} to {:.3g})".format(*numbers)


def main() -> None:
    """Train, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("runs/fields"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for name in arguments.only:
        begin = time.monotonic()
        try:
            found[name] = measured(name, arguments.data, arguments.out, arguments.threads)
        except subprocess.CalledProcessError as error:
            print(f"{name}: failed ({error.returncode})", flush=True)
            continue
        print(f"{name}: {time.monotonic() - begin:.0f} s", flush=True)
    print(f"\n| run | training, s | channel | {' | '.join(SHOWN)} |\n| --- | --- | --- |{' --- |' * len(SHOWN)}")
    for name, evaluation in found.items():
        physical = [each for each in evaluation["records"] if each["space"] == "physical" and each["channel"]]
        for channel in dict.fromkeys(each["channel"] for each in physical):
            own = {each["formula"]: each for each in physical if each["channel"] == channel}
            cells = [cell(own[formula]) if formula in own else "" for formula in SHOWN]
            print(f"| {name} | {evaluation['training_seconds']:.0f} | {channel} | {' | '.join(cells)} |")
    if any(name.startswith("burgers") for name in found):
        print(f"\nburgers, linear regression: relative L2 {linear_regression(arguments.data / 'burgers.npz'):.3g}")
    if "darcy-flow" in found:
        for domain in get_args(Domain):
            told = f"relative L2 {finer(arguments.out / 'darcy-flow', domain):.3g}"
            print(f"\ndarcy at 32x32 cells, --domain {domain}, averaged to 16x16: {told}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""One network, many objectives: the digits recipe with one changed line, at equal budget, side by side.

python -m benchmarks.family [--seeds 0 1 2] [--only NAME ...] [--out runs/family] [--threads 2] [--json FILE]

Every row is ``beeline train digits LINE --train.seed S``: the same network, 1,200 steps of 256 images, the same
learning rate. Scores are those of the run's own scores.json (1,000 samples, cfg_scale 1). A run that is stopped goes
on where it was; one that is finished is read again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROWS = {
    "rectified flow (the recipe)": [],
    "flow, uniform times": ["--objective.time.density=uniform"],
    "flow, antithetic times": ["--objective.time.draw=antithetic"],
    "flow, predicts noise": ["--objective.prediction=noise"],
    "flow, predicts data": ["--objective.prediction=data"],
    "flow, predicts v": ["--objective.prediction=v"],
    "flow, weight snr": ["--objective.weighting=snr"],
    "flow, weight min_snr": ["--objective.weighting=min_snr"],
    "flow, weight truncated_snr": ["--objective.weighting=truncated_snr"],
    "flow, weight learned": ["--objective.weighting=learned"],
    "flow, Huber": ["--objective.loss=huber"],
    "flow, L1": ["--objective.loss=l1"],
    "flow, optimal transport": ["--objective.coupling=optimal_transport"],
    "path vp": ["--process.path=vp"],
    "path gvp": ["--process.path=gvp"],
    "path sigmoid": ["--process.path=sigmoid"],
    "DDPM": ["--objective.family=ddpm"],
    "DDPM, learned variance (hybrid)": ["--objective.family=improved_ddpm"],
    "DDPM, the bound alone": ["--objective.family=improved_ddpm", "--objective.loss=vlb"],
    "score matching": ["--objective.family=score"],
    "EDM": ["--objective.family=edm"],
    "VDM, learned log-SNR": ["--objective.family=vdm"],
    "VDM, straight log-SNR": ["--objective.family=vdm", "--process.log_snr=linear"],
}
SCORES = ("label agreement", "variance ratio", "nearest distance ratio")


def trained(name: str, seed: int, out: Path, threads: int) -> dict[str, float]:
    """Scores of one run, by metric."""
    folder = out / f"{''.join(letter if letter.isalnum() else '-' for letter in name)}-{seed}"
    words = [
        *(sys.executable, "-m", "beeline", "train", "digits", *ROWS[name], f"--train.seed={seed}"),
        *(f"--train.threads={threads}", "--train.sample_every=0", "--train.ema_snapshots=0"),
        *("--out", str(folder), "--resume", "--quiet"),
    ]
    if not (folder / "report.html").is_file():  # the last thing that a run writes
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    scores = json.loads((folder / "scores.json").read_text())
    return {each["metric"]: each["value"] for each in scores["records"] if each["metric"] in SCORES}


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("runs/family"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, dict[int, dict[str, float]]] = {name: {} for name in arguments.only}
    for seed in arguments.seeds:
        for name in arguments.only:
            try:
                found[name][seed] = trained(name, seed, arguments.out, arguments.threads)
            except subprocess.CalledProcessError as error:
                print(f"{name}, seed {seed}: failed ({error.returncode})", flush=True)
                continue
            print(name, seed, *(f"{value:.3f}" for value in found[name][seed].values()), sep="\t", flush=True)
    print(f"\n| changed line | {' | '.join(SCORES)} |\n| --- |{' --- |' * len(SCORES)}")
    for name, seeds in found.items():
        cells = []
        for score in SCORES:
            values = [each[score] for each in seeds.values() if score in each]
            cells.append(f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})" if values else "")
        print(f"| {name} `{' '.join(ROWS[name])}` | {' | '.join(cells)} |")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

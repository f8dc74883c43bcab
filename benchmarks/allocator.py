"""Training step with and without ``keep_freed_memory``: two processes, interleaved, median of the ratio.

python -m benchmarks.allocator [--rounds 5] [--steps 40] [--threads 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.result import show

WORKER = """
import dataclasses, sys, time, resource
from beeline.cli.recipes import find_recipe
from beeline.cli.resolve import resolve
from beeline.core.allocator import keep_freed_memory
from beeline.train.machine import settle
from beeline.train.setup import prepare
import torch
keep, steps, threads = sys.argv[1] == "keep", int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
if keep:
    keep_freed_memory()
resolved = resolve(find_recipe("digits"), [])
settings, _ = settle(resolved.config.train)
trainer = prepare(dataclasses.replace(resolved.config, train=settings), resolved.source).trainer
for _ in range(5):
    trainer.train_step()
times = []
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(steps):
    begin = time.perf_counter()
    trainer.train_step()
    times.append(time.perf_counter() - begin)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
print(sorted(times)[steps // 2] * 1000, faults / steps, settings.precision)
"""


def step_milliseconds(keep: bool, steps: int, threads: int) -> tuple[float, float]:
    """Median step of the digits recipe in milliseconds, and page faults a step."""
    words = [sys.executable, "-c", WORKER, "keep" if keep else "plain", str(steps), str(threads)]
    milliseconds, faults, _ = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    return float(milliseconds), float(faults)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    plain, kept = [], []
    for _ in range(arguments.rounds):
        plain.append(step_milliseconds(False, arguments.steps, arguments.threads))
        kept.append(step_milliseconds(True, arguments.steps, arguments.threads))
    ratios = [before[0] / after[0] for before, after in zip(plain, kept, strict=True)]
    result = {
        "digits step, plain allocator, ms": statistics.median(each[0] for each in plain),
        "digits step, memory kept, ms": statistics.median(each[0] for each in kept),
        "page faults a step, plain": statistics.median(each[1] for each in plain),
        "page faults a step, kept": statistics.median(each[1] for each in kept),
        "ratio plain / kept": statistics.median(ratios),
        "spread of the ratio": [min(ratios), max(ratios)],
    }
    show(result, arguments.json)


if __name__ == "__main__":
    main()

"""What further CPU threads give a training step, on a machine that is idle: wall seconds in turns.

python -m benchmarks.threads [--nets S2 S4 tiny] [--counts 1 2] [--divide 4] [--rounds 5] [--json FILE]

The ratio is one thread's time / that of more, median over rounds, with its spread; the load of the machine and what
``beeline.train.threads`` chooses are printed beside.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import torch

from beeline.core.allocator import keep_freed_memory
from beeline.train.threads import choose_threads
from benchmarks.peers.nets import VARIANTS, find_net
from benchmarks.peers.ours import Ours


def seconds(ours: Ours, threads: int) -> float:
    """Wall time of a training step."""
    torch.set_num_threads(threads)
    begin = time.perf_counter()
    ours.trainer.train_step()
    return time.perf_counter() - begin


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=["S2", "S4", "tiny"], metavar="NET")
    parser.add_argument("--counts", nargs="+", type=int, default=[1, os.cpu_count() or 1])
    parser.add_argument("--divide", type=int, default=4, help="the nets' own batches by this (4)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    keep_freed_memory()
    print(f"load {os.getloadavg()[0]:.1f}; chosen: {choose_threads(max(asked.counts))}")
    print("| net | batch | threads | s a step | one / it | spread |\n|---|---|---|---|---|---|")
    rows = []
    for name in asked.nets:
        net = find_net(name, divide=asked.divide)
        ours = Ours(net, VARIANTS["fp32"], "cpu", 1)
        for count in asked.counts:
            seconds(ours, count)
        found = [{count: seconds(ours, count) for count in asked.counts} for _ in range(asked.rounds)]
        for count in asked.counts:
            ratios = [each[asked.counts[0]] / each[count] for each in found]
            middle = statistics.median(each[count] for each in found)
            figures = f"{middle:.3f} | {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f}"
            print(f"| {net.name} | {net.batch} | {count} | {figures} |", flush=True)
            rows.append({"net": net.name, "batch": net.batch, "threads": count, "seconds": middle, "ratios": ratios})
    print(f"load {os.getloadavg()[0]:.1f}")
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

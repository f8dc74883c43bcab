"""What further CPU threads give a training step, on a machine that is idle: wall seconds in turns.

python -m benchmarks.threads [--nets S2 S4 tiny] [--counts 1 2] [--divide 4] [--rounds 5] [--json FILE]

The ratio is one thread's time / that of more, median over rounds, with its spread. Beside it stands the same ratio of
one large matrix product in the same rounds, which is what the machine gives: cores that are halves of one, or that
neighbours hold, give no more than that to anybody. The load of the machine and what ``beeline.train.threads`` chooses
are printed too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from beeline.core.allocator import keep_freed_memory
from beeline.train.threads import choose_threads
from benchmarks.peers.nets import VARIANTS, find_net
from benchmarks.peers.ours import Ours

_SIDE, _PRODUCTS = 1024, 6


def seconds(ours: Ours, threads: int) -> float:
    """Wall time of a training step."""
    torch.set_num_threads(threads)
    begin = time.perf_counter()
    ours.trainer.train_step()
    return time.perf_counter() - begin


def of_product(threads: int) -> float:
    """Wall time of a large matrix product, which has nothing to wait for but its cores."""
    torch.set_num_threads(threads)
    one = torch.ones(_SIDE, _SIDE)
    begin = time.perf_counter()
    for _ in range(_PRODUCTS):
        one @ one
    return time.perf_counter() - begin


def ratios(found: Sequence[Mapping[int, float]], count: int) -> list[float]:
    """Time of the fewest threads / that of some, round by round."""
    return [each[min(each)] / each[count] for each in found]


def shown(found: Sequence[float]) -> str:
    """Median and spread."""
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


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
    print("| net | batch | threads | s a step | one / it | one / it of a matrix product |\n|---|---|---|---|---|---|")
    rows = []
    for name in asked.nets:
        net = find_net(name, divide=asked.divide)
        ours = Ours(net, VARIANTS["fp32"], "cpu", 1)
        steps, products = list[dict[int, float]](), list[dict[int, float]]()
        for _ in range(1 + asked.rounds):
            steps.append({count: seconds(ours, count) for count in asked.counts})
            products.append({count: of_product(count) for count in asked.counts})
        for count in asked.counts:
            middle = statistics.median(each[count] for each in steps[1:])
            of_step, of_products = ratios(steps[1:], count), ratios(products[1:], count)
            figures = f"{middle:.3f} | {shown(of_step)} | {shown(of_products)}"
            print(f"| {net.name} | {net.batch} | {count} | {figures} |", flush=True)
            row = {"net": net.name, "batch": net.batch, "threads": count, "seconds": middle}
            rows.append({**row, "ratios": of_step, "of_product": of_products})
    print(f"load {os.getloadavg()[0]:.1f}")
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

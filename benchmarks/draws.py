"""Random words: the same integer operations on torch's tensors and on numpy's arrays, interleaved.

    python -m benchmarks.draws [--rounds 21] [--json FILE]

CPU time of one thread; the ratio is torch / numpy, the median over rounds: above 1 numpy is quicker, and
``beeline.core.random`` draws with it on CPUs. Both give the same words, which is checked before anything is timed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from beeline.core.random import philox
from benchmarks.result import show

SHAPES = ((8, 1), (64, 1), (256, 64), (64, 784), (32, 3072), (8, 4096))
_KEY = (0x12345678, 0x9ABCDEF0)


def milliseconds(work: Callable[[], object]) -> float:
    """CPU time of one call."""
    begin = time.process_time()
    work()
    return 1000 * (time.process_time() - begin)


def measured(samples: int, elements: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of either, and of their ratio."""
    block, number = np.meshgrid(np.arange((elements + 3) // 4), np.arange(samples))
    arrays = (block, np.zeros_like(block), number, np.zeros_like(block))
    first, second, third, fourth = (torch.from_numpy(each) for each in arrays)
    ways = {"torch": lambda: philox((first, second, third, fourth), _KEY), "numpy": lambda: philox(arrays, _KEY)}
    for one, other in zip(ways["torch"](), ways["numpy"](), strict=True):
        if not np.array_equal(np.asarray(one), np.asarray(other)):
            raise SystemExit("the words differ")
    taken = [{name: milliseconds(way) for name, way in ways.items()} for _ in range(rounds)]
    found = {name: statistics.median(each[name] for each in taken) for name in ways}
    return {**found, "ratio": statistics.median(each["torch"] / each["numpy"] for each in taken)}


def main() -> None:
    """Measure every shape and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = {
        f"{samples} samples of {elements}": measured(samples, elements, arguments.rounds)
        for samples, elements in SHAPES
    }
    show({name: {key: round(value, 3) for key, value in each.items()} for name, each in found.items()}, arguments.json)


if __name__ == "__main__":
    main()

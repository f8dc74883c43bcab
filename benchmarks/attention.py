"""Attention kernels: the plain product against torch's fused one, forward and backward, interleaved.

    python -m benchmarks.attention [--rounds 7] [--threads 1] [--json FILE]

The ratio is fused / plain: above 1 the plain product is faster. ``beeline.nn.attention`` chooses by it. Beside it
stands what the plain product takes where it keeps its probabilities, as a share of what it takes as it is.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from beeline.nn.attention import fused_attention, plain_attention, prefers_plain_product

Kernel = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
SHAPES = (
    (256, 2, 16, 64),
    (64, 2, 64, 64),
    (8, 6, 64, 64),
    (2, 6, 256, 64),
    (16, 4, 256, 32),
    (1, 6, 512, 64),
    (1, 6, 1024, 64),
    (1, 6, 2048, 64),
)


def keeping(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """The plain product by torch's operations, which keep all probabilities."""
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)
    return torch.softmax(scores if mask is None else scores.masked_fill(~mask, float("-inf")), dim=-1) @ v


def milliseconds(kernel: Kernel, inputs: tuple[Tensor, Tensor, Tensor], mask: Tensor | None, repeats: int = 5) -> float:
    """Forward and backward, best of a few."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        kernel(*inputs, mask).sum().backward()
        best = min(best, time.perf_counter() - begin)
    return best * 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        for shape in SHAPES:
            q, k, v = (torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(3))
            padding = (torch.arange(shape[2]) < shape[2] * 3 // 4)[None, None, None, :]
            for name, mask in (("no mask", None), ("padded", padding)):
                times = [
                    [milliseconds(kernel, (q, k, v), mask) for kernel in (fused_attention, plain_attention, keeping)]
                    for _ in range(arguments.rounds)
                ]
                ratio = statistics.median(fused / plain for fused, plain, _ in times)
                kept = statistics.median(kept / plain for _, plain, kept in times)
                chosen = "plain" if prefers_plain_product(q, mask) else "fused"
                found = {"dtype": str(dtype), "shape": shape, "mask": name, "ratio": ratio, "kept": kept}
                results.append({**found, "chosen": chosen})
                print(f"{dtype} {shape} {name}: fused / plain {ratio:.2f}, kept / plain {kept:.2f}, chosen: {chosen}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

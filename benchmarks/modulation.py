"""Modulation and residuals of a block in one pass over memory or in two, and with a backward pass written by hand.

python -m benchmarks.modulation [--rounds 12] [--json FILE]

Seconds of process CPU time on one thread, in turns, the least of the rounds, as a share of the plain operations:
LN(x) (1 + scale) + shift and x + gate y. ``beeline.backbone.block`` takes the single passes (addcmul).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

SHAPES = ((16, 256, 128), (8, 64, 384), (2, 256, 384))
REPEATS = 3


class ByHand(torch.autograd.Function):
    """Layer norm and modulation as one operation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """(B, L, D) under (B, 1, D)."""
        normed, mean, inverse = torch.native_layer_norm(x, x.shape[-1:], None, None, 1e-6)
        ctx.save_for_backward(x, mean, inverse, scale)
        return torch.addcmul(shift, normed, 1 + scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of x, scale and shift."""
        (gradient,) = gradients
        x, mean, inverse, scale = ctx.saved_tensors
        normed = (x - mean).mul_(inverse)
        inner = (gradient * (1 + scale), x, x.shape[-1:], mean, inverse, None, None, [True, False, False])
        of_x = torch.ops.aten.native_layer_norm_backward(*inner)[0]
        return of_x, (gradient * normed).sum(1, keepdim=True), gradient.sum(1, keepdim=True)


def ways(shape: tuple[int, int, int]) -> dict[str, dict[str, Callable[[], Tensor]]]:
    """What is compared, by what it computes; the first of each is the measure of the others."""
    batch, _, width = shape
    x, y = (torch.randn(shape, requires_grad=True) for _ in range(2))
    scale, shift, gate = (torch.randn(batch, 1, width, requires_grad=True) for _ in range(3))

    def normed() -> Tensor:
        return functional.layer_norm(x, (width,), eps=1e-6)

    return {
        "modulation": {
            "plain": lambda: normed() * (1 + scale) + shift,
            "one pass": lambda: torch.addcmul(shift, normed(), 1 + scale),
            "by hand": lambda: ByHand.apply(x, scale, shift),
        },
        "residual": {"plain": lambda: x + gate * y, "one pass": lambda: torch.addcmul(x, gate, y)},
    }


def there_and_back(way: Callable[[], Tensor], gradient: Tensor) -> None:
    """Forward and backward."""
    way().backward(gradient)


def least(tasks: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least CPU seconds of each, in turns."""
    found = dict.fromkeys(tasks, float("inf"))
    for _ in range(rounds):
        for name, task in tasks.items():
            begin = time.process_time()
            for _ in range(REPEATS):
                task()
            found[name] = min(found[name], (time.process_time() - begin) / REPEATS)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    print("| B, L, D | | way | forward | and backward |\n|---|---|---|---|---|")
    for shape in SHAPES:
        gradient = torch.randn(shape)
        for what, tasks in ways(shape).items():
            with torch.no_grad():
                forward = least(tasks, asked.rounds)
            both = least({name: partial(there_and_back, way, gradient) for name, way in tasks.items()}, asked.rounds)
            for name in tasks:
                shares = (forward[name] / forward["plain"], both[name] / both["plain"])
                rows.append({"shape": shape, "what": what, "way": name, "forward": shares[0], "both": shares[1]})
                print(f"| {shape} | {what} | {name} | {shares[0]:.2f} | {shares[1]:.2f} |", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

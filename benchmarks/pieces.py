"""Pieces of a block done in other ways than the plain operations: what was taken of them, and what was not.

python -m benchmarks.pieces [--rounds 12] [--json FILE]

Seconds of process CPU time on one thread, in turns, the least of the rounds, as a share of the plain operations.

    modulation   LN(x) (1 + scale) + shift, in one pass over memory, or so with LN(x) computed again on the way back
    residual     x + gate y, in one pass
    vectors      those of twelve blocks, by one product for all of them
    activation   GELU in its tanh form, by torch's sigmoid, piece by piece
    product      the first layer of twelve feed-forward networks, of weights that MKL has laid out beforehand

``beeline.backbone.block`` takes the single passes (addcmul), and computes LN(x) again, which keeps less memory.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from beeline.core.allocator import keep_freed_memory
from beeline.nn.norms import modulated_layer_norm

SHAPES = ((16, 256, 128), (8, 64, 384), (2, 256, 384), (2, 64, 384))
REPEATS, BLOCKS, VECTORS = 3, 12, 6
PIECE, SLOPE, CUBE = 2**16, math.sqrt(2 / math.pi), 0.044715

Way = Callable[[], Sequence[Tensor]]


class Activation(torch.autograd.Function):
    """x / (1 + exp(-2 s (x + c x^3))), the tanh form, of pieces that stay in the cache; torch's own way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Any shape."""
        ctx.save_for_backward(x)
        found, slope = torch.empty_like(x), x.new_tensor(2 * SLOPE)
        for seen, piece in zip(x.view(-1).split(PIECE), found.view(-1).split(PIECE), strict=True):
            torch.addcmul(slope, seen, seen, value=2 * SLOPE * CUBE, out=piece)
            piece.mul_(seen).sigmoid_().mul_(seen)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Of x."""
        found: Tensor = torch.ops.aten.gelu_backward(gradients[0], *ctx.saved_tensors, approximate="tanh")
        return found


def products(shape: tuple[int, int, int]) -> dict[str, Way]:
    """Linear layers of plain weights and of packed ones, which have no way back."""
    x = torch.randn(shape).flatten(0, 1)
    weights = [torch.randn(4 * shape[-1], shape[-1]) for _ in range(BLOCKS)]
    bias = torch.zeros(4 * shape[-1])
    found: dict[str, Way] = {"plain": lambda: [functional.linear(x, weight, bias) for weight in weights]}
    if not torch.backends.mkl.is_available():
        return found
    packed = [torch.ops.mkl._mkl_reorder_linear_weight(weight, len(x)) for weight in weights]
    pairs = list(zip(packed, weights, strict=True))
    return found | {"packed": lambda: [torch.ops.mkl._mkl_linear(x, *pair, bias, len(x)) for pair in pairs]}


def ways(shape: tuple[int, int, int]) -> dict[str, dict[str, Way]]:
    """What is compared, by what it computes; the first of each is the measure of the others."""
    batch, _, width = shape
    x, y = (torch.randn(shape, requires_grad=True) for _ in range(2))
    scale, shift, gate = (torch.randn(batch, 1, width, requires_grad=True) for _ in range(3))
    hidden = torch.randn(*shape[:2], 4 * width, requires_grad=True)
    c = torch.randn(batch, width, requires_grad=True)
    weights = [torch.randn(VECTORS * width, width, requires_grad=True) for _ in range(BLOCKS)]
    hoisted = torch.randn(BLOCKS * VECTORS * width, width, requires_grad=True)

    def normed() -> Tensor:
        return functional.layer_norm(x, (width,), eps=1e-6)

    return {
        "modulation": {
            "plain": lambda: [normed() * (1 + scale) + shift],
            "one pass": lambda: [torch.addcmul(shift, normed(), 1 + scale)],
            "computed again": lambda: [modulated_layer_norm(x, shift, scale)],
        },
        "vectors": {
            "plain": lambda: [functional.linear(c, weight) for weight in weights],
            "one product": lambda: functional.linear(c, hoisted).chunk(BLOCKS, dim=-1),
        },
        "activation": {
            "plain": lambda: [functional.gelu(hidden, approximate="tanh")],
            "piece by piece": lambda: [Activation.apply(hidden)],
        },
        "residual": {"plain": lambda: [x + gate * y], "one pass": lambda: [torch.addcmul(x, gate, y)]},
    }


def there_and_back(way: Way, gradients: Sequence[Tensor]) -> None:
    """Forward and backward."""
    torch.autograd.backward(way(), gradients)


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
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    print("| B, L, D | | way | forward | and backward |\n|---|---|---|---|---|")
    for shape in SHAPES:
        for what, tasks in {**ways(shape), "product": products(shape)}.items():
            with torch.no_grad():
                gradients = [torch.randn_like(each) for each in tasks["plain"]()]
                forward = least(tasks, asked.rounds)
            back = {name: partial(there_and_back, way, gradients) for name, way in tasks.items() if what != "product"}
            both = least(back, asked.rounds)
            for name in tasks:
                shares = [found[name] / found["plain"] if name in found else None for found in (forward, both)]
                rows.append({"shape": shape, "what": what, "way": name, "forward": shares[0], "both": shares[1]})
                shown = " | ".join("" if share is None else f"{share:.2f}" for share in shares)
                print(f"| {shape} | {what} | {name} | {shown} |", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

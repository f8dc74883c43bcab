"""How fast this machine is: at best, and at the training steps of a run."""

from __future__ import annotations

import time
from functools import cache

import torch

from beeline.train.trainer import Trainer

_FEWEST_ROUNDS = 5
_SHORTEST, _LONGEST = 1.0, 5.0  # seconds of timing


@cache
def product_rate(device: str, precision: str) -> float:
    """Floating-point operations a second of a large matrix product: what this machine could do at best.

    Measured once a process.

    Args:
        device: ``cpu`` or ``cuda``.
        precision: ``fp32`` or ``bf16``.
    """
    side = 8192 if device == "cuda" else 1024
    matrix = torch.ones(side, side, dtype=torch.bfloat16 if precision == "bf16" else torch.float32, device=device)

    def seconds() -> float:
        begin = time.perf_counter()
        matrix @ matrix
        synchronise(device)
        return time.perf_counter() - begin

    seconds()  # the first product makes the library ready
    return 2 * side**3 / min(seconds() for _ in range(5))


def synchronise(device: str) -> None:
    """Wait until a GPU has done what it was given; a CPU always has."""
    if device == "cuda":
        torch.cuda.synchronize()


def step_seconds(trainer: Trainer) -> float:
    """Seconds of a training step: the median of a second of them, after one that makes everything ready.

    Args:
        trainer: to be thrown away afterwards.
    """

    def timed() -> float:
        begin = time.perf_counter()
        trainer.train_step()
        synchronise(trainer.config.device)
        return time.perf_counter() - begin

    timed()
    rounds = [timed()]
    while (len(rounds) < _FEWEST_ROUNDS and sum(rounds) < _LONGEST) or sum(rounds) < _SHORTEST:
        rounds.append(timed())
    return sorted(rounds)[len(rounds) // 2]


def step_text(seconds: float) -> str:
    """The time of a step for people: 41.6 ms, or 1.24 s."""
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"

"""Choices that depend on the machine: made once per run, printed, stored, never made again on resume."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import torch

from beeline.core.choices import Choice
from beeline.core.device import computes_in_bf16, find_device
from beeline.train.config import TrainConfig


def settle(config: TrainConfig) -> tuple[TrainConfig, list[Choice]]:
    """Replace every ``auto`` by what this machine does best, and say why.

    Raises:
        UserError: a device was asked for that is not here.
    """
    device = find_device(config.device)
    choices: list[Choice] = []
    if config.device == "auto":
        choices.append(Choice("train.device", device, f"torch finds {'a' if device == 'cuda' else 'no'} GPU"))
    precision: Literal["auto", "fp32", "bf16"] = config.precision
    if precision == "auto":
        native = computes_in_bf16(device)
        precision = "bf16" if native else "fp32"
        why = f"this {device} {'computes' if native else 'does not compute'} in bf16"
        choices.append(Choice("train.precision", precision, why))
    threads = config.threads
    if threads is None:
        threads = torch.get_num_threads()
        choices.append(Choice("train.threads", str(threads), "what torch finds here"))
    return replace(config, device=device, precision=precision, threads=threads), choices


def product_rate(device: str, precision: str) -> float:
    """Floating-point operations a second of a large matrix product: what this machine could do at best.

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


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Compute with that many CPU threads for a while; None leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)

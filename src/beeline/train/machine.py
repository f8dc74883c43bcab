"""Choices that depend on the machine: made once per run, printed, stored, never made again on resume."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import torch

from beeline.core.choices import Choice
from beeline.core.device import computes_in_bf16, find_device
from beeline.core.matmul import multiplying, settled
from beeline.core.replay import check_replayable
from beeline.train.config import TrainConfig
from beeline.train.threads import choose_threads


def settle(config: TrainConfig) -> tuple[TrainConfig, list[Choice]]:
    """Replace every ``auto`` by what this machine does best, and say why.

    Raises:
        UserError: a device was asked for that is not here, or recordings that it does not make.
    """
    device = find_device(config.device)
    if config.cuda_graph:
        check_replayable(device)
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
        most = torch.get_num_threads()
        threads, why = choose_threads(most) if device == "cpu" else (most, "what torch finds here")
        choices.append(Choice("train.threads", str(threads), why))
    with cpu_threads(threads):
        matmul, why = settled(config.matmul, device)
    if config.matmul == "auto":
        choices.append(Choice("train.matmul", matmul, why))
    return replace(config, device=device, precision=precision, threads=threads, matmul=matmul), choices


@contextmanager
def computing(config: TrainConfig) -> Iterator[None]:
    """Compute as settled options say for a while: with that many CPU threads, fp32 products of that kind.

    Args:
        config: settled.
    """
    matmul, _ = settled(config.matmul, config.device)
    with cpu_threads(config.threads), multiplying(matmul, config.device):
        yield


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Compute with that many CPU threads for a while; None leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)

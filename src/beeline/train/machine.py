"""Choices that depend on the machine: made once per run, printed, stored, never made again on resume."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch

from beeline.core.errors import UserError
from beeline.train.config import TrainConfig


def settle(config: TrainConfig) -> tuple[TrainConfig, list[str]]:
    """Replace every ``auto`` by what this machine does best, and say why.

    Raises:
        UserError: a device was asked for that is not here.
    """
    device = find_device(config.device)
    reasons: list[str] = []
    precision: Literal["auto", "fp32", "bf16"] = config.precision
    if precision == "auto":
        native = computes_in_bf16(device)
        precision = "bf16" if native else "fp32"
        reasons.append(f"precision {precision}: this {device} {'computes' if native else 'does not compute'} in bf16")
    threads = config.threads
    if threads is None:
        threads = torch.get_num_threads()
        reasons.append(f"threads {threads}: what torch finds here")
    return replace(config, device=device, precision=precision, threads=threads), reasons


def find_device(wanted: str) -> Literal["cpu", "cuda"]:
    """The device to use: ``auto`` is the GPU where there is one.

    Raises:
        UserError: there is no such device here.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("device cuda: torch finds no GPU here; use cpu or auto")
    if wanted not in ("cpu", "cuda"):
        raise UserError(f"device {wanted}: must be cpu, cuda or auto")
    return "cuda" if wanted == "cuda" else "cpu"


def computes_in_bf16(device: str) -> bool:
    """Whether the hardware multiplies bf16 matrices natively; emulation is slower than fp32."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())

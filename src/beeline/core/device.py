"""What this machine can compute on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from beeline.core.errors import UserError


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


def sent(numbers: Sequence[int] | np.ndarray[Any, Any], device: torch.device) -> Tensor:
    """Whole numbers as a tensor on a device.

    A plain copy to a GPU waits until all that it was given before is done.

    Args:
        numbers: as Python or numpy has them.
        device: where to.
    """
    here = torch.as_tensor(numbers)
    return here.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else here.to(device)


def sent_together(arrays: Sequence[np.ndarray[Any, Any]], device: torch.device) -> list[Tensor]:
    """Arrays of whole numbers as tensors on a device, in one copy.

    Args:
        arrays: of one dtype.
        device: where to.
    """
    there = sent(np.concatenate([each.reshape(-1) for each in arrays]), device)
    parts = there.split([each.size for each in arrays])
    return [part.view(each.shape) for part, each in zip(parts, arrays, strict=True)]

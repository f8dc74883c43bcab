"""How fp32 matrices are multiplied: as torch does by itself, or by what is quicker on some processors.

    exact   on CPUs by MKL, on GPUs with all bits of fp32
    fast    on CPUs by oneDNN, on GPUs as TF32, with 10 bits of the mantissa

MKL holds back on processors that are not Intel's, where oneDNN's products are quicker and as exact; one with AMX may
round their factors to bf16. So ``auto`` measures both, time and error, and takes the fast ones where they are quicker
and as exact; on a GPU it takes the exact ones, and TF32 is a choice.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Matmul = Literal["exact", "fast"]

_SIZE, _ROUNDS = 384, 12
_WORTH = 1.2  # times as quick, below which the usual products stay
_AS_EXACT = 4.0  # times the error of the usual ones
_NAMES = {"cpu": {"exact": "highest", "fast": "medium"}, "cuda": {"exact": "highest", "fast": "high"}}


@contextmanager
def multiplying(how: Matmul, device: str) -> Iterator[None]:
    """Multiply fp32 matrices in a way for a while, whatever torch was set to before.

    Args:
        how: exact or fast.
        device: ``cpu`` or ``cuda``.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(_NAMES[device][how])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def multiplies_fast(device: str) -> bool:
    """Whether fp32 matrices are multiplied the fast way just now."""
    return torch.get_float32_matmul_precision() == _NAMES[device]["fast"]


def settled(how: Literal["auto", "exact", "fast"], device: str) -> tuple[Matmul, str]:
    """What ``auto`` means here, and why in a few words.

    Args:
        how: as asked for.
        device: ``cpu`` or ``cuda``.
    """
    if how != "auto":
        return how, "asked for"
    if device != "cpu":
        return "exact", "fast is TF32, with fewer bits"
    return _measured(torch.get_num_threads())


@functools.cache
def _measured(threads: int) -> tuple[Matmul, str]:
    """Once a process and number of threads."""
    times, errors = compared()
    ratio = times["exact"] / times["fast"]
    if ratio < _WORTH:
        return "exact", f"measured: fast products are {ratio:.2g} times as quick"
    if errors["fast"] > _AS_EXACT * errors["exact"]:
        return "exact", f"measured: fast products are {ratio:.2g} times as quick, and less exact"
    return "fast", f"measured: {ratio:.2g} times as quick, and as exact"


def compared() -> tuple[dict[Matmul, float], dict[Matmul, float]]:
    """Seconds and relative errors of a product either way, in turns: the least seconds of several rounds."""
    random = np.random.default_rng(0)
    left, right = (torch.from_numpy(random.standard_normal((_SIZE, _SIZE), dtype=np.float32)) for _ in range(2))
    truth = left.double() @ right.double()
    ways: tuple[Matmul, Matmul] = ("exact", "fast")
    times, errors = dict.fromkeys(ways, float("inf")), dict.fromkeys(ways, 0.0)
    for _ in range(_ROUNDS):
        for way in ways:
            with multiplying(way, "cpu"):
                begin = time.perf_counter()
                product = left @ right
                times[way] = min(times[way], time.perf_counter() - begin)
            errors[way] = _error(product, truth)
    return times, errors


def _error(product: Tensor, truth: Tensor) -> float:
    return float((product - truth).norm() / truth.norm())

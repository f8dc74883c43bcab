"""What must be known of the machine to read the figures, and what is measured of it beside times."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.peers.nets import Net
from benchmarks.peers.peaks import peaks

# Dense bf16, operations a second, by what the device calls itself; the PCIe cards of these names do less.
DATA_SHEETS = {"A100": 312e12, "H100": 989e12, "H800": 989e12, "H200": 989e12}


def facts(device: str, net: Net) -> dict[str, object]:
    """The device, the versions, and the kernel of attention.

    Args:
        device: cpu or cuda.
        net: of whose attention the kernel is told.
    """
    found: dict[str, object] = {"device": device, "versions": f"torch {torch.__version__}"}
    if device == "cuda":
        major, minor = torch.cuda.get_device_capability()
        found["machine"] = f"{torch.cuda.get_device_name()}, compute capability {major}.{minor}"
        found["CUDA"] = f"{torch.version.cuda}, driver {_driver()}"
    else:
        found["machine"] = f"CPU, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"
    heads = f"{net.heads} heads of {net.hidden // net.heads}, {net.tokens} tokens, bf16"
    return {**found, f"kernel of attention, {net.name}": f"{attention_kernel(device, net)} ({heads})"}


def products() -> dict[str, object]:
    """The fastest matrix products of this run."""
    return {
        f"fastest matrix product, {precision}": f"{max(found) / 1e12:.3g} TFLOP/s"
        for (_, precision, _), found in peaks().items()
    }


def data_sheet(device: str) -> float | None:
    """Dense bf16 operations a second that the maker tells of this device; None where it is not known here."""
    if device != "cuda":
        return None
    name = torch.cuda.get_device_name()
    found = (rate for each, rate in DATA_SHEETS.items() if each in name and "PCIe" not in name)
    return next(found, None)


def _driver() -> str:
    words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(words, check=True, capture_output=True, text=True, timeout=10).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return "not told"
    return told[0] if told else "not told"


class _Kernels(TorchDispatchMode):
    """Notes the kernels of attention that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.name().partition("::")[2]
        if "attention" in name:
            self.names.append(name.strip("_").removeprefix("scaled_dot_product_"))
        return func(*args, **(kwargs or {}))


def attention_kernel(device: str, net: Net) -> str:
    """Which of torch's kernels computes a net's attention in bf16; torch's plain products where none of them does.

    Args:
        device: cpu or cuda.
        net: its heads and tokens.
    """
    shape = (1, net.heads, net.tokens, net.hidden // net.heads)
    q = torch.zeros(shape, device=device, dtype=torch.bfloat16, requires_grad=True)
    with _Kernels() as seen:
        functional.scaled_dot_product_attention(q, q, q)
    return seen.names[0] if seen.names else "plain products"


def waits(call: Callable[[], object]) -> list[str]:
    """Where a call on the GPU waits until the GPU has done what it was given: file and line, once for each time.

    Args:
        call: it, warmed up.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            call()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    told = [each for each in caught if "called a synchronizing" in str(each.message)]
    return [f"{Path(each.filename).name}:{each.lineno}" for each in told]

"""Writing tensors as torch and as safetensors files that other libraries read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from beeline.core.files import written

_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.int64: "I64", torch.int32: "I32",
    torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


def write_torch(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a state dict as ``torch.save`` does; it appears under its name when it is complete.

    Args:
        path: the file.
        tensors: by name.

    Raises:
        OSError: naming the file, of which nothing temporary is left behind.
    """
    with written(path) as file:
        torch.save(_apart(tensors), file)


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as diffusers reads them, whose loader asks for the entry ``format`` in the metadata.

    They go to the file one by one: the library's own writer first makes two copies of all of them in memory.

    Args:
        path: the file.
        tensors: by name.
        metadata: kept beside them, with ``format``.

    Raises:
        OSError: naming the file, of which nothing temporary is left behind.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # every number at a multiple of it
    reached = 0
    for name in names:
        tensor, start = tensors[name], reached
        reached += tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, reached]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with written(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            held = tensors[name].detach().to("cpu").contiguous().reshape(-1)
            file.write(held.view(torch.uint8).numpy().data)


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors on the CPU, each alone in its storage: a view brings all of it, and tied ones stay tied."""
    apart: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        held = tensor.detach().to("cpu").contiguous()
        storage = held.untyped_storage()
        if storage.nbytes() > held.numel() * held.element_size() or storage.data_ptr() in seen:
            held = held.clone()
        seen.add(held.untyped_storage().data_ptr())
        apart[name] = held
    return apart

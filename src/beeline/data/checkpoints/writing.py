"""Writing tensors as torch and as safetensors files that other libraries read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from beeline.core.files import write_bytes, written


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

    Args:
        path: the file.
        tensors: by name.
        metadata: kept beside them, with ``format``.

    Raises:
        OSError: naming the file, of which nothing temporary is left behind.
    """
    write_bytes(path, safetensors.torch.save(_apart(tensors), metadata={"format": "pt", **(metadata or {})}))


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors on the CPU, each alone in its storage: a view brings all of it, and safetensors refuses tied ones."""
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

"""The format in which a model is kept: ``model.safetensors`` (weights) beside ``model.json`` (everything else).

Weights hold no pickles; the JSON holds the complete config, the conventions and every fitted number, so that sampling
needs no data; and the text of a modality that lives in a user's file, lest it be lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from beeline.core.errors import UserError
from beeline.core.protocols import Process

FORMAT = 1
WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"


def conventions(process: Process, prediction: str, path: str) -> dict[str, Any]:
    """What must be known to read the weights' outputs, in words; compared when a model is opened (E3).

    Args:
        process: the path between data and noise.
        prediction: what the network predicts.
        path: name of the path.
    """
    low, high = process.interval(prediction)
    return {
        "time": "t = 0 is data, t = 1 is noise; x_t = alpha x0 + sigma e",
        "path": path,
        "prediction": prediction,
        "interval": [low, high],
        "time_input": process.time_input_name,
        "guidance": "u + cfg_scale (c - u); 1 is off",
        "tokens": "row-major over the grid; inside a patch (patch axes, channel)",
    }


def library_version() -> str:
    """Version of the installed package; of a source tree that was never installed, that it is one."""
    try:
        return version("beeline")
    except PackageNotFoundError:
        return "source"


def tensors_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Tensors as safetensors bytes.

    Args:
        tensors: by name.
        metadata: at most one entry, because the library writes several in no fixed order.
    """
    assert metadata is None or len(metadata) == 1
    held = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(held, metadata=dict(metadata) if metadata else None)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        UserError: the file is missing, truncated or not in that format.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: not a complete safetensors file ({error})") from None

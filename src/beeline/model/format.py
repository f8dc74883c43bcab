"""The format in which a model is kept: ``model.safetensors`` (weights) beside ``model.json`` (everything else).

Weights hold no pickles, and carry the sha256 of their contents, so that damage is named when they are read. The JSON
holds the complete config, the conventions and every fitted number, so that sampling needs no data; and the text of a
modality that lives in a user's file, lest it be lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from beeline.core.errors import UserError
from beeline.core.files import check_writable, folder_in_the_making, write_bytes, write_json, write_text
from beeline.core.protocols import Process
from beeline.nn.low_rank import merged

FORMAT = 1
WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
INITIAL = "init"  # folder of a run with what it began with
ADAPTER = "adapter.safetensors"
PARTIAL = "partial"  # mark of a file that holds only what its run trains
LOCK = ".lock"  # in a folder where a run has begun
_OTHER_ENDINGS = (".pt", ".pth", ".ckpt", ".bin", ".json", ".npz", ".onnx", ".gguf", ".zip")
_ENTRY, _DIGEST = "beeline", "sha256"


def conventions(process: Process, prediction: str, path: str) -> dict[str, Any]:
    """What must be known to read the weights' outputs, in words; compared when a model is opened (E3).

    Args:
        process: the path between data and noise.
        prediction: what the network predicts.
        path: name of the path.
    """
    low, high = process.interval(prediction)
    end = process.known_end
    last, mixed = "noise", "alpha x0 + sigma e"
    if end is not None:
        mixed = f"{mixed} + (1 - alpha) y" if process.is_gaussian else "alpha x0 + sigma y"
        last, mixed = "y", f"{mixed}, y condition {end}"
    return {
        "time": f"t = 0 is data, t = 1 is {last}; x_t = {mixed}",
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
    """Tensors as safetensors bytes, with their sha256.

    Args:
        tensors: by name.
        metadata: kept beside them.
    """
    held = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    kept = dict(metadata or {})
    # One entry holds it all, because the library writes several in no fixed order.
    entry = json.dumps({**kept, _DIGEST: _digest(held, kept)}, sort_keys=True)
    return safetensors.torch.save(held, metadata={_ENTRY: entry})


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        UserError: the file is missing, truncated, not in that format, or not as it was written.
    """
    kept = read_metadata(path)
    try:
        tensors = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise _incomplete(path, error) from None
    written = kept.pop(_DIGEST, None)
    if written is not None and written != _digest(tensors, kept):
        raise UserError(f"{path}: damaged: it is not as it was written (its sha256 differs)")
    return tensors


def read_parts(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file; where it holds only what its run trains, with those that the run began with.

    Low-rank parts stay apart from what they are added to.

    Raises:
        UserError: a file is missing or damaged.
    """
    tensors = read_tensors(path)
    if PARTIAL not in read_metadata(path):
        return tensors
    run = path.parent if path.name == ADAPTER else path.parent.parent.parent
    base = run / INITIAL / WEIGHTS
    if not base.is_file():
        raise UserError(f"{path}: holds only what its run trains, and what the run began with, {base}, is gone")
    return {**read_tensors(base), **tensors}


def read_network(path: Path) -> dict[str, Tensor]:
    """The tensors of a whole network, as ``read_parts`` finds them, with low-rank parts merged.

    Raises:
        UserError: a file is missing or damaged.
    """
    return merged(read_parts(path))


def whole_bytes(path: Path) -> bytes:
    """A weights file, completed as ``read_network`` does where it holds only what its run trains.

    Raises:
        UserError: a file is missing or damaged.
    """
    metadata = read_metadata(path)
    if metadata.pop(PARTIAL, None) is not None:
        return tensors_bytes(read_network(path), {"step": metadata["step"]})
    read_tensors(path)
    return path.read_bytes()


def read_metadata(path: Path) -> dict[str, str]:
    """What is kept beside the tensors of a file; empty where another program wrote it.

    Raises:
        UserError: the file is missing, truncated or not in that format.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            entry = json.loads((file.metadata() or {}).get(_ENTRY, "{}"))
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise _incomplete(path, error) from None
    return {str(name): str(value) for name, value in entry.items()} if isinstance(entry, dict) else {}


def _incomplete(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: not a complete safetensors file ({error})")


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Hash of names, types, shapes and numbers."""
    shapes = [[name, str(tensor.dtype), list(tensor.shape)] for name, tensor in sorted(tensors.items())]
    hashed = hashlib.sha256(json.dumps([shapes, dict(metadata)], sort_keys=True).encode())
    for _, tensor in sorted(tensors.items()):
        hashed.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()


def average_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """Which average of the weights a model holds: what its description says, else the one that training keeps.

    Args:
        description: contents of model.json.
    """
    kept: dict[str, Any] = {"profile": "exponential", "decay": description["config"]["train"]["ema_decay"]}
    return dict(description.get("ema", kept))


def check_slim(target: Path) -> None:
    """Refuse a place where no model can be written, before any long work.

    Raises:
        UserError: something lies there, it has the ending of another format, or it cannot be written to.
    """
    if target.suffix.lower() in _OTHER_ENDINGS:
        raise UserError(f"{target}: a model is written as NAME.safetensors or into a folder")
    taken = [target, target.with_suffix(".json")] if target.suffix == ".safetensors" else [target]
    for path in taken:
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise UserError(f"{path}: is there already; delete it, or name another place")
    check_writable(target)


def write_slim(target: Path, weights: bytes, description: Mapping[str, Any]) -> list[Path]:
    """Write a model that stands alone.

    Args:
        target: a folder, or NAME.safetensors, beside which goes NAME.json.
        weights: safetensors bytes.
        description: contents of model.json.

    Returns:
        the files written.
    """
    if target.suffix == ".safetensors":
        write_json(target.with_suffix(".json"), description)
        write_bytes(target, weights)
        return [target, target.with_suffix(".json")]
    with folder_in_the_making(target) as folder:
        write_bytes(folder / WEIGHTS, weights)
        write_json(folder / DESCRIPTION, description)
        if description["modality"].get("text") is not None:
            write_text(folder / "modality.py", description["modality"]["text"])
    return sorted(target.iterdir(), key=lambda path: path.suffix, reverse=True)

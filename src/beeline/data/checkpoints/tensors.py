"""The tensors of a torch file or of a safetensors file, with everything that the file claims checked beforehand."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from beeline.core.errors import UserError
from beeline.data.checkpoints.archive import MOST_TEXT, file_size, open_archive, shown, unreadable
from beeline.data.checkpoints.pickles import check_pickle

_CHUNK = 2**20
_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip


def load_torch(path: Path) -> Any:
    """What lies in a torch file: its tensors are views of the file, in memory only once they are copied.

    Raises:
        UserError: the archive or the pickle in it is refused.
    """
    archive = open_archive(path)
    check_pickle(path, archive.pickle, archive.storages)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(str(path.absolute()), map_location="cpu", weights_only=True, mmap=True)
    except OSError as error:
        raise unreadable(path, error) from None
    except Exception as error:  # torch raises a dozen kinds for what the checks above have not foreseen
        raise UserError(f"{path}: torch cannot read it ({shown(str(error).partition(chr(10))[0])})") from None


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, as views of the file.

    Raises:
        UserError: its header claims what the file does not hold.
    """
    names = _check_header(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in names}
    except OSError as error:
        raise unreadable(path, error) from None
    except Exception as error:  # as above
        raise UserError(f"{path}: not a complete safetensors file ({shown(str(error))}); fetch it again") from None


def read_json_file(path: Path) -> Any:
    """The value in a JSON file that somebody else wrote.

    Raises:
        UserError: it is missing, unreadable, too large, nested too deeply, has a key twice, or is not JSON.
    """
    if file_size(path) > MOST_TEXT:
        raise UserError(f"{path}: has {file_size(path)} bytes; more than {MOST_TEXT} of JSON are not read")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None
    return _parsed(path, data)


def own_tensors(path: Path, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors that lie in a file, contiguous; what the file holds once under two names stays one tensor.

    Args:
        path: the file, for messages.
        views: as loaded.

    Raises:
        UserError: one is not dense, or holds NaN or infinity, or together they have more bytes than the file.
    """
    copies: dict[Any, Tensor] = {}
    left, tensors = file_size(path), {}
    for name, view in views.items():
        _check_dense(path, name, view)
        place = (view.untyped_storage().data_ptr(), view.storage_offset(), view.shape, view.stride(), view.dtype)
        if place not in copies or not view.numel():
            left -= view.numel() * view.element_size()
            if left < 0:
                raise UserError(f"{path}: its tensors claim more bytes than it holds; save each with .clone()")
            copies[place] = view.detach().clone(memory_format=torch.contiguous_format)
            _check_finite(path, name, copies[place])
        tensors[name] = copies[place]
    return tensors


def _check_dense(path: Path, name: str, tensor: Tensor) -> None:
    """Refuse what is no plain array on the CPU that its storage holds in full."""
    usual = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not usual or tensor.is_complex() or tensor.is_conj() or tensor.is_neg():
        raise UserError(f"{path}: tensor {shown(name)} is no dense array of real numbers; save it as one")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UserError(f"{path}: tensor {shown(name)} claims more numbers than its storage holds; damaged")


def _check_finite(path: Path, name: str, tensor: Tensor) -> None:
    if not tensor.is_floating_point():
        return
    for chunk in tensor.reshape(-1).split(_CHUNK):
        numbers = chunk.float() if chunk.element_size() == 1 else chunk
        if not torch.isfinite(numbers).all():
            kind = "NaN" if torch.isnan(numbers).any() else "infinity"
            raise UserError(f"{path}: tensor {shown(name)} holds {kind}; take a checkpoint from before it diverged")


def _check_header(path: Path) -> list[str]:
    """Names of the tensors, after everything that the header of a safetensors file claims was compared with it."""
    size = file_size(path)
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 10 or length > size - 8:
                raise UserError(
                    f"{path}: its header claims {length} bytes in a file of {size}; no whole safetensors file"
                )
            if length > MOST_TEXT:
                raise UserError(f"{path}: its header has {length} bytes; more than {MOST_TEXT} are not read")
            header = _parsed(path, file.read(length), "its header is ")
    except OSError as error:
        raise unreadable(path, error) from None
    if not isinstance(header, dict):
        raise UserError(f"{path}: damaged: its header is no list of tensors; fetch it again")
    header.pop("__metadata__", None)
    spans = sorted(_span(path, name, entry) for name, entry in header.items())
    reached = 0
    for start, end, name in spans:
        if start != reached:
            raise UserError(f"{path}: damaged: tensor {shown(name)} overlaps another or leaves a gap; fetch it again")
        reached = end
    if reached != size - 8 - length:
        raise UserError(f"{path}: cut short or damaged: {reached} bytes of tensors claimed, {size - 8 - length} there")
    return list(header)


def _span(path: Path, name: str, entry: Any) -> tuple[int, int, str]:
    """Where a tensor begins and ends."""
    match entry:
        case {"dtype": str() as dtype, "shape": [*shape], "data_offsets": [int() as start, int() as end]}:
            if dtype not in _BYTES:
                raise UserError(f"{path}: tensor {shown(name)} has dtype {shown(dtype)}; known: {', '.join(_BYTES)}")
            counts = all(type(each) is int and 0 <= each < 2**62 for each in shape) and len(shape) <= 32
            if counts and start >= 0 and end - start == math.prod(shape) * _BYTES[dtype]:
                return start, end, name
    raise UserError(f"{path}: damaged: the size of tensor {shown(name)} does not fit its shape; fetch it again")


def _parsed(path: Path, data: bytes, what: str = "") -> Any:
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")  # so that it can be written again
        return value
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: {what}not readable as JSON ({shown(str(error))}); fetch it again") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        raise ValueError(f"a key is there twice, one of {shown(sorted(held))}")
    return held

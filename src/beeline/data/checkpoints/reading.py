"""Reading checkpoints of other libraries: any file is taken for hostile until all that it claims has been checked.

No pickle is executed: a torch file is followed by a reader that builds plain values only (``pickles``), then loaded
with ``weights_only=True`` and nothing but ``argparse.Namespace`` allowed as inert data. What cannot be read is named in
one line, and nothing is allocated that a file only claims to hold.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from beeline.core.errors import UserError, unknown
from beeline.data.checkpoints.archive import shown, unreadable
from beeline.data.checkpoints.tensors import load_safetensors, load_torch, own_tensors, read_json_file

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model"
_AVERAGED = ("ema", "model_ema", "model_ema1", "ema_model", "ema_state_dict")
_RAW = ("model", "state_dict", "model_state_dict", "module", "net", "weights")
_OPTIONS = ("args", "config", "cfg", "hparams", "hyper_parameters")
_PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and of torch.compile
_DEEPEST, _MOST_OPTIONS = 20, 100_000


@dataclass(frozen=True)
class ForeignFile:
    """What was read from another library's checkpoint.

    Args:
        path: as named.
        tensors: by name, on the CPU, dense and contiguous, in the stored dtype; a ``module.`` or ``_orig_mod.`` before
            every name is removed. What the file holds once under two names is one tensor.
        sha256: of the file of weights; of the bytes of all of them in the order of their names when there are several.
        options: inert facts beside the tensors, as JSON has them: ``args`` as a dict, ``config``, ``epoch``, ``steps``.
        groups: names of the sets of weights in a training file, such as ``model`` and ``ema``; empty for others.
        config: contents of a folder's config.json; empty for a file.
    """

    path: Path
    tensors: dict[str, Tensor]
    sha256: str
    options: dict[str, Any]
    groups: tuple[str, ...]
    config: dict[str, Any]


def read_foreign(path: Path, weights: Literal["ema", "raw"] = "ema") -> ForeignFile:
    """Read a .pt, .pth, .ckpt, .bin or .safetensors file, or a diffusers folder with config.json.

    Args:
        path: the file or folder.
        weights: of a training file, the averaged weights (``ema``; the others where it has no average) or those that
            were trained (``raw``).

    Raises:
        UserError: one line that names the file and what is wrong with it.
    """
    if weights not in ("ema", "raw"):
        raise unknown("weights", weights, ("ema", "raw"))
    try:
        return _read_folder(path) if path.is_dir() else _read_file(path, weights)
    except OSError as error:
        raise unreadable(Path(error.filename or path), error) from None


def _read_file(path: Path, weights: str) -> ForeignFile:
    tree = _load(path)
    state, groups = _chosen(path, tree, weights)
    tensors = _named_plainly(own_tensors(path, _state(path, state)))
    return ForeignFile(path, tensors, _sha256([path]), _options(path, tree, groups), groups, {})


def _load(path: Path) -> Any:
    return load_safetensors(path) if path.suffix.lower() == ".safetensors" else load_torch(path)


def _read_folder(folder: Path) -> ForeignFile:
    if not (folder / CONFIG).is_file():
        hint = "name its transformer folder" if (folder / "model_index.json").is_file() else "name a file of weights"
        raise UserError(f"{folder}: holds no {CONFIG}, so it is no folder of a diffusers model; {hint}")
    config = read_json_file(folder / CONFIG)
    if not isinstance(config, dict):
        raise UserError(f"{folder / CONFIG}: needs to be a JSON object of options")
    found = _weights_of(folder)
    if found.suffix == ".json":
        files = _shards(folder, found)
        tensors = _sharded(found, files)
    else:
        files = {found.name: set()}
        tensors = own_tensors(found, _state(found, _chosen(found, _load(found), "raw")[0]))
    sums = _sha256([folder / name for name in sorted(files)])
    return ForeignFile(folder, _named_plainly(tensors), sums, {}, (), config)


def _weights_of(folder: Path) -> Path:
    """The file of weights, or the index of several."""
    names = sorted(each.name for each in folder.iterdir() if each.name.startswith(f"{WEIGHTS}."))
    for usual in ("safetensors", "safetensors.index.json", "bin", "bin.index.json"):
        if f"{WEIGHTS}.{usual}" in names:
            return folder / f"{WEIGHTS}.{usual}"
    indices = [name for name in names if ".index" in name and name.endswith(".json")]
    whole = [name for name in names if name.endswith((".safetensors", ".bin")) and "-of-" not in name]
    variants = [name for name in whole if name.endswith(".safetensors")] or indices or whole
    if len(variants) == 1:
        return folder / variants[0]
    if variants:
        raise UserError(f"{folder}: holds several variants ({shown(', '.join(variants))}); leave one of them there")
    raise UserError(f"{folder}: holds no {WEIGHTS}.safetensors or .bin, nor an index of parts of it")


def _shards(folder: Path, index: Path) -> dict[str, set[str]]:
    """Names of the tensors that each file should hold."""
    held = read_json_file(index)
    places = held.get("weight_map") if isinstance(held, dict) else None
    if not isinstance(places, dict) or not places:
        raise UserError(f"{index}: has no weight_map that names a file for each tensor; fetch it again")
    files: dict[str, set[str]] = {}
    for tensor, name in places.items():
        plain = isinstance(name, str) and name.isprintable() and not set(name) & set("/\\:") and name[:1] != "."
        if not plain or not name.endswith((".safetensors", ".bin")):
            raise UserError(f"{index}: {shown(name)} is no name of a .safetensors or .bin file beside it; refused")
        files.setdefault(name, set()).add(tensor)
    for name in sorted(files):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: is missing, though {index.name} names it; fetch it")
    return files


def _sharded(index: Path, files: Mapping[str, set[str]]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, promised in sorted(files.items()):
        path = index.with_name(name)
        views = _state(path, _load(path))
        for missing in sorted(promised - views.keys()):
            raise UserError(f"{path}: holds no tensor {shown(missing)}, though {index.name} says so; fetch it again")
        for extra in sorted(views.keys() - promised):
            raise UserError(f"{path}: holds the tensor {shown(extra)}, of which {index.name} does not know; fetch both")
        tensors |= own_tensors(path, views)
    return tensors


def _chosen(path: Path, tree: Any, weights: str) -> tuple[Any, tuple[str, ...]]:
    """The state dict that was asked for, and the names of all in a training file."""
    if not isinstance(tree, dict):
        raise UserError(f"{path}: holds no dictionary of tensors but {type(tree).__name__}; save a state_dict()")
    groups = tuple(name for name in (*_RAW, *_AVERAGED) if isinstance(tree.get(name), dict))
    if not groups:
        return tree, ()
    averaged = [name for name in _AVERAGED if name in groups]
    raw = [name for name in _RAW if name in groups]
    if weights == "raw" and not raw:
        raise UserError(f"{path}: holds averaged weights only ({', '.join(groups)}); ask for ema")
    return tree[(averaged or raw)[0] if weights == "ema" else raw[0]], groups


def _state(path: Path, state: Any) -> dict[str, Tensor]:
    """A state dict, every name and value of which is one."""
    if not isinstance(state, dict) or not state:
        raise UserError(f"{path}: holds no tensors; name a file of weights")
    tensors: dict[str, Tensor] = {}
    for name, value in state.items():
        if not isinstance(name, str) or not name:
            raise UserError(
                f"{path}: a tensor is named {shown(name)}, where a state dict has names; save a state_dict()"
            )
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise UserError(f"{path}: its entry {shown(name)} is {kind}, not a tensor; save the state_dict() alone")
        tensors[name] = value.detach()
    return tensors


def _named_plainly(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without what wrappers put before every name."""
    for prefix in [*_PREFIXES, *_PREFIXES]:  # in either order
        if all(name.startswith(prefix) and name != prefix for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _options(path: Path, tree: dict[Any, Any], groups: tuple[str, ...]) -> dict[str, Any]:
    """The facts beside the weights of a training file; not its optimiser."""
    if not groups:
        return {}
    left = iter(range(_MOST_OPTIONS))
    options: dict[str, Any] = {}
    for name, value in tree.items():
        scalar = value is None or isinstance(value, bool | int | float | str)
        if isinstance(name, str) and name not in groups and (scalar or name in _OPTIONS):
            try:
                options[name] = _plain(value, left, _DEEPEST)
            except (StopIteration, RecursionError):
                raise UserError(
                    f"{path}: its '{name}' is nested too deeply, or too long; save the weights alone"
                ) from None
    return options


def _plain(value: Any, left: Iterator[int], depth: int) -> Any:
    """A value as JSON has it; what JSON has no word for is its text."""
    next(left)
    if not depth:
        raise RecursionError
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    if isinstance(value, dict):
        return {str(key): _plain(each, left, depth - 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, left, depth - 1) for each in value]
    return f"tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else str(value)


def _sha256(files: list[Path]) -> str:
    hashed = hashlib.sha256()
    for path in files:
        with open(path, "rb") as file:
            while piece := file.read(2**20):
                hashed.update(piece)
    return hashed.hexdigest()

"""Checkpoint files that are damaged or hostile, each with what its one line of refusal must say."""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

STATE = {"one.weight": torch.arange(6.0).reshape(2, 3), "one.bias": torch.tensor([0.5, -1.0]).half()}
EVIL = "touched-by-a-pickle"


class Storage:
    """A storage as a pickle names it."""

    def __init__(self, key: str, numel: int, kind: Any = torch.FloatStorage) -> None:
        self.identity = ("storage", kind, key, "cpu", numel)


class Call:
    """A call that a pickle asks for."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.asked = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.asked


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return obj.identity if isinstance(obj, Storage) else None


def pickled(value: Any) -> bytes:
    """The pickle that torch would write."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue()


def claim(storage: Storage, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> Call:
    """A tensor as a pickle describes it."""
    return Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict())


def torch_zip(
    path: Path, value: Any, storages: Mapping[str, bytes] | None = None, method: int = zipfile.ZIP_STORED
) -> Path:
    """A torch file with any pickle in it: a value to be pickled, or the pickle's bytes."""
    records = {"data.pkl": value if isinstance(value, bytes) else pickled(value), "byteorder": b"little"}
    records |= {f"data/{key}": held for key, held in (storages or {}).items()} | {"version": b"3\n"}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, held in records.items():
            archive.writestr(f"archive/{name}", held)
    return path


def torch_file(path: Path, value: Any) -> Path:
    """What torch.save writes."""
    torch.save(value, path)
    return path


def training_file(path: Path) -> Path:
    """What the train.py of DiT writes."""
    ema = {name: tensor + 1 for name, tensor in STATE.items()}
    adam = {"state": {0: {"step": torch.tensor(7.0), "exp_avg": torch.ones(2, 3)}}, "param_groups": [{"lr": 1e-4}]}
    arguments = argparse.Namespace(model="DiT-S/2", image_size=64, betas=(0.9, float("inf")), where=None)
    return torch_file(path, {"model": STATE, "ema": ema, "opt": adam, "args": arguments, "epoch": 3})


def safetensors_file(path: Path, header: Any, data: bytes = b"", claimed: int | None = None) -> Path:
    """A safetensors file with any header: a value to be written as JSON, or its text."""
    text = header.encode() if isinstance(header, str) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if claimed is None else claimed) + text + data)
    return path


def diffusers_folder(folder: Path, index: Any = None, shards: Mapping[str, Mapping[str, Tensor]] | None = None) -> Path:
    """A folder as diffusers saves one: whole, or in parts with an index."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"_class_name": "Transformer2DModel"}')
    name = "diffusion_pytorch_model.safetensors"
    if index is None:
        (folder / name).write_bytes(safetensors.torch.save(STATE, metadata={"format": "pt"}))
    else:
        (folder / f"{name}.index.json").write_text(index if isinstance(index, str) else json.dumps(index))
    for part, tensors in (shards or {}).items():
        (folder / part).write_bytes(safetensors.torch.save(dict(tensors), metadata={"format": "pt"}))
    return folder


def _deep(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def _doubled(times: int) -> list[Any]:
    value: list[Any] = [1]
    for _ in range(times):
        value = [value, value]
    return value


def _changed(path: Path, change: Callable[[bytearray], None]) -> Path:
    data = bytearray(torch_file(path, STATE).read_bytes())
    change(data)
    path.write_bytes(data)
    return path


def _claimed_record(data: bytearray) -> None:
    """The table of contents says that the last storage has 2 GB."""
    place = data.rindex(b"data/1")
    entry = data.rindex(b"PK\x01\x02", 0, place)
    data[entry + 20 : entry + 28] = struct.pack("<2I", 2**31 - 1, 2**31 - 1)


def _claimed_table(data: bytearray) -> None:
    """The end of the archive says that its table of contents has 4 EB."""
    place = data.rindex(b"PK\x06\x06")
    data[place + 40 : place + 48] = struct.pack("<Q", 2**62)


def _claimed_count(data: bytearray) -> None:
    place = data.rindex(b"PK\x06\x06")
    data[place + 24 : place + 40] = struct.pack("<2Q", 2**40, 2**40)


def _flip(data: bytearray) -> None:
    data[data.index(struct.pack("<6f", *range(6))) + 9] ^= 0x10


def _zip_of_text(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("letters/one.txt", "text")
    return path


def _script(path: Path) -> Path:
    with zipfile.ZipFile(torch_zip(path, b"\x80\x02}."), "a") as archive:
        archive.writestr("archive/constants.pkl", b"\x80\x02).")
    return path


def _twice(path: Path) -> Path:
    with zipfile.ZipFile(torch_zip(path, STATE_CLAIMED, STORED), "a") as archive:
        archive.writestr("archive/DATA.pkl", b"\x80\x02}.")
    return path


def _outside(path: Path) -> Path:
    with zipfile.ZipFile(torch_zip(path, STATE_CLAIMED, STORED), "a") as archive:
        archive.writestr("../../escaped", b"text")
    return path


def _tar(path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    return path


def _old(path: Path) -> Path:
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    return path


def _bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _circle(path: Path) -> Path:
    path.symlink_to(path)
    return path


def _sparse(path: Path, size: int, head: bytes = b"") -> Path:
    """A large file that takes no room on the disk."""
    path.write_bytes(head)
    os.truncate(path, size)
    return path


STORED = {"0": bytes(16)}
STATE_CLAIMED = {"a": claim(Storage("0", 4), (2, 2), (2, 1))}
_TOUCH = f"touch {EVIL}"
_NESTED_KEY = b"\x80\x02}" + b")" + b"\x85" * 300_000 + b"K\x01s."
_TWO_STATES = (
    b"\x80\x02}X\x01\x00\x00\x00acargparse\nNamespace\n)\x81}X\x0c\x00\x00\x00__setstate__ctorch\ndevice\nsb"
    b"X\x03\x00\x00\x00cpubs."
)
_ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
_NAN, _INFINITE = torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("-inf")]).half()
_MAP = {"weight_map": {"one.weight": "part-1.safetensors", "one.bias": "part-2.safetensors"}}
_PARTS = {
    "part-1.safetensors": {"one.weight": STATE["one.weight"]},
    "part-2.safetensors": {"one.bias": STATE["one.bias"]},
}


def _index(name: str) -> Callable[[Path], Path]:
    return lambda path: diffusers_folder(path, {"weight_map": {"a": name}})


def _pickle(value: Any, storages: Mapping[str, bytes] | None = None) -> Callable[[Path], Path]:
    return lambda path: torch_zip(path.with_suffix(".pt"), value, storages)


def _state(value: Any) -> Callable[[Path], Path]:
    return lambda path: torch_file(path.with_suffix(".pt"), value)


def _header(header: Any, data: bytes = b"", claimed: int | None = None) -> Callable[[Path], Path]:
    return lambda path: safetensors_file(path.with_suffix(".safetensors"), header, data, claimed)


def _folder(change: Callable[[Path], object]) -> Callable[[Path], Path]:
    def build(path: Path) -> Path:
        change(diffusers_folder(path))
        return path

    return build


PICKLES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a command": (_pickle({"a": Call(os.system, _TOUCH)}), "asks for posix.system, which is refused"),
    "a command among tensors": (
        _pickle({**STATE_CLAIMED, "b": Call(os.system, _TOUCH)}, STORED),
        "asks for posix.system, which is refused",
    ),
    "a text to execute": (_pickle({"a": Call(exec, f"open('{EVIL}', 'w')")}), "asks for builtins.exec"),
    "a program": (_pickle(b"\x80\x02csubprocess\nPopen\nX\x05\x00\x00\x00touch\x85R."), "asks for subprocess.Popen"),
    "an attribute of a module": (_pickle(b"\x80\x02ctorch.hub\nload\n)R."), "asks for torch.hub.load"),
    "a million million bytes": (_pickle({"a": Call(bytearray, 2**40)}), "asks for builtins.bytearray"),
    "a storage of any size": (_pickle({"a": Call(torch.UntypedStorage, 2**40)}), "asks for torch.storage.Untyped"),
    "a tensor of any size": (_pickle({"a": Call(torch.Tensor, 2**20, 2**20)}), "asks for torch."),
    "a sparse tensor": (_state({"a": torch.eye(3).to_sparse()}), "asks for torch._utils._rebuild_sparse_tensor"),
    "a complex tensor": (_state({"a": torch.zeros(2, dtype=torch.complex64)}), "asks for torch.ComplexFloatStorage"),
    "a meta tensor": (_state({"a": torch.empty(2**40, device="meta")}), "asks for torch._utils._rebuild_meta_tensor"),
    "a whole module": (_state(torch.nn.Linear(2, 2)), "asks for torch.nn.modules.linear.Linear"),
    "a method put into a Namespace": (_pickle(_TWO_STATES), "sets attributes of a Namespace"),
    "a conjugated view": (
        _pickle(
            {
                "a": Call(
                    torch._utils._rebuild_tensor_v2, Storage("0", 4), 0, (4,), (1,), False, OrderedDict(), {"neg": True}
                )
            },
            STORED,
        ),
        "negated view",
    ),
    "a call with too much": (_pickle({"a": Call(OrderedDict, [("a", 1)])}), "calls collections.OrderedDict as"),
    "another protocol": (lambda path: torch_zip(path.with_suffix(".pt"), pickle.dumps({}, 4)), "has protocol 4"),
    "an unknown operation": (_pickle(b"\x80\x02\x8b\xff\xff\xff\x7f."), "cannot be followed"),
    "a long number": (_pickle(b"\x80\x02\x8b\x01\x00\x00\x00\x01."), "holds the operation LONG4"),
    "a text longer than the file": (_pickle(b"\x80\x02X\xff\xff\xff\x7fab."), "cannot be followed"),
    "half of a surrogate pair": (_pickle(b"\x80\x02}X\x03\x00\x00\x00\xed\xa0\x80K\x01s."), "cannot be followed"),
    "a pickle that takes what is not there": (_pickle(b"\x80\x02\x86."), "takes more than it has put"),
    "a pickle that reads what is not there": (_pickle(b"\x80\x02h\x07."), "cannot be followed"),
    "a pickle without end": (_pickle(b"\x80\x02}"), "cannot be followed"),
    "a key nested deeply": (_pickle(_NESTED_KEY), "neither text nor a number"),
    "options nested deeply": (
        _pickle({"model": STATE_CLAIMED, "args": _deep(100)}, STORED),
        "'args' is nested too deeply",
    ),
    "options that double": (
        _pickle({"model": STATE_CLAIMED, "args": _doubled(18)}, STORED),
        "'args' is nested too deeply",
    ),
    "a storage larger than its record": (
        _pickle({"a": claim(Storage("0", 2**30), (2,), (1,))}, STORED),
        "storage 0 claims 4294967296 bytes and has 16",
    ),
    "a storage that is missing": (_pickle({"a": claim(Storage("7", 4), (4,), (1,))}, STORED), "storage 7 is missing"),
    "a storage of two types": (
        _pickle(
            {"a": claim(Storage("0", 16, torch.ByteStorage), (16,), (1,)), "b": claim(Storage("0", 4), (4,), (1,))},
            STORED,
        ),
        "storage 0 claims",
    ),
    "a tensor larger than its storage": (
        _pickle({"a": claim(Storage("0", 4), (2**15, 2**15), (2**15, 1))}, STORED),
        "shape [32768, 32768] does not fit its storage 0, which holds 4 numbers",
    ),
    "a tensor that shows one number often": (
        _pickle({"a": claim(Storage("0", 4), (2**30,), (0,))}, STORED),
        "shape [1073741824] does not fit",
    ),
    "a tensor beyond the end": (_pickle({"a": claim(Storage("0", 4), (2,), (1,), 3)}, STORED), "does not fit"),
    "a tensor with steps beyond the end": (_pickle({"a": claim(Storage("0", 4), (2,), (9,))}, STORED), "does not fit"),
    "a tensor before the beginning": (_pickle({"a": claim(Storage("0", 4), (2,), (1,), -2)}, STORED), "is no count"),
    "a shape of huge numbers": (_pickle({"a": claim(Storage("0", 4), (2**900,), (1,))}, STORED), "is no count"),
    "a shape of another length": (_pickle({"a": claim(Storage("0", 4), (2, 2), (1,))}, STORED), "has no shape"),
    "views that add up to more than the file": (
        _pickle({str(k): claim(Storage("0", 2**10), (2**9,), (1,), k) for k in range(500)}, {"0": bytes(2**12)}),
        "its tensors claim more bytes than it holds",
    ),
}

ARCHIVES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing": (lambda path: path.with_suffix(".pt"), "no such file"),
    "nothing at all in it": (lambda path: _bytes(path, b""), "is empty"),
    "a device": (lambda path: Path(os.devnull), "is no ordinary file"),
    "a name that goes round in circles": (_circle, "o such file"),
    "a page of the web": (lambda path: _bytes(path, b"<!DOCTYPE html>" * 40), "is no torch file"),
    "torch's old format": (_old, "torch's old format"),
    "torch's oldest format": (_tar, "torch's oldest format"),
    "another format's file": (
        lambda path: safetensors_file(path, {"a": _ONE}, bytes(8)),
        "looks like a safetensors file",
    ),
    "a zip of something else": (lambda path: _zip_of_text(path), "without data.pkl"),
    "a program of TorchScript": (lambda path: _script(path), "is a TorchScript program"),
    "compressed records": (
        lambda path: torch_zip(
            path, {"a": claim(Storage("0", 2**24), (2**24,), (1,))}, {"0": bytes(2**26)}, zipfile.ZIP_DEFLATED
        ),
        "is compressed",
    ),
    "cut in the middle": (lambda path: _changed(path, lambda data: data.__delitem__(slice(700, None))), "cut short"),
    "cut by one byte": (lambda path: _changed(path, lambda data: data.__delitem__(-1)), "cut short"),
    "cut to a few bytes": (lambda path: _changed(path, lambda data: data.__delitem__(slice(5, None))), "cut short"),
    "something behind the end": (
        lambda path: _changed(path, lambda data: data.extend(b"more")),
        "cut short or damaged",
    ),
    "a flipped bit": (lambda path: _changed(path, _flip), "data/0 differs from its checksum"),
    "a record that claims 2 GB": (lambda path: _changed(path, _claimed_record), "its records claim 2147"),
    "a table that claims 4 EB": (lambda path: _changed(path, _claimed_table), "cut short or damaged"),
    "a table that claims a million million records": (
        lambda path: _changed(path, _claimed_count),
        "claims 1099511627776",
    ),
    "a record twice": (_twice, "archive/DATA.pkl is there twice"),
    "a record outside": (_outside, "../../escaped lies outside"),
}

STATES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no dictionary": (_state([torch.ones(2)]), "holds no dictionary of tensors but list"),
    "no tensors": (_state({}), "holds no tensors"),
    "no tensors among the weights": (_state({"model": {}, "epoch": 3}), "holds no tensors"),
    "something that is no tensor": (_state({**STATE, "epoch": 3}), "its entry epoch is int, not a tensor"),
    "a number for a name": (_state({0: torch.ones(2)}), "a tensor is named 0"),
    "a name of two lines": (_state({"a\nb": 1}), "its entry 'a\\nb' is int"),
    "NaN": (_state({**STATE, "two.weight": _NAN}), "tensor two.weight holds NaN"),
    "infinity": (_state({**STATE, "two.weight": _INFINITE}), "tensor two.weight holds infinity"),
    "NaN in safetensors": (
        lambda path: _bytes(path.with_suffix(".safetensors"), safetensors.torch.save({"a": _NAN})),
        "tensor a holds NaN",
    ),
}

HEADERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a header of 2 GB": (_header({"a": _ONE}, bytes(8), 2**31), "its header claims 2147483648 bytes in a file of"),
    "a header without bound": (_header({"a": _ONE}, bytes(8), 2**64 - 1), "its header claims 18446744073709551615"),
    "a header of 2 GB that is there": (
        lambda path: _sparse(path.with_suffix(".safetensors"), 2**31 + 8, struct.pack("<Q", 2**31)),
        "are not read",
    ),
    "a header cut short": (
        lambda path: _bytes(path.with_suffix(".safetensors"), b"\x02\0\0"),
        "no whole safetensors file",
    ),
    "tensors cut short": (_header({"a": _ONE}, bytes(7)), "8 bytes of tensors claimed, 7 there"),
    "more than the tensors": (_header({"a": _ONE}, bytes(9)), "8 bytes of tensors claimed, 9 there"),
    "tensors that overlap": (
        _header({"a": _ONE, "b": {**_ONE, "data_offsets": [4, 12]}}, bytes(12)),
        "overlaps another",
    ),
    "a gap": (_header({"a": {**_ONE, "data_offsets": [4, 12]}}, bytes(12)), "leaves a gap"),
    "a shape that does not fit": (_header({"a": {**_ONE, "shape": [3]}}, bytes(8)), "tensor a does not fit its shape"),
    "a shape beyond memory": (_header({"a": {**_ONE, "shape": [2**40, 2**40]}}, bytes(8)), "does not fit its shape"),
    "a shape below zero": (_header({"a": {**_ONE, "shape": [-1, -2]}}, bytes(8)), "does not fit its shape"),
    "offsets backwards": (_header({"a": {**_ONE, "data_offsets": [8, 0]}}, bytes(8)), "does not fit its shape"),
    "an unknown dtype": (_header({"a": {**_ONE, "dtype": "F3"}}, bytes(8)), "has dtype F3; known: F64"),
    "an entry that is none": (_header({"a": 7}), "does not fit its shape"),
    "a header that is a list": (_header([1]), "is no list of tensors"),
    "a header that is no JSON": (_header("{nothing}"), "not readable as JSON"),
    "a header nested deeply": (_header('{"a":' * 100_000), "not readable as JSON"),
    "a name twice": (
        _header(f'{{"a": {json.dumps(_ONE)}, "a": {json.dumps(_ONE)}}}', bytes(8)),
        "a key is there twice",
    ),
    "no tensors in safetensors": (_header({}), "holds no tensors"),
    "metadata that is none": (_header({"__metadata__": {"a": [1]}, "a": _ONE}, bytes(8)), "not a complete safetensors"),
}

FOLDERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no config": (_folder(lambda path: (path / "config.json").unlink()), "holds no config.json"),
    "a pipeline": (
        _folder(lambda path: (path / "config.json").rename(path / "model_index.json")),
        "holds no config.json, so it is no folder of a diffusers model; name its transformer folder",
    ),
    "a config that is no object": (_folder(lambda path: (path / "config.json").write_text("[1]")), "JSON object"),
    "a config with a key twice": (
        _folder(lambda path: (path / "config.json").write_text('{"a": 1, "a": 2}')),
        "config.json: not readable as JSON (a key is there twice",
    ),
    "a config with a number beyond any": (
        _folder(lambda path: (path / "config.json").write_text('{"a": 1e999}')),
        "JSON",
    ),
    "a config of 4 GB": (_folder(lambda path: _sparse(path / "config.json", 2**32)), "of JSON are not read"),
    "no weights": (_folder(lambda path: next(path.glob("*.safetensors")).unlink()), "holds no diffusion_pytorch_model"),
    "two variants": (
        _folder(
            lambda path: (
                (path / "diffusion_pytorch_model.safetensors").rename(
                    path / "diffusion_pytorch_model.fp16.safetensors"
                ),
                _bytes(path / "diffusion_pytorch_model.non_ema.safetensors", b"text"),
            )
        ),
        "holds several variants",
    ),
    "a path up": (_index("../part.safetensors"), "../part.safetensors is no name of a"),
    "a path from the root": (_index("/etc/passwd"), "/etc/passwd is no name of a"),
    "a path down": (_index("sub/part.safetensors"), "sub/part.safetensors is no name of a"),
    "a path of another system": (_index("C:\\part.safetensors"), "is no name of a"),
    "the folder above": (_index(".."), ".. is no name of a"),
    "a name of something else": (_index("config.json"), "config.json is no name of a"),
    "a name with an end in it": (_index("part\0.safetensors"), "is no name of a"),
    "an index without a map": (lambda path: diffusers_folder(path, {"metadata": {}}), "has no weight_map"),
    "an index nested deeply": (lambda path: diffusers_folder(path, "[" * 200_000), "not readable as JSON"),
    "an index cut short": (lambda path: diffusers_folder(path, json.dumps(_MAP)[:40]), "not readable as JSON"),
    "a missing part": (
        lambda path: diffusers_folder(path, _MAP, {"part-1.safetensors": _PARTS["part-1.safetensors"]}),
        "part-2.safetensors: is missing, though diffusion_pytorch_model.safetensors.index.json names it",
    ),
    "a tensor that the index does not know": (
        lambda path: diffusers_folder(path, _MAP, {**_PARTS, "part-2.safetensors": STATE}),
        "part-2.safetensors: holds the tensor one.weight, of which",
    ),
    "a tensor that is not there": (
        lambda path: diffusers_folder(
            path, {"weight_map": {**_MAP["weight_map"], "two": "part-1.safetensors"}}, _PARTS
        ),
        "part-1.safetensors: holds no tensor two, though",
    ),
    "a damaged part": (
        lambda path: (diffusers_folder(path, _MAP, _PARTS), _sparse(path / "part-2.safetensors", 40))[0],
        "part-2.safetensors: ",
    ),
}

CORPUS = {**PICKLES, **ARCHIVES, **STATES, **HEADERS, **FOLDERS}

"""What a torch file's pickle would do, followed without doing it.

``torch.load(weights_only=True)`` runs no foreign code, but it still lets a file ask for arrays of any size
(``bytearray(10**12)``, a tensor larger than its storage), for sparse, nested and quantised tensors, and for keys nested
so deeply that hashing them ends the process. So the pickle is first followed by this reader, which builds plain values
only and stops at the first thing that a state dict has no need of.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from beeline.core.errors import UserError
from beeline.data.checkpoints.archive import shown

_MOST_STEPS = 1_000_000  # a training file of DiT-XL has 70 thousand
_MOST_DIMENSIONS = 32
_MOST_COUNTED = 1000
_STORAGES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1,
}  # fmt: skip
_FUNCTIONS = {
    "collections OrderedDict", "collections Counter", "torch Size", "torch device", "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter", "argparse Namespace",
}  # fmt: skip


class _RefusedError(Exception):
    """Why a pickle is not loaded."""


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class _Storage:
    key: str
    kind: str
    numel: int


class _Ordered(dict[Any, Any]):
    """An OrderedDict."""


class _Namespace:
    """An argparse.Namespace."""

    filled = False


class _Inert:
    """Anything that can be neither called nor changed."""


_TENSOR, _OTHER = _Inert(), _Inert()


def check_pickle(path: Path, data: bytes, storages: Mapping[str, int]) -> None:
    """Follow a pickle without executing it, and refuse what goes beyond tensors and plain values.

    Args:
        path: the file it comes from, for messages.
        data: the pickle.
        storages: bytes of each storage in the file, by key.

    Raises:
        UserError: it is damaged, asks for anything to be imported or called that a state dict does not need, or
            describes a tensor larger than its storage.
    """
    follower = _Follower(storages)
    try:
        for count, (operation, argument, _) in enumerate(pickletools.genops(data)):
            if count > _MOST_STEPS:
                raise _RefusedError(f"its pickle has more than {_MOST_STEPS} steps; save the state dict alone")
            if operation.name == "STOP":
                return
            follower.step(operation.name, argument)
    except _RefusedError as refusal:
        raise UserError(f"{path}: {refusal}") from None
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UserError(f"{path}: damaged: its pickle cannot be followed ({shown(str(error))})") from None


class _Follower:
    """The machine that a pickle is written for, with values that do nothing."""

    def __init__(self, storages: Mapping[str, int]) -> None:
        self.sizes = storages
        self.seen: dict[str, _Storage] = {}
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """One operation."""
        match name:
            case "PROTO":
                if argument != 2:
                    raise _RefusedError(
                        f"its pickle has protocol {argument}, torch writes 2; save it anew with torch.save"
                    )
            case "MARK":
                self.marks.append(self.stack)
                self.stack = []
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                self.stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                self.stack.append(argument)
            case "BINUNICODE":
                argument.encode("utf-8")  # half of a surrogate pair can be neither printed nor written
                self.stack.append(argument)
            case "EMPTY_DICT":
                self.stack.append({})
            case "EMPTY_LIST":
                self.stack.append([])
            case "EMPTY_TUPLE":
                self.stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self.stack.append(tuple(self.pop(int(name[-1]))))
            case "TUPLE":
                items = self.marked()
                self.stack.append(tuple(items))
            case _:
                self.change(name, argument)

    def change(self, name: str, argument: Any) -> None:
        """Operations on what is there already."""
        match name:
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.stack[-1]
            case "BINGET" | "LONG_BINGET":
                self.stack.append(self.memo[argument])
            case "APPEND":
                [item] = self.pop(1)
                self.target(list).append(item)
            case "APPENDS":
                items = self.marked()
                self.target(list).extend(items)
            case "SETITEM":
                self.fill(self.pop(2))
            case "SETITEMS":
                self.fill(self.marked())
            case "GLOBAL":
                self.stack.append(_named(argument))
            case "BINPERSID":
                self.stack.append(self.storage(*self.pop(1)))
            case "REDUCE" | "NEWOBJ":
                self.stack.append(_called(*self.pop(2)))
            case "BUILD":
                [state] = self.pop(1)
                _build(self.stack[-1], state)
            case _:
                raise _RefusedError(f"its pickle holds the operation {name}, which torch never writes; save it anew")

    def pop(self, count: int) -> list[Any]:
        """The last values on the stack."""
        if len(self.stack) < count:
            raise _RefusedError("damaged: its pickle takes more than it has put; fetch it again")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def marked(self) -> list[Any]:
        """The values since the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def target(self, kind: type) -> Any:
        """The container on top of the stack."""
        if not isinstance(self.stack[-1], kind):
            raise _RefusedError(f"damaged: its pickle adds to something that is no {kind.__name__}; fetch it again")
        return self.stack[-1]

    def fill(self, items: list[Any]) -> None:
        """Put keys and values into the dictionary on top of the stack."""
        held = self.target(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int | float | None):
                raise _RefusedError(
                    "a dictionary in it has a key that is neither text nor a number; save the weights alone"
                )
            held[key] = value

    def storage(self, identity: Any) -> _Storage:
        """The storage that a tensor lies in."""
        word, kind, key, location, numel = identity
        known = isinstance(kind, _Global) and kind.name.partition(" ")[2] in _STORAGES
        if word != "storage" or not known or not isinstance(key, str) or not isinstance(location, str):
            raise _RefusedError("damaged: its pickle names a storage in a way that torch does not; fetch it again")
        if key not in self.sizes:
            raise _RefusedError(f"damaged: storage {shown(key)} is missing; fetch it again")
        found = _Storage(key, kind.name, _count(numel))
        needed = found.numel * _STORAGES[kind.name.partition(" ")[2]]
        if needed > self.sizes[key] or self.seen.setdefault(key, found) != found:
            raise _RefusedError(f"damaged: storage {shown(key)} claims {shown(needed)} bytes and has {self.sizes[key]}")
        return found


def _named(name: str) -> _Global:
    """Something to import: refused unless state dicts are made of it."""
    module, _, attribute = name.partition(" ")
    storage = module == "torch" and attribute in _STORAGES
    dtype = module == "torch" and isinstance(vars(torch).get(attribute), torch.dtype)
    if not (name in _FUNCTIONS or storage or dtype):
        asked = shown(f"{module}.{attribute}".replace("__builtin__", "builtins"))
        raise _RefusedError(
            f"asks for {asked}, which is refused: only tensors and plain values are read; save the state_dict() alone"
        )
    return _Global(name)


def _called(function: Any, arguments: Any) -> Any:
    """What a call would make."""
    if not isinstance(function, _Global) or not isinstance(arguments, tuple):
        raise _RefusedError("damaged: its pickle calls something that is no function; fetch it again")
    match function.name, arguments:
        case "collections OrderedDict", ():
            return _Ordered()
        case "argparse Namespace", ():
            return _Namespace()
        case "collections Counter", (dict() as counts,) if len(counts) <= _MOST_COUNTED:
            return dict(counts)
        case "torch Size", (tuple() as sizes,) if len(sizes) <= _MOST_DIMENSIONS:
            return tuple(_count(size) for size in sizes)
        case "torch device", (str(), *index) if len(index) <= 1:
            return _OTHER
        case "torch._utils _rebuild_tensor_v2", (
            _Storage() as storage,
            offset,
            size,
            stride,
            bool(),
            _Ordered(),
            *more,
        ):
            if any(more):
                raise _RefusedError(
                    "holds a conjugated or negated view of a tensor; save it with .resolve_neg() called"
                )
            _check_extent(storage, offset, size, stride)
            return _TENSOR
        case "torch._utils _rebuild_parameter", (tensor, bool(), _Ordered()) if tensor is _TENSOR:
            return _TENSOR
    raise _RefusedError(f"calls {shown(function.name.replace(' ', '.', 1))} as torch.save never does; it is refused")


def _build(target: Any, state: Any) -> None:
    """Set attributes: torch hangs a version to the dictionaries that it saves, and a Namespace has nothing else."""
    if isinstance(target, _Ordered) and isinstance(state, dict) and state.keys() <= {"_metadata"}:
        return
    if not isinstance(target, _Namespace) or target.filled or not isinstance(state, dict):
        raise _RefusedError("sets attributes where torch.save never does; it is refused")
    if not all(isinstance(name, str) and not name.startswith("__") for name in state):
        raise _RefusedError("sets attributes of a Namespace that argparse never does; it is refused")
    target.filled = True


def _check_extent(storage: _Storage, offset: Any, size: Any, stride: Any) -> None:
    """Refuse a tensor that reaches beyond its storage, or that shows numbers of it more than once."""
    if not (isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= _MOST_DIMENSIONS):
        raise _RefusedError("damaged: a tensor in it has no shape; fetch it again")
    counts, steps = [_count(each) for each in size], [_count(each) for each in stride]
    numel = math.prod(counts)
    last = sum((count - 1) * step for count, step in zip(counts, steps, strict=True)) + 1 if numel else 0
    if numel > storage.numel or _count(offset) + last > storage.numel:
        raise _RefusedError(
            f"a tensor of shape {shown(list(counts))} does not fit its storage {shown(storage.key)}, "
            f"which holds {storage.numel} numbers; damaged, or an expanded view: save contiguous tensors"
        )


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**62:
        raise _RefusedError("damaged: a shape in it holds something that is no count; fetch it again")
    return value

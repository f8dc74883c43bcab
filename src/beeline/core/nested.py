"""Tensors inside nested records, sequences and mappings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass, replace
from typing import Any

import torch
from torch import Tensor


def tensors(held: object) -> Iterator[Tensor]:
    """All of them, in order.

    Args:
        held: anything; what is neither a tensor nor holds any is passed over.
    """
    if isinstance(held, Tensor):
        yield held
    elif is_dataclass(held):
        yield from tensors(vars(held))
    elif isinstance(held, Mapping):
        for value in held.values():
            yield from tensors(value)
    elif isinstance(held, (list, tuple)):
        for each in held:
            yield from tensors(each)


def mapped(held: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same with something in the place of every tensor.

    Args:
        held: records, mappings, lists, tuples of tensors and of anything else, which stays.
        change: gives what takes a tensor's place.
    """
    if isinstance(held, Tensor):
        return change(held)
    if is_dataclass(held) and not isinstance(held, type):
        parts = {each.name: mapped(getattr(held, each.name), change) for each in dataclasses.fields(held) if each.init}
        return replace(held, **parts)
    if isinstance(held, Mapping):
        return {name: mapped(value, change) for name, value in held.items()}
    if isinstance(held, (list, tuple)):
        return type(held)(mapped(each, change) for each in held)
    return held


def alone(tensor: Tensor) -> Tensor:
    """The part of a tensor that lies in memory, once: that of a tensor that was expanded."""
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return tensor[tuple(slice(1) if stride == 0 and size > 1 else slice(None) for size, stride in sizes)]


def copied(tensor: Tensor) -> Tensor:
    """A copy that lies in memory as the tensor does: what was expanded is once."""
    once = alone(tensor)
    return (
        torch.empty_strided(once.shape, once.stride(), dtype=once.dtype, device=once.device)
        .copy_(once)
        .expand_as(tensor)
    )


def described(tensor: Tensor) -> tuple[object, ...]:
    """What a tensor is but for its numbers."""
    return tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device, tensor.requires_grad

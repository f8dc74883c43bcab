"""What autograd keeps of a computation."""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor


def kept(compute: Callable[[], Tensor], given: Collection[int] = ()) -> int:
    """Bytes that are kept for the way back.

    Args:
        compute: on tensors that need gradients.
        given: addresses of storages that do not count.
    """
    found: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in given:
            found[address] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        compute()
    return sum(each.untyped_storage().nbytes() for each in found.values())

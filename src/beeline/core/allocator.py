"""Keeping freed memory, so that a training step does not ask the system for it again and again."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

# Names of malloc.h: bytes free at the top before it is given back, size above which a block is mapped on its own,
# bytes by which the heap grows.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _TOP_PAD = -1, -3, -2


def keep_freed_memory() -> bool:
    """Tell glibc not to hand memory back between steps; elsewhere do nothing.

    A step allocates and frees the same large tensors; handing them back costs a page fault for every 4 KiB of the next
    step (``python -m benchmarks.allocator`` measures it). Numbers are not affected.

    Returns:
        whether the allocator understood.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return False
    settings = ((_MMAP_THRESHOLD, 1 << 30), (_TRIM_THRESHOLD, (1 << 31) - 1), (_TOP_PAD, 64 << 20))
    return [mallopt(name, value) for name, value in settings] == [1, 1, 1]


def return_freed_memory() -> None:
    """Hand back to the system what was freed so far, after work that took more than what follows; elsewhere nothing."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    """A function of the C library by name; None where it has none such."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None

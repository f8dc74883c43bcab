"""Keeping freed memory, so that a training step does not ask the system for it again and again."""

from __future__ import annotations

import ctypes
import sys

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
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_MMAP_THRESHOLD, 1 << 30), (_TRIM_THRESHOLD, (1 << 31) - 1), (_TOP_PAD, 64 << 20))
    return [mallopt(name, value) for name, value in settings] == [1, 1, 1]

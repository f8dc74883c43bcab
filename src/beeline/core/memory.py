"""How much memory this process can still have."""

from __future__ import annotations

from pathlib import Path

import torch

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")
_LIMITS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


def available_memory(device: str = "cpu") -> int | None:
    """Bytes that can still be allocated on a device, None where the system does not say.

    Args:
        device: ``cpu`` or ``cuda``.
    """
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    left = [_left_by_the_system(), *(_left_by_the_group(*names) for names in _LIMITS)]
    return min((each for each in left if each is not None), default=None)


def _left_by_the_system() -> int | None:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _left_by_the_group(limit: str, usage: str) -> int | None:
    """What a container's limit leaves; its count of what is used includes caches that would be given back."""
    try:
        most, used = ((_GROUP / name).read_text().strip() for name in (limit, usage))
        return None if most == "max" else int(most) - int(used)
    except (OSError, ValueError):
        return None

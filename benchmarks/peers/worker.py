"""One side in a process of its own: a few training steps, and the most memory that they took, as JSON.

python -m benchmarks.peers.worker ours|diffusers NET VARIANT DEVICE THREADS STEPS

NET is the fields of a net as JSON, VARIANT one of ours, or the peer's precision.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from benchmarks.peers.nets import VARIANTS, Net
from benchmarks.peers.side import Side

_KIB_A_MIB = 1024


def resident() -> float:
    """The most memory that this process has held so far, in MiB.

    Linux hands getrusage's figure of the process that starts another down to it, so that of the program alone is read.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / _KIB_A_MIB
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (_KIB_A_MIB**2 if sys.platform == "darwin" else _KIB_A_MIB)


def made(who: str, net: Net, variant: str, device: str, threads: int) -> Side:
    """A side, as those who use it would start it."""
    if who == "ours":
        from beeline.core.allocator import keep_freed_memory
        from benchmarks.peers.ours import Ours

        keep_freed_memory()  # as the command does
        return Ours(net, VARIANTS[variant], device, threads)
    from benchmarks.peers.theirs import Theirs

    return Theirs(net, device, variant)


def main() -> None:
    """Train and tell."""
    who, net, variant, device, threads, steps = sys.argv[1:]
    import torch

    torch.set_num_threads(int(threads))
    before = resident()
    side = made(who, Net(**json.loads(net)), variant, device, int(threads))
    built = resident()
    for _ in range(int(steps)):
        side.step()
    found = {"torch": before, "built": built, "peak": resident()}
    if device == "cuda":
        found["device"] = torch.cuda.max_memory_allocated() / _KIB_A_MIB**2
    print(json.dumps(found))


if __name__ == "__main__":
    main()

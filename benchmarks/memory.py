"""The plan of memory that is printed before training, against what training takes.

python -m benchmarks.memory [--nets S2 S4 tiny DiT-B/2] [--variants fp32 bf16 checkpointing] [--batch 8] [--json FILE]

Each net trains for a few steps in a process of its own, as the command does it. What it takes is the most that the
process holds meanwhile, less what it held before the net was made: torch and beeline themselves, and the memory that a
step of another, small net leaves behind, are no part of the plan. On a GPU it is what torch has allocated there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.peers.nets import VARIANTS, Net, find_net

STEPS, MIB = 3, 2**20
SMALL = Net("small", hidden=32, depth=2, heads=2, patch=4, channels=3, batch=4, size=16, classes=5)


def held(key: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at most since that was last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{key}:")).split()[1]) * 1024


def measure(net: Net, variant: str, device: str) -> dict[str, float]:
    """Bytes by plan and in truth, of the training of a net in this process."""
    import torch

    from beeline.core.allocator import keep_freed_memory, return_freed_memory
    from beeline.train.memory import plan_memory
    from benchmarks.peers.ours import Ours

    keep_freed_memory()
    Ours(SMALL, VARIANTS[variant], device, 1).step()
    return_freed_memory()  # or the net would live in what the small one has left behind
    before = held("VmRSS")
    ours = Ours(net, VARIANTS[variant], device, 1)
    plan = plan_memory(ours.trainer)
    Path("/proc/self/clear_refs").write_text("5")
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(STEPS):
        ours.step()
    taken = torch.cuda.max_memory_allocated() if device == "cuda" else held("VmHWM") - before
    return {"plan": plan.need, "taken": taken, **{f"plan, {name}": count for name, count in plan.every.items()}}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=["S2", "S4", "tiny", "DiT-B/2"], metavar="NET")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["fp32", "bf16", "checkpointing"])
    parser.add_argument("--batch", type=int, help="of every net, in place of its own")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(Net(**json.loads(asked.measure)), asked.variants[0], asked.device)))
        return
    found = []
    print("| net | batch | | plan, MiB | taken, MiB | plan / taken |\n|---|---|---|---|---|---|")
    for name in asked.nets:
        net = find_net(name, asked.batch)
        for variant in asked.variants:
            words = ["--measure", json.dumps(asdict(net)), "--variants", variant, "--device", asked.device]
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.memory", *words],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
            )
            row = json.loads(done.stdout.splitlines()[-1])
            found.append({"net": net.name, "batch": net.batch, "variant": variant, **row})
            plan, taken = row["plan"], row["taken"]
            figures = f"{plan / MIB:,.0f} | {taken / MIB:,.0f} | {plan / taken:.2f}"
            print(f"| {net.name} | {net.batch} | {variant} | {figures} |", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

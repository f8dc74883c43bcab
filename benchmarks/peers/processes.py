"""What is measured in processes of their own: starting up, and the most memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.peers.nets import VARIANTS, Net
from benchmarks.peers.timing import Times

OURS, PEER, TORCH = "ours", "diffusers", "torch alone"
PEER_IN_BF16 = f"{PEER} in bf16"
STEPS = 3


def start_up(net: Net, rounds: int) -> dict[str, Times]:
    """CPU seconds of a process that imports what a network takes, and makes one; beside torch by itself.

    Args:
        net: that is made.
        rounds: of all, in turns.
    """
    codes = {
        PEER: f"from diffusers import DiTTransformer2DModel; DiTTransformer2DModel(**{net.peer_options()!r})",
        OURS: f"from benchmarks.peers.nets import Net; Net(**{asdict(net)!r}).network()",
        TORCH: "import torch",
    }
    found = {name: Times() for name in codes}
    for _ in range(rounds):
        for name, code in codes.items():
            found[name].rounds.append(_cpu_seconds(code))
    return found


def _cpu_seconds(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, env=_environment(1))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peak_memory(net: Net, variants: Sequence[str], device: str, threads: int) -> dict[str, dict[str, float]]:
    """MiB that a process of each side holds: after importing torch, once the side is built, and at most in a few steps.

    Args:
        net: that is trained.
        variants: of ours; where one computes in bf16, the peer is measured in bf16 too.
        device: cpu or cuda, where ``device`` is the most that torch has held on it.
        threads: CPU threads.
    """
    asked = {name: (PEER, precision) for name, precision in peers_of(variants).items()}
    asked |= {variant: (OURS, variant) for variant in variants}
    return {name: _peak(net, *each, device, threads) for name, each in asked.items()}


def peers_of(variants: Sequence[str]) -> dict[str, str]:
    """The peer as shipped and, where one of ours computes in bf16, by autocast: precision by name."""
    in_bf16 = any(VARIANTS[name].train.get("precision") == "bf16" for name in variants)
    return {PEER: "fp32"} | ({PEER_IN_BF16: "bf16"} if in_bf16 else {})


def _peak(net: Net, who: str, variant: str, device: str, threads: int) -> dict[str, float]:
    words = [sys.executable, "-m", "benchmarks.peers.worker", who, json.dumps(asdict(net)), variant, device]
    words += [str(threads), str(STEPS)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=_environment(threads))
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _environment(threads: int) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}

"""Ours against diffusers' ``DiTTransformer2DModel``, in fp32, eager, as shipped, in turns in one process.

    python -m benchmarks.peers [--nets S2 S4 tiny] [--variants fp32 defaults] [--divide 4 | --batch N] [--rounds 3]
        [--threads 1] [--device cpu] [--measures start memory step parts forward sampling operations] [--images 1]
        [--json FILE]

Nets are S2 (DiT-S/2 on 4 x 32 x 32, batch 8), S4 (DiT-S/4 on 3 x 32 x 32, batch 32), tiny (width 128, 6 blocks, patch 2
on 1 x 32 x 32, batch 64), or any preset such as DiT-B/2. What is timed: a training step (forward, backward, clipping,
optimiser, average: ours by the trainer itself, the peer's by the standard recipe), its parts, a forward pass, guided
images from noise to the end (ours by the engine, the peer's from the first steps of 250), starting up, and peak memory.
One CPU thread is timed by the processor's clock, everything else by the one on the wall. Where one of ours computes in
bf16, the peer is measured in bf16 (by autocast) beside itself in fp32, which all ratios are taken of.

Both sides live in one process, with one allocator setting (``--allocator``): ``kept``, as the command ``beeline`` sets
it, also speeds up the peer, which as shipped has ``plain``. Memory is measured in processes of their own, each as its
users start it. The first call, with all that is made ready or compiled in it, stands beside every time.

The defaults take some minutes; whole batches and a whole set of images are ``--divide 1 --rounds 7 --images 64``.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import torch

from beeline.core.allocator import keep_freed_memory
from beeline.core.device import computes_in_bf16, find_device
from beeline.core.errors import UserError
from beeline.core.extras import needed
from beeline.core.matmul import settled
from benchmarks.peers.measure import Asked, Bench, memory, start_rows
from benchmarks.peers.nets import VARIANTS, Net, find_net
from benchmarks.peers.peaks import peaks
from benchmarks.peers.processes import start_up
from benchmarks.peers.rows import Row, table, write

MEASURES = ("start", "memory", "step", "parts", "forward", "sampling", "operations")


def parsed(words: list[str]) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", nargs="+", default=["S2", "S4", "tiny"], metavar="NET")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, metavar="NAME", help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--measures", nargs="+", choices=MEASURES, default=list(MEASURES), metavar="MEASURE")
    parser.add_argument("--divide", type=int, default=4, help="the nets' own batches by this (4)")
    parser.add_argument("--batch", type=int, help="of every net, in place of its own")
    parser.add_argument("--size", type=int, default=32, help="cells along each side of a preset's data (32)")
    parser.add_argument("--channels", type=int, default=4, help="of a preset's data (4)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu")
    parser.add_argument("--images", type=int, default=1, help="drawn when sampling (1)")
    parser.add_argument("--passes", type=int, default=40, help="network passes of each, guidance counted (40)")
    parser.add_argument("--sampler", default="dpmpp_2m")
    parser.add_argument("--peer_timed", type=int, default=10, help="of the peer's 250 steps (10)")
    parser.add_argument("--allocator", choices=("kept", "plain"), default="kept")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(words)


def chosen_variants(device: str) -> list[str]:
    """Ways that make sense on this machine: fast fp32 products where they are quicker, bf16 where it computes in it."""
    fast, bf16 = settled("auto", device)[0] == "fast", computes_in_bf16(device)
    return ["fp32", *(["fast"] if fast else []), *(["bf16"] if bf16 else []), "defaults"]


def facts_of(asked: Asked, allocator: str) -> dict[str, object]:
    """What must be known of the machine to read the figures."""
    name = torch.cuda.get_device_name() if asked.device == "cuda" else _processor()
    products = {
        f"fastest matrix product, {precision}": f"{max(found) / 1e9:,.0f} GFLOP/s (readings {_list(found)})"
        for (_, precision, _), found in peaks().items()
    }
    return {
        "machine": f"{name}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}",
        "computes in bf16": "yes" if computes_in_bf16(asked.device) else "no",
        "device": asked.device,
        "threads": asked.threads,
        "load of the machine at the end": f"{os.getloadavg()[0]:.1f}",
        "versions": f"torch {torch.__version__}, diffusers {version('diffusers')}",
        "times": f"{asked.clock.name}, median of {asked.rounds} rounds, least to greatest; allocator {allocator}",
        **products,
    }


def _list(readings: list[float]) -> str:
    return ", ".join(f"{each / 1e9:,.0f}" for each in readings)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def measured(net: Net, asked: Asked, measures: list[str]) -> list[Row]:
    """All rows of a net, printed as they come."""
    rows: list[Row] = []

    def told(found: list[Row]) -> None:
        rows.extend(found)
        print(table(found), flush=True)

    if "start" in measures:
        told(start_rows(net, start_up(net, asked.rounds)))
    if "memory" in measures:
        told(memory(net, asked))
    # Counting operations takes steps, so it comes last: the first step that is timed is the first of all.
    names = {
        "step": "training",
        "parts": "parts",
        "forward": "forward",
        "sampling": "sampling",
        "operations": "operations",
    }
    if inside := [method for measure, method in names.items() if measure in measures]:
        bench = Bench(net, asked)
        for name in inside:
            told(getattr(bench, name)())
    return rows


def main(words: list[str]) -> list[Row]:
    """Measure and print.

    Args:
        words: options.

    Raises:
        UserError: a net is unknown, or something that is needed is not here.
    """
    options = parsed(words)
    needed("diffusers", "benchmarks.peers", "vae")
    device = find_device(options.device)
    how = (options.images, options.passes, options.sampler)
    variants = options.variants or chosen_variants(device)
    asked = Asked(variants, options.rounds, device, options.threads, *how, peer_timed=options.peer_timed)
    nets = [find_net(name, options.batch, options.divide, options.channels, options.size) for name in options.nets]
    torch.set_num_threads(options.threads)
    if options.allocator == "kept":
        keep_freed_memory()
    warnings.filterwarnings("ignore", module="diffusers")
    rows: list[Row] = []
    for place, net in enumerate(nets):
        # Starting up is the same for all of them but for the net that is made.
        rows += measured(net, asked, [each for each in options.measures if each != "start" or not place])
    facts = facts_of(asked, options.allocator)
    print()
    for name, value in facts.items():
        print(f"{name}: {value}")
    if options.json is not None:
        write(options.json, "Beeline beside diffusers", facts, rows)
    return rows


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")

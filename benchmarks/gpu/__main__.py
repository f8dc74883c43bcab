"""Is it right on this GPU, and how fast is it?

Checks come first: the CPU and the GPU agree, compiled blocks compute what plain ones do, a resumed run ends as one that
was never stopped, a gradient that is not finite touches nothing. Where one fails there is no table (exit code 1). Then
training steps and guided sampling of diffusion transformers are timed, those that matter most first, within a budget of
minutes. It needs torch, numpy and safetensors alone; diffusers is measured beside where it is installed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from beeline.core.device import find_device
from beeline.core.errors import UserError
from benchmarks.gpu import checks
from benchmarks.gpu.lines import table
from benchmarks.gpu.machine import facts, products, waits
from benchmarks.gpu.plan import SMALL, SMALL_EFFORT, Budget, Outcome, carried_out, planned
from benchmarks.gpu.speed import Effort, freed
from benchmarks.gpu.subject import Subject
from benchmarks.peers.nets import find_net
from benchmarks.peers.rows import write


def parsed(words: list[str]) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--small", action="store_true", help="a tiny net and few steps: a rehearsal, on a CPU too")
    parser.add_argument("--minutes", type=float, default=8.0, help="of the whole (8)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="for beeline compare")
    return parser.parse_args(words)


def checked(device: str) -> bool:
    """Make every check and print what it finds; whether all of it holds.

    Args:
        device: cpu or cuda.
    """
    found = []
    for check in checks.CHECKS.values():
        for finding in check(device):
            print(finding, flush=True)
            found.append(finding)
    return all(finding.holds for finding in found)


def waiting(device: str) -> str:
    """Whether a training step waits for the GPU, and where.

    Args:
        device: cpu or cuda.
    """
    if device != "cuda":
        return "not measured: no GPU"
    trainer = Subject(checks.CHECKED, device).trainer(precision="bf16")
    trainer.train_step()
    places = waits(trainer.train_step)
    return f"{len(places)} times{': ' if places else ''}{', '.join(places)}"


def report(device: str, outcome: Outcome, known: dict[str, object]) -> None:
    """Print what is known of the machine, the table, and what is not in it.

    Args:
        device: cpu or cuda.
        outcome: of the plan.
        known: of the machine.
    """
    print()
    for name, value in known.items():
        print(f"{name}: {value}")
    print(f"\n{table(outcome.lines)}\n")
    print("TFLOP/s count matrix products and attention alone, three forward passes a training step, nothing twice.")
    for name, why in outcome.left_out.items():
        print(f"left out: {name}: {why}")
    for name, why in outcome.failed.items():
        print(f"FAILED: {name}: {why}")


def main(words: list[str]) -> int:
    """Check, measure, print; the exit code.

    Args:
        words: options.

    Raises:
        UserError: the device that was asked for is not here, or is none to measure on.
    """
    options = parsed(words)
    budget, device = Budget(60 * options.minutes), find_device(options.device)
    if device == "cpu" and not options.small:
        raise UserError("device cpu: the nets of the table are for a GPU; --small rehearses it on a CPU")
    effort = SMALL_EFFORT if options.small else Effort(device)
    effort = Effort(**{**vars(effort), "device": device})
    known = facts(device, SMALL if options.small else find_net("DiT-XL/2"))
    print(f"checks on {device}", flush=True)
    if not checked(device):
        print("a check failed: no speed is told of what is wrong", file=sys.stderr)
        return 1
    known["a training step waits for the GPU"] = waiting(device)
    freed(device)
    print("\nmeasured so far", flush=True)
    outcome = carried_out(planned(effort, options.small), budget, lambda line: print(line, flush=True))
    known |= {**products(), "times": f"{effort.clock.name}, median of {effort.rounds} windows"}
    report(device, outcome, known)
    if options.json is not None:
        missing = {f"left out: {name}": why for name, why in {**outcome.left_out, **outcome.failed}.items()}
        rows = [row for line in outcome.lines for row in line.rows()]
        write(options.json, f"Beeline on {known['machine']}", {**known, **missing}, rows)
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)

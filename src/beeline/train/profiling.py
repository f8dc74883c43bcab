"""Where the time of a training step goes, part by part.

Operations are recorded over some steps (torch.profiler), and the own time of each, without that of those that it calls,
is given to one part: that of the range which the trainer has marked around it (``data``, ``optimiser``, ``averages``,
``log``), or else that which its name says, on the way back as on the way forward. What no operation holds is Python
between them. Recording makes small operations slower, so it says shares only:

    seconds of a part = seconds of a step that is not recorded x share of the part
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from beeline.train.timing import step_seconds, synchronise
from beeline.train.trainer import RANGE, Trainer

_REST, _PYTHON = "everything else", "Python between operations"
_BY_NAME: Mapping[str, tuple[str, ...]] = {
    "attention": ("scaled_dot_product", "flash_attention", "efficient_attention", "softmax", "bmm"),
    "matrix products": ("addmm", "aten::mm", "linear", "gemm", "matmul"),
    "norms": ("layer_norm", "rms_norm", "rsqrt", "_Modulated"),
    "activations": ("gelu", "silu", "sigmoid", "tanh"),
    "casts and copies": ("copy_", "aten::to", "aten::clone", "aten::cat"),
    "modulation, residuals and loss": ("aten::mul", "aten::add", "aten::sub", "aten::div", "aten::sum", "aten::neg",
                                       "aten::mean", "aten::pow", "aten::square"),
}  # fmt: skip
_ATTENDING = "_Recomputed"  # with all that it calls
_RANGES = {"data": "data", "optimiser": "optimiser and clipping", "averages": "averages (EMA)", "log": "log"}
PARTS = (*_BY_NAME, *_RANGES.values(), _REST, _PYTHON)


@dataclass(frozen=True)
class Operation:
    """One kind of operation.

    Args:
        name: as torch calls it.
        part: that it belongs to.
        seconds: of a step, without those that it calls.
        calls: a step.
    """

    name: str
    part: str
    seconds: float
    calls: float


@dataclass(frozen=True)
class StepProfile:
    """What a training step takes.

    Args:
        seconds: a step; the median of those that were not recorded.
        parts: seconds of a step by part, which add up to it.
        operations: the longest first.
        steps: that were recorded.
    """

    seconds: float
    parts: Mapping[str, float]
    operations: Sequence[Operation]
    steps: int


def profile_steps(trainer: Trainer, steps: int, trace: Path | None = None) -> StepProfile:
    """Train some steps and say where their time went.

    Args:
        trainer: to be thrown away afterwards.
        steps: that are recorded, at least 1.
        trace: where the record itself goes, for chrome://tracing or Perfetto; nowhere when None.
    """
    return profile_calls(trainer.train_step, steps, step_seconds(trainer), trainer.config.device, trace)


def profile_calls(
    step: Callable[[], object], steps: int, seconds: float, device: str, trace: Path | None = None
) -> StepProfile:
    """Say where the time of any training step goes.

    Args:
        step: what is called; it marks its optimiser, averages, data and log as the trainer does (``RANGE``).
        steps: calls that are recorded, at least 1.
        seconds: of a call that is not recorded.
        device: cpu or cuda.
        trace: where the record itself goes; nowhere when None.
    """
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with torch.profiler.profile(activities=activities) as found:
        begin = time.perf_counter()
        for _ in range(steps):
            step()
        synchronise(device)
        lasted = time.perf_counter() - begin
    if trace is not None:
        trace.parent.mkdir(parents=True, exist_ok=True)
        found.export_chrome_trace(str(trace))
    own: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for event in found.events() or []:
        sums = own[event.name, part_of(event)]
        sums[0] += 1e-6 * (event.self_device_time_total if device == "cuda" else event.self_cpu_time_total)
        sums[1] += 1
    recorded = sum(each[0] for each in own.values())
    whole = max(lasted, recorded)
    scale = seconds / whole
    operations = [
        Operation(name, part, scale * taken, calls / steps)
        for (name, part), (taken, calls) in sorted(own.items(), key=lambda each: -each[1][0])
        if not name.startswith(RANGE)
    ]
    parts = {part: sum(scale * taken for (_, each), (taken, _) in own.items() if each == part) for part in PARTS}
    return StepProfile(seconds, {**parts, _PYTHON: scale * (whole - recorded)}, operations, steps)


def part_of(event: Any) -> str:
    """The part of a step that an operation belongs to.

    Args:
        event: of a record, with a ``name`` and a ``cpu_parent``.
    """
    outer = event
    while outer is not None:
        if outer.name.startswith(RANGE):
            return _RANGES[outer.name.removeprefix(RANGE)]
        if outer.name.startswith(_ATTENDING):
            return "attention"
        outer = outer.cpu_parent
    return next((part for part, names in _BY_NAME.items() if any(name in event.name for name in names)), _REST)

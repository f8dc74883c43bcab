"""Times and memory of training steps and of guided sampling."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from beeline.train.machine import computing
from beeline.train.memory import is_out_of_memory
from benchmarks.gpu.lines import Line
from benchmarks.gpu.machine import data_sheet
from benchmarks.gpu.subject import Subject
from benchmarks.peers.nets import Net
from benchmarks.peers.peaks import peak
from benchmarks.peers.timing import Clock, Times

_MOST_REPEATS = 50


@dataclass(frozen=True)
class Effort:
    """How long to look.

    Args:
        device: cpu or cuda.
        rounds: windows, of which the median is told.
        window: seconds of one.
        images: drawn at a time.
        steps: of our sampling, and of the peer's quick one.
        peer_timed: of the 250 steps of the peer's usual sampling.
    """

    device: str
    rounds: int = 5
    window: float = 0.5
    images: int = 64
    steps: int = 20
    peer_timed: int = 10

    @property
    def clock(self) -> Clock:
        """That tells the times."""
        return Clock(self.device, torch.get_num_threads())


@dataclass(frozen=True)
class Way:
    """A way to train.

    Args:
        name: what tables call it.
        precision: fp32 or bf16.
        matmul: exact or fast.
        compile: whether blocks are compiled.
        recompute: compute activations again on the way back.
        played: whether a step is recorded once and played.
    """

    name: str
    precision: str = "bf16"
    matmul: str = "exact"
    compile: bool = False
    recompute: bool = False
    played: bool = False

    @property
    def products(self) -> str:
        """What matrices are multiplied in, as ``peak`` calls it."""
        return "fp32 fast" if (self.precision, self.matmul) == ("fp32", "fast") else self.precision

    def options(self) -> dict[str, Any]:
        """Of ``TrainConfig``."""
        own = {"precision": self.precision, "matmul": self.matmul, "compile": self.compile, "cuda_graph": self.played}
        return {**own, "activation_checkpointing": self.recompute}


PLAIN, COMPILED = Way("bf16"), Way("bf16 compiled", compile=True)
RECOMPUTING = Way("bf16 compiled, activations computed again", compile=True, recompute=True)
PLAYED = Way("bf16 compiled, CUDA graph", compile=True, played=True)
FP32, TF32 = Way("fp32", "fp32"), Way("fp32, matmul fast", "fp32", "fast")


class Shop:
    """Holds one net at a time, so that the memory of the one before is free.

    Args:
        effort: how long to look.
    """

    def __init__(self, effort: Effort) -> None:
        self.effort = effort
        self._held: Subject | None = None

    def subject(self, net: Net) -> Subject:
        """The net, made where it is not the one at hand."""
        if self._held is None or self._held.net != net:
            self.clear()
            self._held = Subject(net, self.effort.device)
        return self._held

    def clear(self) -> None:
        """Let go of the net."""
        self._held = None
        freed(self.effort.device)

    def training(self, net: Net, way: Way) -> Line:
        """A training step, at the net's batch or the greatest of its halves that fits.

        Args:
            net: that is trained.
            way: how.
        """
        batch = net.batch
        while (line := self._trained(net, way, batch)) is None:
            batch //= 2
            freed(self.effort.device)
        return line if batch == net.batch else replace(line, note=f"batch {2 * batch} does not fit")

    def _trained(self, net: Net, way: Way, batch: int) -> Line | None:
        """None where it does not fit."""
        try:
            return self._step(net, way, batch)
        except (RuntimeError, MemoryError) as error:
            if batch == 1 or not is_out_of_memory(error):
                raise
            return None

    def _step(self, net: Net, way: Way, batch: int) -> Line:
        subject, device = self.subject(net), self.effort.device
        flops = 3 * batch * subject.forward_flops()
        trainer = subject.trainer(batch_size=batch, **way.options())
        with computing(trainer.config):
            times, memory = timed(trainer.train_step, self.effort)
        trainer.check_finite()
        sheet = data_sheet(device) if way.precision == "bf16" else None
        return Line(net.name, "training step", way.name, batch, times, flops, self._peak(way.products), sheet, memory)

    def sampling(self, net: Net, compiled: bool, played: bool = False, scale: float = 4.0) -> Line:
        """Guided images from noise to the end, through the engine.

        Args:
            net: that samples.
            compiled: whether blocks are.
            played: whether passes are recorded once and played.
            scale: of guidance.
        """
        subject, effort = self.subject(net), self.effort
        engine = subject.engine("bf16", compiled, played)
        requests = engine.requests(effort.images, subject.labels(effort.images))
        settings = engine.settings(sampler="dpmpp_2m", cfg_scale=scale, steps=effort.steps)
        passes: list[int] = []

        def draw() -> None:
            passes[:] = [int(engine.generate(requests, 0, settings, effort.images).provenance["passes"])]

        times, memory = timed(draw, effort)
        flops = effort.images * passes[0] * subject.forward_flops()
        how = f"bf16{' compiled' if compiled else ''}{', CUDA graph' if played else ''}, DPM-Solver++ 2M"
        what, sheet = f"guided images, {effort.steps} steps", data_sheet(effort.device)
        note = f"{passes[0]} passes an image"
        return Line(net.name, what, how, effort.images, times, flops, self._peak("bf16"), sheet, memory, note)

    def _peak(self, products: str) -> float:
        return peak(self.effort.device, products)


def timed(call: Callable[[], object], effort: Effort) -> tuple[Times, int | None]:
    """Seconds of a call, and the most bytes that the GPU held in those after the first two; None on a CPU.

    Args:
        call: it.
        effort: how long to look.
    """
    clock, on_gpu = effort.clock, effort.device == "cuda"
    times = Times(clock.seconds(call))
    again = clock.seconds(call)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    repeats = min(_MOST_REPEATS, max(1, math.ceil(effort.window / max(again, 1e-9))))
    times.rounds += [clock.seconds(call, repeats) for _ in range(effort.rounds)]
    return times, torch.cuda.max_memory_allocated() if on_gpu else None


def freed(device: str) -> None:
    """Give back what nothing holds."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()

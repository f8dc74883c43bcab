"""Times of several calls, in turns, so that what else the machine does falls upon all of them alike.

The ratio of two calls is the median over rounds of one's time over the other's; times are medians over rounds.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

_ROUND_SECONDS, _MOST_REPEATS = 0.2, 50


@dataclass(frozen=True)
class Clock:
    """Seconds of a call: of the processor on one CPU thread, of the clock on the wall otherwise.

    Args:
        device: cpu or cuda.
        threads: CPU threads.
    """

    device: str
    threads: int

    @property
    def name(self) -> str:
        """What is measured."""
        return "CPU seconds" if self._of_process else "wall seconds"

    @property
    def _of_process(self) -> bool:
        return self.device == "cpu" and self.threads == 1

    def seconds(self, call: Callable[[], object], repeats: int = 1) -> float:
        """Of one of several calls on end."""
        now = time.process_time if self._of_process else time.perf_counter
        self._wait()
        begin = now()
        for _ in range(repeats):
            call()
        self._wait()
        return (now() - begin) / repeats

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


@dataclass(frozen=True)
class Task:
    """Something to be timed.

    Args:
        call: it.
        warm: what is called beforehand, to warm up; the call itself when None.
        scale: factor from its time to the one wanted.
        once: whether a round holds one call, however short.
    """

    call: Callable[[], object]
    warm: Callable[[], object] | None = None
    scale: float = 1.0
    once: bool = False


@dataclass
class Times:
    """What was found.

    Args:
        first: seconds of the first call, with whatever is made ready or compiled in it; None where each is one.
        rounds: seconds of a call in each round.
    """

    first: float | None = None
    rounds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Over rounds."""
        return statistics.median(self.rounds)


def interleaved(tasks: Mapping[str, Task], rounds: int, clock: Clock) -> dict[str, Times]:
    """Times of each task; every round begins with another one.

    Args:
        tasks: by name.
        rounds: how many.
        clock: tells the time.
    """
    found: dict[str, Times] = {}
    repeats: dict[str, int] = {}
    for name, task in tasks.items():
        found[name] = Times(clock.seconds(task.warm or task.call))
        again = 0.0 if task.once else clock.seconds(task.call)
        repeats[name] = 1 if task.once else min(_MOST_REPEATS, math.ceil(_ROUND_SECONDS / max(again, 1e-9)))
    names = list(tasks)
    for number in range(rounds):
        gc.collect()
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found[name].rounds.append(tasks[name].scale * clock.seconds(tasks[name].call, repeats[name]))
    return found


def ratios(base: Sequence[float], other: Sequence[float]) -> list[float]:
    """Base over other, round by round: above 1 the other is faster."""
    return [one / two for one, two in zip(base, other, strict=True)]

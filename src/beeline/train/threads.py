"""How many CPU threads training is quickest with, measured before it begins.

    time(k)     of the same work with k threads, k = 1, 2, 4, ..., all that torch would take
    chosen      the fewest whose time is within a tenth of the least

Threads that share an operation wait for one another at its end. Where another process holds one of the cores, each of
a thousand small operations waits until that core is given back, and two threads take several times as long as one.
What the work is matters little beside that: here a feed-forward layer forward and backward and its update, of a size
that small networks have. All counts are measured in turn, several times over, and the times of each are added up, since
what disturbs comes in bursts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

_ROUNDS, _REPEATS, _WITHIN = 8, 4, 1.1
_ROWS, _WIDTH = 512, 128
_SECONDS = 1.0


def counts_up_to(most: int) -> list[int]:
    """1, 2, 4, ... and ``most``.

    Args:
        most: at least 1.
    """
    return sorted({most, *(1 << power for power in range(most.bit_length()) if 1 << power <= most)})


def seconds_by_count(counts: Sequence[int], work: Callable[[], object]) -> dict[int, float]:
    """Seconds of the same work with each number of threads, which are as before in the end.

    Args:
        counts: numbers of threads.
        work: what is done; once before the clock runs.
    """
    before, found = torch.get_num_threads(), dict.fromkeys(counts, 0.0)
    latest = time.perf_counter() + _SECONDS
    try:
        for _ in range(_ROUNDS):
            for count in counts:
                torch.set_num_threads(count)
                work()  # threads are made, and caches filled, before the clock runs
                begin = time.perf_counter()
                for _ in range(_REPEATS):
                    work()
                found[count] += time.perf_counter() - begin
            if time.perf_counter() > latest:
                break
    finally:
        torch.set_num_threads(before)
    return found


def fewest_fast(seconds: dict[int, float]) -> int:
    """The fewest threads whose time is within a tenth of the least.

    Args:
        seconds: by number of threads.
    """
    return min(count for count, taken in seconds.items() if taken <= _WITHIN * min(seconds.values()))


def choose_threads(most: int) -> tuple[int, str]:
    """How many threads, and why in a few words.

    Args:
        most: that torch would take.
    """
    if most == 1:
        return 1, "what torch finds here"
    seconds = seconds_by_count(counts_up_to(most), _Work())
    chosen = fewest_fast(seconds)
    other = 1 if chosen > 1 else min((count for count in seconds if count > 1), key=seconds.__getitem__)
    ratio = seconds[other] / seconds[chosen]
    name = "1 takes" if other == 1 else f"{other} take"
    held = ", other processes hold cores" if other > 1 and ratio > 1.5 else ""
    return chosen, f"measured: {name} {ratio:.2g} times as long{held}"


class _Work:
    """A training step of one feed-forward layer."""

    def __init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            self.layer = nn.Sequential(
                nn.LayerNorm(_WIDTH), nn.Linear(_WIDTH, 4 * _WIDTH), nn.GELU(), nn.Linear(4 * _WIDTH, _WIDTH)
            )
        self.input = torch.linspace(-1, 1, _ROWS * _WIDTH).reshape(_ROWS, _WIDTH)
        self.optimiser = torch.optim.AdamW(self.layer.parameters(), fused=True)

    def __call__(self) -> None:
        self.optimiser.zero_grad()
        self.layer(self.input).square().mean().backward()
        self.optimiser.step()

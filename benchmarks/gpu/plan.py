"""Which figures are made, in order of importance, within a budget of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from beeline.core.errors import UserError
from benchmarks.gpu.lines import Line
from benchmarks.gpu.rival import rival
from benchmarks.gpu.speed import COMPILED, FP32, PLAIN, PLAYED, RECOMPUTING, TF32, Effort, Shop
from benchmarks.peers.nets import Net, find_net

TRAINED_BATCH = 256
SMALL = Net("tiny", hidden=64, depth=2, heads=1, patch=2, channels=4, batch=4, size=8, classes=10)
SMALL_EFFORT = Effort("cpu", rounds=2, window=0.0, images=2, steps=2, peer_timed=2)


@dataclass(frozen=True)
class Task:
    """A line to be made.

    Args:
        name: what it is called where it is left out.
        needs: seconds that it may take on a GPU, with what it compiles: guessed, on the safe side.
        make: makes it.
    """

    name: str
    needs: float
    make: Callable[[], Line]


@dataclass
class Budget:
    """Time that there is.

    Args:
        seconds: of it.
        begin: when it began.
    """

    seconds: float
    begin: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.seconds - (time.monotonic() - self.begin)


@dataclass
class Outcome:
    """What came of a plan.

    Args:
        lines: made.
        left_out: names of those left out, and why.
        failed: names of those that failed, and how.
    """

    lines: list[Line] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def planned(effort: Effort, small: bool) -> list[Task]:
    """Lines in order of importance; those of one net follow one another, which is then made once.

    Args:
        effort: how long to look.
        small: a tiny net in the place of all.
    """
    shop = Shop(effort)
    large, base, least = (
        (SMALL, SMALL, SMALL) if small else tuple(find_net(f"DiT-{size}/2", TRAINED_BATCH) for size in ("XL", "B", "S"))
    )

    def training(net: Net, needs: float, *ways: int) -> list[Task]:
        chosen = [(COMPILED, PLAIN, RECOMPUTING, FP32, TF32, PLAYED)[way] for way in ways]
        return [
            Task(f"{net.name} training, {way.name}", needs, lambda way=way: shop.training(net, way))  # type: ignore[misc]
            for way in chosen
        ]

    def sampling(net: Net, compiled: bool, played: bool = False) -> Task:
        how = f"{'compiled' if compiled else 'eager'}{', CUDA graph' if played else ''}"
        name = f"{net.name} sampling, {how}"
        return Task(name, 60 if compiled else 30, lambda: shop.sampling(net, compiled, played))

    def peer(quick: bool) -> Task:
        def make() -> Line:
            shop.clear()
            return rival(large, effort, quick)

        return Task(f"{large.name} sampling, diffusers {'compiled' if quick else 'eager'}", 90 if quick else 45, make)

    first = [*training(large, 75, 0, 1, 2), sampling(large, True), sampling(large, False)]
    if small:
        return [*first, *training(least, 0, 3, 4), peer(True), peer(False)]
    trained = [*training(base, 45, 0, 1), *training(least, 45, 0, 1, 5)]
    played = [sampling(least, True), sampling(least, True, played=True)]
    return [*first, *trained, peer(True), peer(False), *played, *training(least, 20, 3, 4)]


def carried_out(tasks: Sequence[Task], budget: Budget, told: Callable[[str], None]) -> Outcome:
    """Make what there is time for.

    Args:
        tasks: in order of importance.
        budget: of time.
        told: is given a line of text on what happens.
    """
    outcome = Outcome()
    for task in tasks:
        if budget.left < task.needs:
            outcome.left_out[task.name] = f"{max(0, budget.left):.0f} s were left, it may need {task.needs:.0f}"
            continue
        begin = time.monotonic()
        try:
            outcome.lines.append(task.make())
        except UserError as error:
            outcome.left_out[task.name] = str(error)
        except Exception as error:  # one figure that cannot be made must not cost the others
            message = str(error).strip().splitlines() or [""]
            outcome.failed[task.name] = f"{type(error).__name__}: {message[0]}"
        told(f"{task.name}: {time.monotonic() - begin:.0f} s")
    return outcome

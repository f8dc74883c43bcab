"""What is measured of one net: training step, forward pass, whole sampling, operations, memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from beeline.model.cost import expected_flops
from beeline.train.profiling import PARTS, profile_calls
from benchmarks.peers.nets import VARIANTS, Net
from benchmarks.peers.ours import Ours
from benchmarks.peers.peaks import peak
from benchmarks.peers.processes import PEER, peak_memory, peers_of
from benchmarks.peers.rows import Row, Work, timed_rows
from benchmarks.peers.side import Draw, Side
from benchmarks.peers.theirs import Theirs, counted
from benchmarks.peers.timing import Clock, Task, Times, interleaved

_RECORDED = 3  # steps in a profile


@dataclass(frozen=True)
class Asked:
    """What is to be measured.

    Args:
        variants: of ours.
        rounds: of every measure.
        device: cpu or cuda.
        threads: CPU threads.
        images: drawn when sampling.
        passes: network passes of each of our images, those of guidance counted.
        sampler: of ours.
        peer_steps: of the peer's walk.
        peer_timed: how many of them are timed.
        scale: of guidance.
    """

    variants: Sequence[str]
    rounds: int = 3
    device: str = "cpu"
    threads: int = 1
    images: int = 1
    passes: int = 40
    sampler: str = "dpmpp_2m"
    peer_steps: int = 250
    peer_timed: int = 10
    scale: float = 4.0

    @property
    def clock(self) -> Clock:
        """That tells the times."""
        return Clock(self.device, self.threads)


class Bench:
    """Both sides of a net, ours in every variant that was asked for.

    Args:
        net: its sizes.
        asked: what is to be measured.
    """

    def __init__(self, net: Net, asked: Asked) -> None:
        self.net, self.asked = net, asked
        self.peer = Theirs(net, asked.device)
        others = {name: how for name, how in peers_of(asked.variants).items() if name != PEER}
        self.ours = {name: Ours(net, VARIANTS[name], asked.device, asked.threads) for name in asked.variants}
        self.peers: dict[str, Side] = {PEER: self.peer}
        self.peers |= {name: Theirs(net, asked.device, how) for name, how in others.items()}
        self.sides: dict[str, Side] = {**self.peers, **self.ours}
        self._flops = {name: each.forward_flops() for name, each in self.sides.items()}

    def training(self) -> list[Row]:
        """The step; its operations are three times those of the forward pass."""
        times = interleaved({name: Task(each.step) for name, each in self.sides.items()}, *self._how)
        work = {n: Work(3 * self._flops[n], self._peak(each.precision)) for n, each in self.sides.items()}
        return timed_rows(self._name, f"training step, batch {self.net.batch}", self._unit, times, PEER, work)

    def parts(self) -> list[Row]:
        """Where the time of a step goes, part by part, in the peer's and in each of ours."""
        times = interleaved({name: Task(each.step) for name, each in self.sides.items()}, *self._how)
        found = {
            name: profile_calls(each.step, _RECORDED, times[name].median, self.asked.device).parts
            for name, each in self.sides.items()
        }
        what = f"parts of a training step, batch {self.net.batch}"
        rows = []
        for part in PARTS:
            base = found[PEER][part]
            for name, parts in found.items():
                ratio = base / parts[part] if base and parts[part] else None
                note = f"{parts[part] / times[name].median:.1%} of its step"
                rows.append(_plain(self._name, what, f"{part}: {name}", self._unit, parts[part], note, ratio))
        return rows

    def forward(self) -> list[Row]:
        """The pass of sampling, without gradients."""
        sides: dict[str, Side] = {**self.peers, **self._sampling_apart()}
        times = interleaved({name: Task(each.forward) for name, each in sides.items()}, *self._how)
        work = {n: Work(self._flops[n], self._peak(each.sampling_precision)) for n, each in sides.items()}
        return timed_rows(self._name, f"forward pass, batch {self.net.batch}", self._unit, times, PEER, work)

    def sampling(self) -> list[Row]:
        """Guided images from noise to the end, in seconds an image; what the peer would take is told from its first."""
        asked = self.asked
        walk = self.peer.sampling(asked.images, asked.peer_steps, asked.scale)
        scale = asked.peer_steps / asked.peer_timed / asked.images
        tasks = {PEER: Task(lambda: walk(asked.peer_timed), lambda: walk(1), scale, once=True)}
        notes = {PEER: f"DDPM, {asked.peer_steps} steps, from {asked.peer_timed} of them; first: one step"}
        spent: dict[str, int] = {}
        for name, each in self._sampling_apart().items():
            draw, notes[name] = each.sampling(asked.images, asked.passes, asked.sampler, asked.scale)
            tasks[name] = Task(_noting(spent, name, draw), partial(draw, 2), 1 / asked.images, once=True)
        what = f"{asked.images} guided images, each"
        rows = timed_rows(self._name, what, self._unit, interleaved(tasks, *self._how), PEER)
        notes |= {name: f"{notes[name]}, {passes} passes; first: two steps" for name, passes in spent.items()}
        return [replace(row, note=notes[row.who]) for row in rows]

    def operations(self) -> list[Row]:
        """Parameters, and what a batch computes: by formula, by torch's counter, and in a whole counted step."""
        net, batch = self.net, self.net.batch
        what = f"operations of a forward pass, batch {batch}"
        formula = batch * expected_flops(net.sizes(), net.tokens)
        rows = [_plain(net.name, what, "blocks by formula", "GFLOP", formula / 1e9)]
        for name in (PEER, self.asked.variants[0]):
            side, flops = self.sides[name], self._flops[name]
            note = (
                f"{side.parameters / 1e6:.1f} million parameters; a step {counted(side.step) / flops:.3f} times as many"
            )
            rows.append(_plain(net.name, what, name, "GFLOP", flops / 1e9, note))
        return rows

    @property
    def _name(self) -> str:
        return self.net.name

    @property
    def _unit(self) -> str:
        return self.asked.clock.name

    @property
    def _how(self) -> tuple[int, Clock]:
        return self.asked.rounds, self.asked.clock

    def _sampling_apart(self) -> dict[str, Ours]:
        """The variants that sample in ways of their own: the first of each."""
        apart: dict[str, str] = {}
        for name in self.ours:
            apart.setdefault(repr(sorted(VARIANTS[name].sample.items())), name)
        for name in apart.values():
            self.ours[name].engine()
        return {name: self.ours[name] for name in apart.values()}

    def _peak(self, precision: str) -> float:
        return peak(self.asked.device, precision, self.asked.threads)


def memory(net: Net, asked: Asked) -> list[Row]:
    """The most that a training process of each side holds."""
    found = peak_memory(net, asked.variants, asked.device, asked.threads)
    key = "device" if asked.device == "cuda" else "peak"
    base, rows = found[PEER][key], []
    for who, each in found.items():
        note = f"{each['built']:,.0f} before the first step, of which torch {each['torch']:,.0f}"
        what = f"peak memory in training, batch {net.batch}"
        rows.append(_plain(net.name, what, who, "MiB", each[key], note if key == "peak" else "", base / each[key]))
    return rows


def start_rows(net: Net, times: Mapping[str, Times]) -> list[Row]:
    """Rows of starting up."""
    return timed_rows(net.name, "start-up: import and make the net", "CPU seconds", times, PEER)


def _noting(spent: dict[str, int], name: str, draw: Draw) -> Callable[[], None]:
    """A call that notes the network passes of an image."""

    def call() -> None:
        spent[name] = draw()

    return call


def _plain(net: str, what: str, who: str, unit: str, value: float, note: str = "", ratio: float | None = None) -> Row:
    return Row(net, what, who, unit, value, value, value, None, ratio, ratio, ratio, note=note)

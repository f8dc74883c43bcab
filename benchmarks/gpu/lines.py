"""Findings as lines of one table, and as the rows that ``beeline compare`` draws."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers.rows import Row
from benchmarks.peers.timing import Times

HEAD = (
    "net", "what", "how", "batch", "ms", "spread", "images/s", "TFLOP/s", "of GEMM", "of sheet", "GiB", "first s", "",
)  # fmt: skip
_GIB = 2**30


@dataclass(frozen=True)
class Line:
    """A figure.

    Args:
        net: what it is of.
        what: is measured.
        how: in which precision, by which means.
        batch: images of a call.
        times: of the call.
        flops: operations of the call; None where they are not counted.
        peak: operations a second of the fastest matrix product of the same precision; None where no share is told.
        sheet: the same by the data sheet; None where it is not known.
        memory: bytes that the device held at most; None where that is not measured.
        note: what else must be known to read it.
    """

    net: str
    what: str
    how: str
    batch: int
    times: Times
    flops: float | None = None
    peak: float | None = None
    sheet: float | None = None
    memory: int | None = None
    note: str = ""

    @property
    def rate(self) -> float | None:
        """Operations a second."""
        return None if self.flops is None else self.flops / self.times.median

    def cells(self) -> list[str]:
        """Its columns, empty where nothing was measured."""
        low, high = min(self.times.rounds), max(self.times.rounds)
        spread = "" if low == high else f"{_told(1e3 * low)} to {_told(1e3 * high)}"
        cells = [self.net, self.what, self.how, str(self.batch), _told(1e3 * self.times.median), spread]
        cells += [_told(self.batch / self.times.median), "" if self.rate is None else _told(self.rate / 1e12)]
        cells += [self._share(self.peak), self._share(self.sheet)]
        cells += ["" if self.memory is None else f"{self.memory / _GIB:.1f}"]
        return [*cells, "" if self.times.first is None else f"{self.times.first:.1f}", self.note]

    def _share(self, of: float | None) -> str:
        return "" if of is None or self.rate is None else f"{self.rate / of:.0%}"

    def rows(self) -> list[Row]:
        """Its time, and its memory where that was measured."""
        milliseconds = sorted(1e3 * each for each in self.times.rounds)
        first = None if self.times.first is None else 1e3 * self.times.first
        spread = statistics.median(milliseconds), milliseconds[0], milliseconds[-1]
        flops = None if self.flops is None else self.flops / 1e9
        share = None if self.rate is None or self.peak is None else self.rate / self.peak
        what = f"{self.what}, batch {self.batch}"
        row = Row(self.net, what, self.how, "ms", *spread, first, gigaflops=flops, utilisation=share, note=self.note)
        if self.memory is None:
            return [row]
        held = self.memory / _GIB
        return [row, Row(self.net, f"peak memory, {what}", self.how, "GiB", held, held, held)]


def table(lines: Sequence[Line]) -> str:
    """Lines as Markdown, without the columns that are empty."""
    cells = [line.cells() for line in lines]
    kept = [place for place in range(len(HEAD)) if any(row[place] for row in cells)]
    whole = [[HEAD[place] for place in kept], ["---"] * len(kept), *([row[place] for place in kept] for row in cells)]
    return "\n".join(f"| {' | '.join(row)} |" for row in whole)


def _told(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"

"""What people see while work goes on: a bar on a terminal, plain lines elsewhere, nothing when asked for silence."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

Verbosity = Literal["silent", "summary", "debug"]
_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_OF_SILENCE = 3.0
_WAIT_WORTH_SAYING = 0.2


class Display:
    """Progress of long work on standard error, results on standard output.

    Args:
        verbosity: ``silent`` prints nothing but errors, ``summary`` is usual, ``debug`` prints every log line.
        bars: whether to draw bars; by default where standard error is a terminal.
    """

    def __init__(self, verbosity: Verbosity = "summary", bars: bool | None = None) -> None:
        self.verbosity = verbosity
        self.bars = sys.stderr.isatty() if bars is None else bars
        self._console = Console(stderr=True, highlight=False)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._last_line = 0.0

    def message(self, text: str) -> None:
        """A line of progress."""
        if self.verbosity != "silent":
            self._console.print(text, markup=False, soft_wrap=True)

    def result(self, text: str) -> None:
        """A line of results, on standard output."""
        if self.verbosity != "silent":
            print(text, flush=True)

    @contextmanager
    def work(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar, or now and then a line, while work goes on; call the yielded function with (done, in all)."""
        begin = time.monotonic()
        self._last_line = begin
        if self.bars and self.verbosity != "silent":
            columns = (
                TextColumn(title),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeRemainingColumn(),
            )
            with Progress(*columns, console=self._console) as progress:
                self._progress, self._task = progress, progress.add_task(title, note="")
                try:
                    yield lambda done, total: progress.update(self._task, completed=done, total=total)  # type: ignore[arg-type]
                finally:
                    self._progress = self._task = None
        else:
            yield lambda done, total: self._line(title, done, total, begin)

    @contextmanager
    def patience(self, text: str) -> Iterator[None]:
        """Say what is going on where it lasts longer than a person would wait in silence."""
        timer = threading.Timer(_SECONDS_OF_SILENCE, self.message, [text])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _line(self, title: str, done: int, total: int, begin: float) -> None:
        now = time.monotonic()
        if done < total and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            left = (now - begin) / max(done, 1) * (total - done)
            self.message(f"{title}: {done}/{total}, {left:.0f} s left")

    def step(self, step: int, steps: int, record: dict[str, Any] | None) -> None:
        """A training step was done."""
        note = None
        if record is not None:
            note = f"{record['samples_per_second']:.0f} samples/s"
            if record["loss"] is not None:
                note = f"loss {record['loss']:.4f}, {note}"
            if record.get("skipped"):
                note += f", {record['skipped']} skipped"
            if record.get("data_wait", 0.0) > _WAIT_WORTH_SAYING:
                note += f", {record['data_wait']:.0%} waiting for data"
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=step, total=steps)
            if note is not None:
                self._progress.update(self._task, note=note)
        elif note is not None and (self._is_due() or step == steps or self.verbosity == "debug"):
            self.message(f"step {step}/{steps}: {note}")

    def _is_due(self) -> bool:
        due = time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES
        if due:
            self._last_line = time.monotonic()
        return due

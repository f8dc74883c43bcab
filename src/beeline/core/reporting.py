"""How long work tells people how it goes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Reporter(Protocol):
    """Shows progress and results."""

    def message(self, text: str) -> None:
        """Something worth a line."""
        ...

    def result(self, text: str) -> None:
        """Something that was asked for."""
        ...

    def work(self, title: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """A stretch of long work; the function it yields takes (done, in all)."""
        ...

    def step(self, step: int, steps: int, record: dict[str, Any] | None) -> None:
        """A training step was done; ``record`` is the line that went to the log, if one did."""
        ...

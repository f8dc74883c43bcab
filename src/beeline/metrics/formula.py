"""What a number is, said once: it stands beside the number in tables, pages and records."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Formula:
    """What a number is.

    Args:
        metric: its name.
        formula: its id.
        meaning: how it is computed, in one line.
        better: ``lower`` or ``higher`` values; None where it is neither, or not known.
        target: value of samples that are right, where the number should be near one; None where none is known.
    """

    metric: str
    formula: str
    meaning: str
    better: str | None = None
    target: float | None = None

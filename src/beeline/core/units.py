"""Durations with their unit: ``500 steps``, ``100k samples``, ``20 epochs``, ``5m``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from beeline.core.errors import UserError

_PLURAL = {"step": "steps", "sample": "samples", "epoch": "epochs"}
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_FACTORS = {"": 1.0, "k": 1e3, "M": 1e6}
_LONGEST = 1e12


@dataclass(frozen=True)
class Duration:
    """How long a run is.

    Args:
        amount: how many.
        unit: ``steps``, ``samples``, ``epochs`` or ``seconds``.
    """

    amount: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read a duration.

        Raises:
            UserError: it has no known unit or is out of range.
        """
        match = re.fullmatch(r"\s*(-?\d+(?:\.\d*)?(?:e\d+)?)\s*([kM]?)\s*([a-z]+)\s*", text)
        if match:
            amount, unit = float(match[1]) * _FACTORS[match[2]], match[3]
            if not 0 < amount < _LONGEST:
                raise UserError(f"duration '{text}' must be above 0 and below {_LONGEST:g}")
            if unit in _SECONDS:
                return cls(amount * _SECONDS[unit], "seconds")
            unit = _PLURAL.get(unit, unit)
            if unit in _PLURAL.values():
                return cls(amount, unit)
        raise UserError(f"duration '{text}' is not a number with a unit: say '500 steps', '20 epochs' or '5m'")

    def steps(self, batch: int, examples: int) -> int:
        """Number of steps, rounded up to whole ones (E13: epochs = steps x batch / examples).

        Args:
            batch: samples a step.
            examples: samples an epoch.
        """
        samples = {"steps": self.amount * batch, "samples": self.amount, "epochs": self.amount * examples}
        return max(1, math.ceil(round(samples[self.unit] / batch, 6)))  # 2.007k is 2007, whatever floats make of it


def amount(count: float) -> str:
    """A large number for people: 1,234 or 1.27 M."""
    for factor, name in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if count >= factor:
            return f"{count / factor:.3g} {name}"
    return f"{count:,.0f}"


def operations(count: float) -> str:
    """A number of floating-point operations for people: 12.9 MFLOP, or 359,168 FLOP."""
    text = amount(count)
    return f"{text}FLOP" if text[-1].isalpha() else f"{text} FLOP"


def size(count: float) -> str:
    """An amount of memory for people: 512 bytes, 12.3 MB or 1.27 GB."""
    for factor, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= factor:
            return f"{count / factor:.3g} {name}"
    return f"{count:.0f} bytes"


def clock(seconds: float) -> str:
    """A stretch of time for people: 0:07, 12:30 or 1:02:03."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"

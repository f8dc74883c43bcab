"""Axes of charts: round ticks, linear and logarithmic scales, numbers as people write them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_RATIO_FOR_LOG = 30.0
_FINE_DECADES = 2.5
_LETTER = 0.022  # of the width of a chart


@dataclass(frozen=True)
class Scale:
    """Where values lie along an axis.

    Args:
        low: value at place 0.
        high: value at place 1; above ``low``.
        ticks: round values in [low, high].
        logarithmic: whether equal ratios, rather than equal differences, are equally far apart.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value lies: 0 at ``low``, 1 at ``high``."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def enclosing(values: Sequence[float], zero: bool = False) -> Scale:
    """A scale that begins and ends at a tick, logarithmic where positive values span more than one decade.

    Args:
        values: finite, at least one.
        zero: whether it begins at 0, for quantities of which shares are compared; it is linear then.
    """
    low, high = min(values), max(values)
    if not zero and low > 0 and high >= low * _RATIO_FOR_LOG:
        ticks = log_ticks(low, high)
        return Scale(ticks[0], ticks[-1], ticks, logarithmic=True)
    ticks = linear_ticks(min(0.0, low), max(0.0, high)) if zero else linear_ticks(low, high)
    return Scale(ticks[0], ticks[-1], ticks)


def tight(values: Sequence[float], logarithmic: bool = False) -> Scale:
    """A scale from the smallest to the largest value.

    Args:
        values: finite, at least one; above 0 where logarithmic.
        logarithmic: each value is then a tick, as far as they do not crowd.
    """
    low, high = min(values), max(values)
    if high <= low:
        low, high = (low / 2, high * 2) if logarithmic else (low - 0.5, high + 0.5)
    if logarithmic:
        kept: list[float] = []
        for value in sorted(set(values), reverse=True):
            letters = 1.0 + (len(short(kept[-1])) + len(short(value))) / 2 if kept else 0.0
            if not kept or math.log(kept[-1] / value) > letters * _LETTER * math.log(high / low):
                kept.append(value)
        return Scale(low, high, tuple(reversed(kept)), logarithmic=True)
    return Scale(low, high, tuple(tick for tick in linear_ticks(low, high) if low <= tick <= high))


def linear_ticks(low: float, high: float, about: int = 4) -> tuple[float, ...]:
    """Round numbers from below ``low`` to above ``high``."""
    span = (high - low) or abs(high) or 1.0
    magnitude = 10.0 ** math.floor(math.log10(span / about))
    step = min((magnitude * factor for factor in (1, 2, 5, 10)), key=lambda each: abs(span / each - about))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = 12 - math.floor(math.log10(step))
    return tuple(round(number * step, digits) for number in range(first, max(last, first + 1) + 1))


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """1, 2 and 5 times powers of ten from below ``low`` to above ``high``; over many decades powers alone, thinned out.

    Args:
        low: above 0.
        high: above ``low``.
    """
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    if math.log10(high / low) > _FINE_DECADES:
        step = max(1, math.ceil((last - first) / 6))
        return tuple(10.0**power for power in range(first, last + step, step))
    every = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]
    start = max(index for index, tick in enumerate(every) if tick <= low * (1 + 1e-9))
    stop = min(index for index, tick in enumerate(every) if tick >= high * (1 - 1e-9))
    return tuple(every[start : stop + 1])


def short(value: float | None, digits: int = 3, full: bool = False) -> str:
    """A number for people: 0.987, 12.3, 1,234, 25k, 1.3M, 2e-5; a dash where there is none.

    Args:
        value: the number.
        digits: how many count.
        full: whether zeros at the end are written, as of a measured number.
    """
    if value is None or not math.isfinite(value):
        return "\u2013"
    size = abs(value)
    form = f"{'#' if full else ''}.{digits}g"
    for factor, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= 0.9995 * factor:
            return f"{value / (1e3 if name == 'k' else factor):{form}}".rstrip(".") + name
    if size >= 999.5:
        return f"{value:,.0f}"
    if 0 < size < 1e-3:
        mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(power)}"
    return f"{value:{form}}".rstrip(".") if size else "0"


def spread(count: int, most: int) -> list[float]:
    """At most ``most`` of the numbers 0 ... count - 1, evenly, the last among them."""
    if count <= most:
        return [float(index) for index in range(count)]
    return [index * (count - 1) / (most - 1) for index in range(most)]

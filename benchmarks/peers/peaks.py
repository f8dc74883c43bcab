"""What a machine gives a matrix product: readings of a run."""

from __future__ import annotations

from collections.abc import Mapping

from beeline.model.cost import gemm_peak

PEAK_READINGS = 3
_READINGS: dict[tuple[str, str, int | None], list[float]] = {}


def peak(device: str, precision: str, threads: int | None = None) -> float:
    """The fastest matrix product of several readings, spread over the run; other work makes one of them too low."""
    readings = _READINGS.setdefault((device, precision, threads), [])
    if len(readings) < PEAK_READINGS:
        gemm_peak.cache_clear()
        numbers, _, fast = precision.partition(" ")
        readings.append(gemm_peak(device, numbers, threads, "fast" if fast else "exact"))
    return max(readings)


def peaks() -> Mapping[tuple[str, str, int | None], list[float]]:
    """All readings so far, by device, precision and threads."""
    return _READINGS

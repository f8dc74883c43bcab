"""Ways to sample by name, from few network passes to many.

Chosen from quality by passes (``python -m benchmarks.passes``; docs/family.md has the tables): of the solvers that walk
every path of Gaussian noise, DPM-Solver++ 2M needs the fewest passes to be told apart from 250 of them no more.
"""

from __future__ import annotations

from beeline.core.errors import unknown
from beeline.samplers.config import SampleConfig, SampleOptions

PRESETS: dict[str, SampleOptions] = {
    "fast": {"sampler": "dpmpp_2m", "steps": 8},
    "balanced": {"sampler": "dpmpp_2m", "steps": 16},
    "best": {"sampler": "dpmpp_2m", "steps": 50},
}


def preset_options(name: str) -> SampleOptions:
    """What a preset sets.

    Raises:
        UserError: no preset has that name.
    """
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name]


def preset_of(settings: SampleConfig) -> str | None:
    """The preset whose every option these settings hold, None where there is none."""
    for name, options in PRESETS.items():
        if all(getattr(settings, option) == value for option, value in options.items()):
            return name
    return None

"""Ways to sample by name, from few network passes to many."""

from __future__ import annotations

from beeline.core.errors import unknown
from beeline.samplers.config import SampleConfig, SampleOptions

PRESETS: dict[str, SampleOptions] = {
    "fast": {"sampler": "dpmpp_2m", "steps": 8},
    "balanced": {"sampler": "dpmpp_2m", "steps": 16},
    "best": {"sampler": "heun", "steps": 25},
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

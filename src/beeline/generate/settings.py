"""From what a run says about sampling, a preset and what is asked for, to how samples are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beeline.core.config import build, plain
from beeline.core.errors import UserError
from beeline.samplers.config import LEVEL_GRIDS, OWN_OPTIONS, SampleConfig
from beeline.samplers.presets import preset_options

_GRID = ("steps", "grid", "shift")
_GUIDANCE = ("cfg_interval", "cfg_rescale", "guide_by")


def settled(stored: SampleConfig, preset: str | None, options: Mapping[str, Any]) -> SampleConfig:
    """A run's sampling options with some of them replaced.

    Where the sampler is another than the run's, options that mean nothing to it and a grid of levels are left aside;
    where guidance is turned off, so is the rest of what a run says of it.

    Args:
        stored: of the run.
        preset: ``fast``, ``balanced`` or ``best``, under the options; None for none.
        options: fields of ``SampleConfig``.

    Raises:
        UserError: there is no such preset or option, a value is of the wrong type or out of range, or an option means
            nothing to the sampler.
    """
    given = {**({} if preset is None else preset_options(preset)), **options}
    values = plain(stored)
    sampler = given.get("sampler", stored.sampler)
    if sampler != stored.sampler:
        values |= {name: getattr(SampleConfig, name) for name, owners in OWN_OPTIONS.items() if sampler not in owners}
        if stored.grid in LEVEL_GRIDS:
            values["grid"] = "auto"
    if given.get("cfg_scale") == 1:
        values |= {name: getattr(SampleConfig, name) for name in _GUIDANCE}
    settings = build(SampleConfig, plain({**values, **given}))
    if settings.sampler == "dopri5":
        for name in _GRID:
            if name in options:
                raise UserError(
                    f"{name} {options[name]}: sampler dopri5 chooses its own steps; "
                    "set rtol and atol, or use sampler heun"
                )
    return settings

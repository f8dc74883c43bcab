"""From a name to a solver."""

from __future__ import annotations

from beeline.core.errors import unknown
from beeline.core.protocols import Sampler
from beeline.samplers.config import SampleConfig
from beeline.samplers.euler import Euler
from beeline.samplers.heun import Heun

SAMPLERS: dict[str, type[Sampler]] = {"euler": Euler, "heun": Heun}


def build_sampler(settings: SampleConfig) -> Sampler:
    """The solver that the settings name.

    Raises:
        UserError: no solver has that name.
    """
    if settings.sampler not in SAMPLERS:
        raise unknown("sampler", settings.sampler, SAMPLERS)
    return SAMPLERS[settings.sampler]()

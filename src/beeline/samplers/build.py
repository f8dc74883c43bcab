"""From a name to a solver."""

from __future__ import annotations

from typing import get_args

from beeline.core.errors import unknown
from beeline.core.protocols import Sampler, Source
from beeline.samplers.config import SampleConfig, SamplerName
from beeline.samplers.ddim import DDIM
from beeline.samplers.ddpm import Ancestral
from beeline.samplers.euler import Euler
from beeline.samplers.heun import Heun

SAMPLERS = get_args(SamplerName)


def build_sampler(settings: SampleConfig, source: Source) -> Sampler:
    """The solver that the settings name.

    Args:
        settings: its name and options.
        source: where stochastic solvers take their noise from.

    Raises:
        UserError: no solver has that name.
    """
    match settings.sampler:
        case "euler":
            return Euler()
        case "heun":
            return Heun()
        case "ddpm":
            return Ancestral(source, settings.variance, settings.clip)
        case "ddim":
            return DDIM(source, settings.eta, settings.clip)
    raise unknown("sampler", settings.sampler, SAMPLERS)

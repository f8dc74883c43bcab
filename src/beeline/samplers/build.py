"""From a name to a solver."""

from __future__ import annotations

from typing import get_args

from beeline.core.errors import unknown
from beeline.core.protocols import Sampler, Source
from beeline.samplers.config import SampleConfig, SamplerName
from beeline.samplers.ddim import DDIM
from beeline.samplers.ddpm import Ancestral
from beeline.samplers.diffusion import scaled
from beeline.samplers.dopri5 import DormandPrince
from beeline.samplers.dpmpp_2m import DPMSolver2M
from beeline.samplers.dpmpp_2m_sde import DPMSolver2MSDE
from beeline.samplers.dpmpp_3m import DPMSolver3M
from beeline.samplers.euler import Euler
from beeline.samplers.euler_maruyama import EulerMaruyama
from beeline.samplers.heun import Heun
from beeline.samplers.midpoint import Midpoint
from beeline.samplers.one_pass import OnePass
from beeline.samplers.runge_kutta import CLASSIC, THREE_EIGHTHS, RungeKutta
from beeline.samplers.stochastic_heun import StochasticHeun

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
        case "midpoint":
            return Midpoint()
        case "rk4":
            return RungeKutta(CLASSIC)
        case "rk38":
            return RungeKutta(THREE_EIGHTHS)
        case "dopri5":
            return DormandPrince(settings.rtol, settings.atol)
        case "dpmpp_2m":
            return DPMSolver2M()
        case "dpmpp_2m_sde":
            return DPMSolver2MSDE(source)
        case "dpmpp_3m":
            return DPMSolver3M()
        case "ddpm":
            return Ancestral(source, settings.variance, settings.clip)
        case "ddim":
            return DDIM(source, settings.eta, settings.clip)
        case "euler_maruyama":
            return EulerMaruyama(source, scaled(settings.diffusion, settings.diffusion_scale))
        case "stochastic_heun":
            return StochasticHeun(source, scaled(settings.diffusion, settings.diffusion_scale))
        case "one_pass":
            return OnePass()
    raise unknown("sampler", settings.sampler, SAMPLERS)

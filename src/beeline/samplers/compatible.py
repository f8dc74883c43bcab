"""Which samplers fit which model: what cannot be is refused by name before any work, with what to use instead."""

from __future__ import annotations

import torch

from beeline.core.errors import UserError
from beeline.core.protocols import Process
from beeline.samplers.config import LEVEL_GRIDS, SampleConfig
from beeline.samplers.diffusion import scaled

SDE_SAMPLERS = ("euler_maruyama", "stochastic_heun")
# Of w / sigma^2, at which noise is forgotten and drawn anew; time runs over 1.
_LARGEST_RATE = 1e3
# Of samplers that cannot take a single one.
FEWEST_STEPS = {"dpmpp_3m": 3}


def draws_noise(settings: SampleConfig) -> bool:
    """Whether the steps of a sampler draw noise, its start apart."""
    if settings.sampler == "ddim":
        return settings.eta > 0
    return settings.sampler in ("ddpm", "dpmpp_2m_sde", *SDE_SAMPLERS)


def check(settings: SampleConfig, process: Process, prediction: str, outputs: int) -> None:
    """Refuse what cannot be.

    Args:
        settings: what is asked for, its grid no longer auto.
        process: the path of the model.
        prediction: of its network.
        outputs: of its network: 2 with a learned variance.

    Raises:
        UserError: they do not fit one another.
    """
    check_regression(settings, process)
    if settings.variance != "large" and outputs == 2:
        raise UserError(
            f"variance {settings.variance}: this model has learned the variance of its steps; leave the option out"
        )
    fewest = FEWEST_STEPS.get(settings.sampler, 1)
    if settings.steps < fewest:
        raise UserError(
            f"steps {settings.steps}: sampler {settings.sampler} looks back at earlier steps and needs {fewest}; take "
            "more of them, or sampler dpmpp_2m"
        )
    if process.known_end is not None and process.is_gaussian:
        _check_bridge(settings, process.known_end)
    if not process.is_gaussian and draws_noise(settings):
        plain = "ddim with eta 0, or heun" if settings.sampler == "ddim" else "heun"
        start = "a population" if process.known_end is None else f"its condition {process.known_end}"
        raise UserError(
            f"sampler {settings.sampler}: draws Gaussian noise in its steps, and this model starts from {start}, of "
            f"which no such noise is part; use sampler {plain}"
        )
    if settings.grid in LEVEL_GRIDS and process.levels:
        _check_levels(settings, process, prediction)
    if settings.sampler in SDE_SAMPLERS:
        _check_rate(settings, process, prediction)


def check_regression(settings: SampleConfig, process: Process) -> None:
    """Refuse to walk where there is no path, to be guided where there is one answer, and one pass elsewhere.

    Args:
        settings: what is asked for.
        process: the path of the model.

    Raises:
        UserError: naming the option.
    """
    if not process.is_regression:
        if settings.sampler == "one_pass":
            raise UserError(
                "sampler one_pass: belongs to models trained with objective.family regression, and this one is none; "
                "use sampler heun"
            )
        return
    why = "this model is a regression, which"
    if settings.sampler != "one_pass":
        raise UserError(f"sampler {settings.sampler}: {why} has no path to walk; use sampler one_pass")
    if settings.steps != 1 or settings.grid != "uniform" or settings.shift != 1:
        raise UserError(f"steps {settings.steps}: {why} answers in one pass; use steps 1, and leave grid and shift out")
    if settings.cfg_scale != 1:
        raise UserError(f"cfg_scale {settings.cfg_scale:g}: {why} has no distribution to be guided in; use cfg_scale 1")


def _check_bridge(settings: SampleConfig, end: str) -> None:
    if settings.sampler in SDE_SAMPLERS and settings.diffusion_scale > 0:
        return
    if settings.sampler in ("ddpm", "ddim") or settings.sampler.startswith("dpmpp"):
        why = "is made for paths that end in noise alone, and this one"
    else:
        why = "draws no noise, so that each condition would have a single answer: this path"
    raise UserError(
        f"sampler {settings.sampler}: {why} is a bridge, which ends at condition {end}; use sampler euler_maruyama or "
        "stochastic_heun with diffusion_scale above 0"
    )


def _check_levels(settings: SampleConfig, process: Process, prediction: str) -> None:
    first = process.interval(prediction)[0]
    if first * process.levels > 1 + 1e-6:
        raise UserError(
            f"grid {settings.grid}: goes down to t = 0 by way of the first level, and prediction {prediction} of this "
            f"model can be read from t = {first:.3g} on; use grid uniform"
        )


def _check_rate(settings: SampleConfig, process: Process, prediction: str) -> None:
    last = torch.tensor(process.solver_interval(prediction)[1], dtype=torch.float64)
    rate = scaled(settings.diffusion, settings.diffusion_scale)(process, last).item()
    if not rate <= _LARGEST_RATE * process.sigma(last).item() ** 2:
        raise UserError(
            f"diffusion {settings.diffusion}: is {rate:.3g} at t = {last:g}, where hardly any data is left on "
            "this path, and no step is small enough for it; use diffusion sigma"
        )

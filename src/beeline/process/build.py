"""From a config to the process it describes."""

from __future__ import annotations

from typing import get_args

from torch import Tensor

from beeline.core.errors import unknown
from beeline.core.protocols import Process, Source
from beeline.process.bridge import Bridge
from beeline.process.config import Path, ProcessConfig, SourceName
from beeline.process.ddpm import DiscreteDDPM
from beeline.process.gvp import Trigonometric
from beeline.process.linear import Linear
from beeline.process.path import GaussianPath
from beeline.process.regression import Regression
from beeline.process.shifted import Shifted
from beeline.process.sigmoid import Sigmoid
from beeline.process.sources import Gaussian, KnownEnd, Population, ZeroMean
from beeline.process.vdm import LearnedLogSNR, LogSNR
from beeline.process.ve import VarianceExploding
from beeline.process.vp import VariancePreserving
from beeline.process.vp_cosine import Cosine


def build_process(config: ProcessConfig) -> Process:
    """The path that a config describes.

    Raises:
        UserError: no path has that name.
    """
    process = _path(config)
    process.is_gaussian = config.source not in ("population", "condition")
    process.known_end = config.end
    return process if config.time_shift == 1 else Shifted(process, config.time_shift)


def _path(config: ProcessConfig) -> GaussianPath:
    time_input = None if config.time_input == "auto" else config.time_input
    match config.path:
        case "linear":
            return Linear(time_input, config.sigma_data)
        case "vp" if config.schedule == "cosine":
            return Cosine(time_input, config.sigma_data)
        case "vp":
            return VariancePreserving(config.beta_min, config.beta_max, time_input, config.sigma_data)
        case "gvp":
            return Trigonometric(time_input, config.sigma_data)
        case "ve":
            return VarianceExploding(config.sigma_min, config.sigma_max, config.rho, config.sigma_data)
        case "vdm":
            schedule = LearnedLogSNR if config.log_snr == "learned" else LogSNR
            return schedule(config.gamma_min, config.gamma_max, config.sigma_data)
        case "sigmoid":
            return Sigmoid(time_input, config.sigma_data)
        case "ddpm":
            return DiscreteDDPM(config.noise_rates(), config.sigma_data)
        case "bridge":
            return Bridge(config.end or "", config.bridge_noise, config.sigma_data)
        case "regression":
            return Regression()
    raise unknown("path", config.path, get_args(Path))


def build_source(config: ProcessConfig, members: Tensor | None = None) -> Source:
    """The source of noise that a config describes.

    Args:
        config: of the process.
        members: (M, L, C) tokens of a population, where they are known already.

    Raises:
        UserError: no source has that name.
    """
    match config.source:
        case "gaussian":
            return Gaussian()
        case "zero_mean":
            return ZeroMean()
        case "population":
            return Population(members)
        case "condition":
            return KnownEnd()
    raise unknown("source", config.source, get_args(SourceName))

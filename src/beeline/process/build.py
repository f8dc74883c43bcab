"""From a config to the process it describes."""

from __future__ import annotations

from typing import get_args

from beeline.core.errors import unknown
from beeline.core.protocols import Process, Source
from beeline.process.config import Path, ProcessConfig, SourceName
from beeline.process.ddpm import DiscreteDDPM
from beeline.process.linear import Linear
from beeline.process.path import GaussianPath
from beeline.process.sources import Gaussian, ZeroMean
from beeline.process.vp import VariancePreserving


def build_process(config: ProcessConfig) -> Process:
    """The path that a config describes.

    Raises:
        UserError: no path has that name.
    """
    process = _path(config)
    process.is_gaussian = config.source != "population"
    return process


def _path(config: ProcessConfig) -> GaussianPath:
    time_input = None if config.time_input == "auto" else config.time_input
    match config.path:
        case "linear":
            return Linear(time_input, config.sigma_data)
        case "vp":
            return VariancePreserving(config.beta_min, config.beta_max, time_input, config.sigma_data)
        case "ddpm":
            return DiscreteDDPM(config.noise_rates(), config.sigma_data)
    raise unknown("path", config.path, get_args(Path))


def build_source(config: ProcessConfig) -> Source:
    """The source of noise that a config describes.

    Raises:
        UserError: no source has that name.
    """
    match config.source:
        case "gaussian":
            return Gaussian()
        case "zero_mean":
            return ZeroMean()
    raise unknown("source", config.source, get_args(SourceName))

"""From a config to an objective and a network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from beeline.backbone.config import ModelConfig
from beeline.core.errors import UserError
from beeline.core.protocols import Objective, Process, Source
from beeline.core.sharing import Kindred
from beeline.model.codec import Codec
from beeline.model.network import Network
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.ddpm import DDPM
from beeline.objectives.flow import Flow
from beeline.objectives.vdm import VDM
from beeline.process.ddpm import DiscreteDDPM
from beeline.process.sources import KnownEnd, ZeroMean
from beeline.process.vdm import LearnedLogSNR, LogSNR


def build_objective(
    objective: ObjectiveConfig, process: Process, source: Source, codec: Codec | None = None
) -> Objective:
    """What training minimises: a bound, on discrete levels the objectives of DDPM, elsewhere regression.

    Predictions other than noise and data, which belong to flows, are regressed at continuous times on levels too,
    unless a variance is learned.

    Args:
        objective: options.
        process: the path.
        source: where noise comes from.
        codec: knows the channels of the data; None where the options are only to be checked.

    Raises:
        UserError: a name is unknown, a number out of range, or the objective and the path do not fit.
    """
    _check_regression(objective, process)
    discrete = process if isinstance(process, DiscreteDDPM) else None
    learned = objective.variance == "learned"
    if learned and discrete is None:
        raise UserError("objective.variance learned: needs steps between levels of noise; use process.path ddpm")
    _check_learned_path(objective, process)
    _check_source(objective, process, source)
    if objective.loss == "vlb" and not learned:
        if discrete is not None or not isinstance(process, LogSNR):
            raise UserError(
                "objective.loss vlb: is a bound on process.path vdm, or on path ddpm with objective.variance learned"
            )
        return VDM(objective, process, source)
    weights = objective.channel_weights
    channels = None if weights is None or codec is None else _channel_row(weights, codec)
    if discrete is not None and (learned or objective.prediction in ("noise", "data")):
        return DDPM(objective, discrete, source, channels)
    return Flow(objective, process, source, channels)


def _check_regression(objective: ObjectiveConfig, process: Process) -> None:
    """Refuse what speaks of times and noise where there are none."""
    if not process.is_regression:
        return
    default = ObjectiveConfig()
    process.interval(objective.prediction)
    for option in ("time", "weighting", "variance", "coupling"):
        if getattr(objective, option) != getattr(default, option):
            raise UserError(f"objective.{option}: means nothing to process.path regression; leave it out")
    if objective.loss == "vlb":
        raise UserError("objective.loss vlb: process.path regression has no density to bound; use loss mse")


def _check_learned_path(objective: ObjectiveConfig, process: Process) -> None:
    """Refuse to train a path by a loss that says nothing about it."""
    if isinstance(process, LearnedLogSNR) and objective.loss != "vlb":
        raise UserError(
            f"process.log_snr learned: is learned by objective.loss vlb, not by {objective.resolved_loss}; use log_snr "
            "linear, or loss vlb"
        )


def _check_source(objective: ObjectiveConfig, process: Process, source: Source) -> None:
    """Refuse bounds and variances of steps, which are those of Gaussian noise, with noise that is something else."""
    name = "zero_mean" if isinstance(source, ZeroMean) else None
    if not process.is_gaussian:
        name = "condition" if isinstance(source, KnownEnd) else "population"
    if objective.loss == "vlb" and name is not None:
        raise UserError(
            f"objective.loss vlb: rests on Gaussian noise, and process.source {name} is none; use source gaussian, or "
            "loss mse"
        )
    if objective.variance == "learned" and not process.is_gaussian:
        raise UserError(
            f"objective.variance learned: rests on Gaussian noise, and process.source {name} is none; use variance none"
        )


def _channel_row(weights: Sequence[float], codec: Codec) -> Tensor:
    """(1, 1, C) the weight of each native channel where the channel's numbers are in a token."""
    tokenizer = codec.tokenizer
    width = tokenizer.width // tokenizer.lift_width(1)
    if not tokenizer.axes or len(weights) != width:
        has = f"{width} channels" if tokenizer.axes else "no channels: they are a set"
        raise UserError(f"objective.channel_weights: {len(weights)} are given and the data have {has}")
    cell = torch.tensor(weights).view(*[1] * tokenizer.axes, width)
    lifted = [tokenizer.lift(cell, tokenizer.blank(form)) for form, _ in codec.forms]
    # A lifted map is zero where a patch goes over the edge of the data; the largest of all tokens is the weight.
    return torch.stack([each.amax(dim=1, keepdim=True) for each in lifted]).amax(dim=0)


def build_network(
    model: ModelConfig, process: Process, objective: Objective, codec: Codec, source: Source | None = None
) -> Network:
    """The network that the objective trains on what the codec makes.

    Args:
        model: sizes and options.
        process: the very one that the objective has, so that a trained path is trained and saved with the network.
        objective: says what the network predicts.
        codec: knows the tokens and the conditions.
        source: where noise comes from; Gaussian when None.

    Raises:
        UserError: the options do not fit together or do not fit the data.
    """
    network = Network(
        model,
        codec.tokenizer,
        codec.conditions,
        process,
        prediction=objective.prediction,
        outputs=objective.outputs,
        extents=codec.extents,
        companion=objective.learned,
        source=source,
    )
    known = codec.tokenizer.kinship() if isinstance(codec.tokenizer, Kindred) else None
    if known is not None:
        network.dit.begin_identities(known)
    return network

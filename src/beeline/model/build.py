"""From a config to an objective and a network."""

from __future__ import annotations

from torch import nn

from beeline.backbone.config import ModelConfig
from beeline.core.errors import UserError
from beeline.core.protocols import Objective, Process, Source
from beeline.model.codec import Codec
from beeline.model.network import Network
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.ddpm import DDPM
from beeline.objectives.flow import Flow
from beeline.objectives.vdm import VDM, LogSNRPath
from beeline.process.ddpm import DiscreteDDPM


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
    discrete = process if isinstance(process, DiscreteDDPM) else None
    learned = objective.variance == "learned"
    if learned and discrete is None:
        raise UserError("objective.variance learned: needs steps between levels of noise; use process.path ddpm")
    _check_learned_path(objective, process)
    if objective.loss == "vlb" and not learned:
        if discrete is not None or not isinstance(process, LogSNRPath):
            raise UserError(
                "objective.loss vlb: is a bound on process.path vdm, or on path ddpm with objective.variance learned"
            )
        return VDM(objective, process, source)
    weights = objective.channel_weights
    channels = None if weights is None or codec is None else codec.channel_row(weights)
    if discrete is not None and (learned or objective.prediction in ("noise", "data")):
        return DDPM(objective, discrete, source, channels)
    return Flow(objective, process, source, channels)


def _check_learned_path(objective: ObjectiveConfig, process: Process) -> None:
    """Refuse to train a path by a loss that says nothing about it."""
    if isinstance(process, nn.Module) and list(process.parameters()) and objective.loss != "vlb":
        raise UserError(
            f"process.log_snr learned: is learned by objective.loss vlb, not by {objective.resolved_loss}; use log_snr "
            "linear, or loss vlb"
        )


def build_network(model: ModelConfig, process: Process, objective: Objective, codec: Codec) -> Network:
    """The network that the objective trains on what the codec makes.

    Args:
        model: sizes and options.
        process: the very one that the objective has, so that a trained path is trained and saved with the network.
        objective: says what the network predicts.
        codec: knows the tokens and the conditions.

    Raises:
        UserError: the options do not fit together or do not fit the data.
    """
    return Network(
        model,
        codec.tokenizer,
        codec.conditions,
        process,
        prediction=objective.prediction,
        outputs=objective.outputs,
        extents=codec.extents,
        companion=objective.learned,
    )

"""From a config to an objective and a network."""

from __future__ import annotations

from beeline.backbone.config import ModelConfig
from beeline.core.errors import UserError
from beeline.core.protocols import Objective, Process, Source
from beeline.model.codec import Codec
from beeline.model.network import Network
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.ddpm import DDPM
from beeline.objectives.flow import Flow
from beeline.process.ddpm import DiscreteDDPM


def build_objective(objective: ObjectiveConfig, process: Process, source: Source) -> Objective:
    """What training minimises: on discrete levels the objectives of DDPM, elsewhere regression at continuous times.

    Predictions other than noise and data, which belong to flows, are regressed at continuous times on levels too,
    unless a variance is learned.

    Raises:
        UserError: a name is unknown, a number out of range, or a variance is to be learned where there are no levels.
    """
    learned = objective.variance == "learned"
    if isinstance(process, DiscreteDDPM) and (learned or objective.prediction in ("noise", "data")):
        return DDPM(objective, process, source)
    if learned:
        raise UserError("objective.variance learned: needs steps between levels of noise; use process.path ddpm")
    return Flow(objective, process, source)


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
    return Network(
        model,
        codec.tokenizer,
        codec.conditions,
        process,
        prediction=objective.prediction,
        outputs=objective.outputs,
        extents=codec.extents,
        source=source,
    )

"""From a config to an objective and a network."""

from __future__ import annotations

from beeline.backbone.config import ModelConfig
from beeline.core.protocols import Objective, Process, Source
from beeline.model.codec import Codec
from beeline.model.network import Network
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.flow import Flow


def build_objective(objective: ObjectiveConfig, process: Process, source: Source) -> Objective:
    """What training minimises.

    Raises:
        UserError: a name is unknown or a number out of range.
    """
    return Flow(objective, process, source)


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
    )

"""From a config to an objective and a network."""

from __future__ import annotations

from beeline.backbone.config import ModelConfig
from beeline.core.protocols import Objective
from beeline.model.codec import Codec
from beeline.model.network import Network
from beeline.objectives.config import ObjectiveConfig
from beeline.objectives.flow import Flow
from beeline.process.build import build_process, build_source
from beeline.process.config import ProcessConfig


def build_objective(objective: ObjectiveConfig, process: ProcessConfig) -> Objective:
    """What training minimises.

    Raises:
        UserError: a name is unknown or a number out of range.
    """
    return Flow(objective, build_process(process), build_source(process))


def build_network(model: ModelConfig, process: ProcessConfig, objective: Objective, codec: Codec) -> Network:
    """The network that the objective trains on what the codec makes.

    Raises:
        UserError: the options do not fit together or do not fit the data.
    """
    return Network(
        model,
        codec.tokenizer,
        codec.conditions,
        build_process(process),
        prediction=objective.prediction,
        outputs=objective.outputs,
        extents=codec.extents,
    )
